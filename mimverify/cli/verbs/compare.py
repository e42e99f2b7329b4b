"""`mimverify compare`: predicted against simulated trajectories."""

from __future__ import annotations

import shlex
import sys
import time
from typing import TYPE_CHECKING

import click
import numpy as np
from rich import box
from rich.console import RenderableType
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from mimverify.cli.exit_codes import ExitCodes
from mimverify.cli.number_types import PARALLEL, Count
from mimverify.cli.options import (
    PageConsole,
    check_distinct,
    check_writable,
    deliver,
    json_option,
    seed_option,
    threads_option,
    write_text,
)
from mimverify.cli.problem_options import OPEN, problem_option
from mimverify.cli.progress_bars import ProgressBars
from mimverify.support.errors import InputError
from mimverify.support.exit_status import FAILED, NOTHING_VERIFIED, VERIFIED
from mimverify.support.memory import check_fits
from mimverify.support.strict_json import Json
from mimverify.support.threads import thread_limit
from mimverify.theory.comparison import LINKS, LOSSES, RATIOS
from mimverify.theory.error_comparison import FEWEST_PREDICTED

if TYPE_CHECKING:
    from mimverify.theory.comparison import Comparison
    from mimverify.theory.error_comparison import ErrorCell, ErrorComparison

SECTION = "Ask the theory"
EXIT_CODES = ExitCodes(
    success="no contradiction",
    failure="a gap beyond 1 % that chance does not explain",
    unverified="nothing could be compared",
)

#: n/d of --test-error where a dimension is given alone.
ERROR_RATIOS = (8.0, 24.0)

#: Probability with which correct predictions would be called contradicted, whole table.
_FAMILY = 1e-3

_EPILOG = f"""
Links by default: {", ".join(LINKS)}.

\b
Examples:
  mimverify compare                        # the whole table: some minutes
  mimverify compare cos2z tanh3 --loss huber --ratio 16 --dim 256
  mimverify compare --test-error -n 2 --markdown docs/test-error.md
  mimverify compare abs --test-error --dim 64 --ratio 8 --ratio 32 --seeds 50

A gap beyond 1 % is a contradiction if chance explains it with probability below {_FAMILY:g} in the
whole table.

{EXIT_CODES}
"""


