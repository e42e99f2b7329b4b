"""`mimverify scaling`: the samples that T steps need, measured up to d = 10⁶."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from functools import partial
from typing import TYPE_CHECKING, Any

import click
from rich import box
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from mimverify.cli.exit_codes import ExitCodes
from mimverify.cli.number_types import Count, Number
from mimverify.cli.options import (
    PageConsole,
    check_distinct,
    check_figure,
    check_writable,
    deliver,
    figure_option,
    json_option,
    seed_option,
    threads_option,
)
from mimverify.cli.problem_options import problem_option
from mimverify.pages.figures import save_figure
from mimverify.support.errors import MimverifyError
from mimverify.support.exit_status import NOTHING_VERIFIED, VERIFIED

if TYPE_CHECKING:
    from mimverify.scaling import ScalingLaw

SECTION = "Measure"
EXIT_CODES = ExitCodes(
    success="measured",
    failure="a run diverged",
    unverified="nothing was measured",
)

_EPILOG = f"""
Every run is one of the reference trainer on a Gaussian design that is revealed only as far as
training uses it: exact in law, never stored. Its start has few neurons, all of
alignment r/d exactly, so that single runs scatter little.

\b
Examples:
  mimverify scaling cos2z --figure scaling.png
  mimverify scaling z1z2 --loss huber -T 2 -T 3 -d 1000 -d 10000 -d 100000
  mimverify scaling cos2z --memory 4e9 --precision 0.01 --json scaling.json

{EXIT_CODES}
"""


@click.command(epilog=_EPILOG)
@click.argument("link")
@problem_option("loss")
@problem_option(
    "dim",
    "dims",
    multiple=True,
    default=(100, 1000, 10_000, 100_000, 1_000_000),
    help="Input dimensions d; repeat the option.",
)
@problem_option(
    "steps", multiple=True, default=(1, 2, 3, 4), help="Steps of stage 1; repeat the option."
)
@problem_option("rank")
@problem_option("noise")
@problem_option("backend")
@problem_option("dtype", default="float32")
@click.option("--precision", type=Number(), default=0.005, show_default=True,
              help="Wanted standard error of log n.")  # fmt: skip
@click.option("--most-runs", type=Count(), default=400, show_default=True,
              help="Runs that one n rests on at most; the search takes more.")  # fmt: skip
@click.option("--memory", type=Number(), metavar="BYTES",
              help="What a run may take (default: 4/5 of this machine's).")  # fmt: skip
@figure_option("Draw n and its exponents against d")
@seed_option
@threads_option
@json_option
@click.option("--quiet", "-q", is_flag=True, help="No progress on standard error.")
def scaling(
    link: str, figure_path: str | None, json_path: str | None, quiet: bool, **options: Any
) -> int:
    """Measure how many samples T steps of gradient descent need, and how that grows with d.

    For each T and d the number of samples n is found at which the alignment of the first
    layer with the hidden subspace of LINK reaches 1/2, by bisection. The local exponents
    d log n/d log d, with 95 % intervals, stand beside those that theory predicts; they tend
    to 1 + 1/T. Each T goes as far in d as n samples fit into memory.
    """
    from mimverify.scaling import measure_scaling

    check_writable("--json", json_path)
    check_figure(figure_path)
    check_distinct({"--json": json_path, "--figure": figure_path})
    so_far: list[ScalingLaw] = []

    def keep(law: ScalingLaw) -> None:
        so_far[:] = [law]

    console = PageConsole(stderr=True)
    try:
        with console.status("", spinner="dots") if _shown(quiet) else _Silent() as status:
            measure_scaling(
                link,
                on_progress=lambda t, d, line: status.update(f"T = {t}, d = {d}: {line}"),
                on_point=keep,
                **options,
            )
    except (KeyboardInterrupt, MimverifyError):
        for law in so_far:  # what took hours is not thrown away
            _deliver(law, json_path, figure_path, complete=False)
        raise
    _deliver(so_far[0], json_path, figure_path, complete=True)
    return VERIFIED if _is_measured(so_far[0]) else NOTHING_VERIFIED


def _is_measured(law: ScalingLaw) -> bool:
    return any(point.measured for point in law.points)


def _deliver(
    law: ScalingLaw,
    json_path: str | None,
    figure_path: str | None,
    *,
    complete: bool,
) -> None:

    drawn = figure_path is not None and _is_measured(law)
    deliver(
        json_path,
        lambda: {**law.to_json(), "complete": complete},
        lambda: _page(law, figure_path if drawn else None),
    )
    if figure_path is not None and drawn:
        from mimverify.scaling.figure import SIZE, scaling_figure

        save_figure(partial(scaling_figure, law), figure_path, size=SIZE)


class _Silent:
    """Progress that is not shown."""

    def __enter__(self) -> _Silent:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def update(self, status: str) -> None:
        pass


def _shown(quiet: bool) -> bool:
    return not quiet and sys.stderr.isatty()


def _page(law: ScalingLaw, figure_path: str | None) -> Iterable[RenderableType]:
    noise = law.configuration["noise"]
    yield Text(
        f"Samples n for alignment 1/2: {law.link}, loss {law.loss}"
        + (f", label noise {noise:g}" if noise else ""),
        style="bold",
    )
    if _is_measured(law):
        yield _table(law)
    else:
        yield "Nothing was measured."
    for point in law.points:
        if point.why:
            yield f"T = {point.steps} ends before d = {point.dim}: {point.why}."
    yield (
        "n: measured, ± half of its 95 % interval. exponent: Δ log n/Δ log d from the d above, ± "
        "likewise; D1's: the same from the predicted n. Both tend to 1 + 1/T."
    )
    if figure_path is not None:
        yield f"Figure: {figure_path}"


def _table(law: ScalingLaw) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    headings = ("T", "d", "n", "± %", "D1's n", "runs", "exponent", "±", "D1's")
    for heading in headings:
        table.add_column(heading, justify="right", no_wrap=True)
    exponents = {(e.steps, e.dims[1]): e for e in law.exponents}
    before = None
    for point in law.points:
        if point.measured is None:
            continue
        if before is not None and before != point.steps:
            table.add_section()
        before = point.steps
        low, high = point.measured.interval()
        n = point.measured.samples
        row = [
            str(point.steps), _size(point.dim), _size(n), f"{50 * (high - low) / n:.1f}",
            "none" if point.predicted is None else _size(point.predicted),
            str(point.measured.runs),
        ]  # fmt: skip
        exponent = exponents.get((point.steps, point.dim))
        if exponent is not None:
            row += [
                f"{exponent.measured:.4f}", f"{(exponent.high - exponent.low) / 2:.4f}",
                "none" if exponent.predicted is None else f"{exponent.predicted:.4f}",
            ]  # fmt: skip
        table.add_row(*row)
    return table


def _size(value: float) -> str:
    return f"{value:.0f}" if value < 1e5 else f"{value:.3e}".replace("e+0", "e").replace("e+", "e")
