"""`mimverify diagnose`: does the mechanism of the theorem show in somebody's data?"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import click
from rich import box
from rich.console import RenderableType
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from mimverify.cli.exit_codes import ExitCodes
from mimverify.cli.number_types import PARALLEL, Count, Number
from mimverify.cli.options import (
    PageConsole,
    check_distinct,
    check_figure,
    check_writable,
    command_line,
    deliver,
    figure_option,
    json_option,
    seed_option,
)
from mimverify.cli.progress_bars import ProgressBars
from mimverify.network import LOSSES
from mimverify.pages.figures import save_figure
from mimverify.support.errors import InputError
from mimverify.support.exit_status import NOTHING_VERIFIED

if TYPE_CHECKING:
    from mimverify.given_data import Diagnosis
    from mimverify.given_data.run import OnProgress

SECTION = "Train"
EXIT_CODES = ExitCodes(
    success="yes: directions stand out beyond the linear part",
    unverified="no: nothing stands out, or nothing beyond the linear part",
)

_EPILOG = f"""
Losses: {", ".join(LOSSES)}; with delta, 'huber:0.5', in deviations of y.

\b
Examples:
  mimverify diagnose X.npy y.npy
  mimverify diagnose table.csv price --figure spectrum.png
  mimverify diagnose table.parquet price --components 40 --html diagnosis.html

{EXIT_CODES}
"""


@click.command(epilog=_EPILOG)
@click.argument("inputs", metavar="X")
@click.argument("labels", metavar="Y")
@click.option(
    "--components", type=Count(), metavar="K",
    help="Leading principal components that are looked at (default: by X alone, as many as no "
    "single row dominates). Part of the answer.",
)  # fmt: skip
@click.option(
    "--standardise", is_flag=True,
    help="Divide columns by their deviations first, where their units differ.",
)  # fmt: skip
@click.option(
    "--loss", "losses", multiple=True, default=("squared", "huber", "l1"), show_default=True,
    help="A loss to try; may be repeated.",
)  # fmt: skip
@click.option(
    "--permutations", type=Count(), default=199, show_default=True, metavar="B",
    help="Permutations of the labels; the smallest p-value is 1/(1 + B).",
)  # fmt: skip
@click.option(
    "--alpha", type=Number(minimum=0, below=1), default=0.05, show_default=True, metavar="P",
    help="Level of the verdict and of the count of directions.",
)  # fmt: skip
@seed_option
@click.option(
    "--threads", type=PARALLEL, default=None,
    help="Threads that permutations are divided among (default: one for each core).",
)  # fmt: skip
@json_option
@click.option("--html", "html_path", metavar="FILE", help="Write the diagnosis as a page.")
@figure_option("Draw the spectrum against its permutation null")
@click.option("--quiet", "-q", is_flag=True, help="No table and no progress, only errors.")
def diagnose(
    inputs: str,
    labels: str,
    json_path: str | None,
    html_path: str | None,
    figure_path: str | None,
    quiet: bool,
    **options: Any,
) -> int:
    """Ask of data whether what the theorem is about shows in them: directions that stand out.

    X is a .npy, Parquet or CSV file with a row for each sample; Y is a .npy file, a CSV file of one
    column, or the name of a column of X. Eigenvalues of H = (1/n) sum T(y) x x', x whitened,
    are compared with those of permuted labels, for each loss's T.

    Two hypotheses: labels independent of inputs (p is exact), and labels linear in them (p is
    not). The answer is yes only where both are rejected.
    """
    from mimverify.given_data import diagnose_files

    check_writable("--json", json_path)
    check_writable("--html", html_path)
    check_figure(figure_path)
    check_distinct({"X": inputs, "--json": json_path, "--html": html_path, "--figure": figure_path})
    check_distinct({"Y": labels, "--json": json_path, "--html": html_path, "--figure": figure_path})
    with _progress(quiet) as on_progress, _arguments_as_typed():
        found = diagnose_files(inputs, labels, on_progress=on_progress, **options)
    deliver(json_path, found.to_json, lambda: [] if quiet else _page(found))
    if html_path is not None:
        from mimverify.given_data.page import diagnosis_page
        from mimverify.pages import write_page

        line = command_line(without=("json_path", "html_path", "figure_path", "quiet"))
        write_page(html_path, diagnosis_page(found, line))
    if figure_path is not None:
        from mimverify.given_data.outlier_figure import SIZE, outlier_figure

        save_figure(partial(outlier_figure, found), figure_path, size=SIZE)
    return 0 if found.shown else NOTHING_VERIFIED


@contextmanager
def _arguments_as_typed() -> Iterator[None]:
    """Errors name arguments as on the command line."""
    try:
        yield
    except InputError as error:
        text = str(error)
        for argument, typed in (
            ("inputs=", "X="), ("labels=", "Y="), ("losses", "--loss"),
            ("components=", "--components="), ("permutations=", "--permutations="),
            ("alpha=", "--alpha="),
        ):  # fmt: skip
            if text.startswith(argument):
                raise InputError(typed + text.removeprefix(argument)) from None
        raise


@contextmanager
def _progress(quiet: bool) -> Iterator[OnProgress]:
    """Permutations done and the time that is left, on standard error if that is a terminal."""
    bars = ProgressBars(
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        TextColumn("{task.completed} of {task.total} permutations"),
        TimeRemainingColumn(),
        console=PageConsole(stderr=True),
        transient=True,
        disable=quiet or not sys.stderr.isatty(),
    )
    with bars as shown:
        yield _Bars(shown)


class _Bars:
    """A bar for each test."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._tasks: dict[str, TaskID] = {}

    def __call__(self, test: str, done: int, total: int) -> None:
        if test not in self._tasks:
            self._tasks[test] = self._progress.add_task(test, total=total)
        self._progress.update(self._tasks[test], completed=done)


# -- output ------------------------------------------------------------------------------------


def _page(found: Diagnosis) -> Iterable[RenderableType]:
    made = found.configuration
    yield Text(
        f"{made['inputs']}: n = {made['samples']}, k = {made['components']} of {made['rank']} "
        f"principal components ({made['variance']:.3g} of the variance), B = "
        f"{made['permutations']}, seed {made['seed']}",
        style="bold",
    )
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("null hypothesis")
    table.add_column("loss")
    for heading in ("largest", "threshold", "outliers", "p"):
        table.add_column(heading, justify="right", no_wrap=True)
    for test in found.tests():
        for name, values in test.eigenvalues.items():
            p = test.p_values(name)
            first = name == next(iter(test.eigenvalues))
            table.add_row(
                test.null if first else "",
                name + (" *" if name == test.loss else ""),
                f"{values[0]:+.3f}",
                f"{test.threshold(name):.3f}",
                str(int((p <= test.alpha).sum())),
                f"{p[0]:.3g}",
            )
    yield table
    yield "* shows most. p: adjusted for all eigenvalues and for the choice among the losses."
    for test in found.tests():
        yield f"p of “{test.null}” is {test.level}."
    yield Text(f"{found.sentence}.", style="bold")
    yield from found.notes()
    for loss, why in found.left_out.items():
        yield f"Loss {loss} {why}."