@click.command(epilog=_EPILOG)
@click.argument("links", nargs=-1, metavar="[LINK]...")
@problem_option(
    "loss",
    "losses",
    multiple=True,
    help=f"Loss of stage 1; repeat the option (default: {', '.join(LOSSES)}).",
)
@problem_option(
    "ratio",
    "ratios",
    multiple=True,
    help=f"n/d; repeat the option (default: {', '.join(f'{r:g}' for r in RATIOS)}).",
)
@problem_option("dim", help="Dimension d (default: 512).", default=OPEN)
@problem_option("noise")
@click.option(
    "--seeds",
    type=Count(maximum=10**6),
    default=None,
    metavar="K",
    help="Data sets per row (default: 20; of --test-error 200, as many predicted as trained, but "
    f"at least {FEWEST_PREDICTED}).",
)  # fmt: skip
@problem_option("steps", default=OPEN, help="Steps of stage 1 (default: 8; of --test-error T1).")
@click.option(
    "--test-error", is_flag=True,
    help="Instead of the alignment, compare the test error after both stages with runs of the "
    "reference trainer. Without --dim and --ratio: d = 64, 128, 160, n/d = 16, 6, 24.",
)  # fmt: skip
@click.option(
    "-n", "--workers", type=PARALLEL, default=1, show_default=True,
    help="Processes that share the rows of --test-error.",
)  # fmt: skip
@click.option(
    "--markdown", metavar="FILE",
    help="Of --test-error: write a page of Markdown; '-' prints it.",
)  # fmt: skip
@click.option(
    "--spans", is_flag=True,
    help="Also test the intervals predicted for span recovery: seconds more for each row.",
)  # fmt: skip
@seed_option
@threads_option
@json_option
def compare(
    links: tuple[str, ...],
    losses: tuple[str, ...],
    ratios: tuple[float, ...],
    dim: int | None,
    noise: float,
    seeds: int | None,
    steps: int | None,
    test_error: bool,
    workers: int,
    markdown: str | None,
    spans: bool,
    seed: int,
    threads: int | None,
    json_path: str | None,
) -> int:
    """Test the predictions: simulate data sets and runs, and compare the alignment at every step
    with theory D1.

    Compared are the ratio of means over data sets of the traces that stage 1 follows, the mean
    of A over runs of 32 independent neurons, one on each data set, and how many runs lie in the
    predicted 95 %. An unbounded T is predicted from each data set's own labels.
    """
    from mimverify.theory.comparison import DEVIATIONS, RELATIVE, expected_beyond
    from mimverify.theory.comparison import compare as comparisons
    from mimverify.theory.error_comparison import error_cells

    check_writable("--json", json_path)
    check_writable("--markdown", markdown)
    check_distinct({"--json": json_path, "--markdown": markdown})
    if json_path == markdown == "-":
        raise InputError("--json and --markdown are both '-': expected a file for one of them")
    if test_error:
        if spans or steps is not None:
            raise InputError("--test-error: expected neither --spans nor --steps: T1 are taken")
        runs = 200 if seeds is None else seeds
        cells = error_cells(
            links or LINKS, losses or LOSSES, _sizes(dim, ratios),
            runs=runs, predicted_runs=max(runs, FEWEST_PREDICTED), noise=noise, seed=seed,
        )  # fmt: skip
        return _compare_errors(cells, workers, threads, json_path, markdown)
    if workers != 1 or markdown is not None:
        raise InputError("--workers, --markdown: expected with --test-error only")
    dim = 512 if dim is None else dim
    seeds = 20 if seeds is None else seeds
    steps = 8 if steps is None else steps
    for ratio in ratios or RATIOS:
        if ratio > 0 and dim > 0:
            matrix = 8 * dim * round(ratio * dim)
            check_fits(matrix, f"ratio={ratio:g}, dim={dim}: the inputs of a data set")
    results: list[Comparison] = []
    with _progress() as progress, thread_limit(threads):
        task = progress.add_task("data sets", total=None)
        for result in comparisons(
            links or LINKS,
            losses or LOSSES,
            ratios or RATIOS,
            dim=dim,
            noise=noise,
            seeds=seeds,
            steps=steps,
            spans=spans,
            seed=seed,
            on_progress=lambda done, total: progress.update(task, completed=done, total=total),
        ):
            results.append(result)
    level = _FAMILY / len(results)
    found = {
        f"{r.link} {r.loss} {r.samples}": what for r in results if (what := r.contradictions(level))
    }
    beyond = int(sum(result.beyond.sum() for result in results))
    count = sum(len(result.predicted) for result in results)

    def record() -> Json:
        return {
            "dim": dim,
            "noise": noise,
            "seeds": seeds,
            "seed": seed,
            "comparisons": count,
            "beyond": beyond,
            "expected_beyond": expected_beyond(results),
            "contradicted": list(found),
            "contradictions": {row: list(what) for row, what in found.items()},
            "rows": [result.to_json() for result in results],
        }

    def page() -> list[RenderableType]:
        return [
            _table(results),
            f"{count} comparisons, {beyond} beyond {RELATIVE:.0%} and {DEVIATIONS:g} standard "
            f"errors (chance alone: at most {expected_beyond(results):.1f} beyond the latter); "
            f"{len(found)} of {len(results)} rows contradict the prediction at level "
            f"{_FAMILY:g} for the whole table. * predicted from each data set's own labels; "
            "? the prediction calls itself uncertain. run mean: predicted and simulated at the "
            "last step; in 95 %: share of runs in their interval, the least of all steps"
            + (", of alignment and of span recovery." if spans else "."),
            *(f"{row}: {', '.join(what)}." for row, what in found.items()),
        ]

    deliver(json_path, record, page)
    if found:
        return FAILED
    return VERIFIED if any(result.comparable for result in results) else NOTHING_VERIFIED


def _sizes(dim: int | None, ratios: tuple[float, ...]) -> tuple[tuple[int, int], ...]:
    """(d, n) of the test errors' comparison."""
    from mimverify.theory.error_comparison import ERROR_SIZES

    if dim is None and not ratios:
        return ERROR_SIZES
    dim = 128 if dim is None else dim
    return tuple((dim, round(ratio * dim)) for ratio in ratios or ERROR_RATIOS)


def _compare_errors(
    cells: list[ErrorCell],
    workers: int,
    threads: int | None,
    json_path: str | None,
    markdown: str | None,
) -> int:
    from mimverify.cli.compared_errors import error_markdown, error_page, error_record, error_status
    from mimverify.theory.error_comparison import compare_errors

    began = time.monotonic()
    done: dict[ErrorCell, ErrorComparison] = {}
    with _progress() as progress, thread_limit(threads):
        task = progress.add_task("rows", total=len(cells), completed=0)
        for result in compare_errors(cells, workers=workers):
            done[result.cell] = result
            progress.update(task, completed=len(done))
    results = [done[cell] for cell in cells]
    if markdown is not None:
        command = "mimverify " + shlex.join(_without_json(sys.argv[1:]))
        seconds = time.monotonic() - began
        page = error_markdown(results, _FAMILY, command=command, seconds=seconds)
        write_text(markdown, page)
    shown = markdown != "-"
    deliver(
        json_path,
        lambda: error_record(results, _FAMILY),
        lambda: error_page(results, _FAMILY) if shown else [],
    )
    return error_status(results, _FAMILY)


def _without_json(arguments: list[str]) -> list[str]:
    """What a page says of its command: where the record went is nobody's business."""
    kept, skipped = [], False
    for argument in arguments:
        if not skipped and not argument.startswith("--json"):
            kept.append(argument)
        skipped = argument == "--json"
    return kept


def _table(results: list[Comparison]) -> Table:
    table = Table(
        title=(
            f"Alignment after T steps, predicted and simulated: d = {results[0].dim}, "
            f"{results[0].seeds} data sets"
        ),
        title_justify="left",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
    )
    steps = len(results[0].predicted)
    picked = [steps]
    table.add_column("link", overflow="fold", min_width=10)
    table.add_column("loss", no_wrap=True, min_width=max(len(r.loss) for r in results) + 1)
    table.add_column("n/d", justify="right", no_wrap=True, min_width=3)
    for t in picked:
        table.add_column(f"T = {t}", justify="right", no_wrap=True, min_width=13)
    table.add_column("z", justify="right", no_wrap=True, min_width=5)
    table.add_column("run mean", justify="right", no_wrap=True, min_width=13)
    table.add_column("in 95 %", justify="right", no_wrap=True, min_width=4)
    table.add_column("", no_wrap=True, min_width=6)
    for result in results:
        z = result.z
        worst = float(z[np.argmax(np.abs(z))])
        table.add_row(
            result.link,
            result.loss + ("*" if result.realised else ""),
            f"{result.samples / result.dim:g}",
            *(f"{result.predicted[t - 1]:.4f} {result.simulated[t - 1]:.4f}" for t in picked),
            f"{worst:+.1f}",
            *_runs(result),
            _outcome(result),
        )
    return table


def _outcome(result: Comparison) -> str:
    if not result.comparable:
        return "nothing"
    return "beyond" if result.beyond.any() else "agrees"


def _runs(result: Comparison) -> tuple[str, str]:
    runs = result.runs
    if runs is None:
        return "", ""
    shares = [f"{float(runs.coverage.min()):.2f}"]
    if runs.span_coverage is not None:
        shares.append(f"{float(runs.span_coverage.min()):.2f}")
    doubt = "?" if runs.uncertain.any() else ""
    return f"{runs.predicted[-1]:.4f} {runs.simulated[-1]:.4f}", " ".join(shares) + doubt


def _progress() -> Progress:
    """On standard error, if that is a terminal."""
    return ProgressBars(
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        TextColumn("{task.completed} of {task.total}"),
        TimeElapsedColumn(),
        console=PageConsole(stderr=True),
        transient=True,
        disable=not sys.stderr.isatty(),
    )
