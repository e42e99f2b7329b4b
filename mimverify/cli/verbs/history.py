"""`mimverify history`: slopes, regressions and the gate, from asv's results."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from mimverify.cli.exit_codes import ExitCodes
from mimverify.cli.number_types import Count, Number
from mimverify.cli.options import (
    check_distinct,
    check_figure,
    check_writable,
    command_line,
    deliver,
    figure_option,
    json_option,
    write_text,
)
from mimverify.pages import save_figure
from mimverify.pages.figures import check_matplotlib
from mimverify.performance.history.reading import RATIO
from mimverify.support.errors import InputError
from mimverify.support.exit_status import FAILED, NOTHING_VERIFIED, VERIFIED

SECTION = "Measure"
EXIT_CODES = ExitCodes(
    success="shown, and no gate failed",
    failure="the gate failed",
    unverified="there are no values, or with --gate no ratio that has an earlier one",
)

# Left out of the commands that draw a page's figures again.
_OF_FILES = (
    "html_path", "figure_path", "benchmark", "json_path", "suspects_path", "everything", "gate",
    "confirmations", "threshold",
)  # fmt: skip
if TYPE_CHECKING:
    from mimverify.performance.history import History

_EPILOG = f"""
The gate evaluates benchmarks of unit '{RATIO}' alone: quantities relative to another of the same
run, above all time relative to the bare matrix products interleaved with it. A ratio is suspect
if its latest value is above THRESHOLD times the best of asv's steps before it. It regressed,
and the gate fails, if another run of that commit, in a folder given by --confirm, is above too,
and every run is; runs are distinguished by their start, so a copy of a run confirms nothing. A
suspect that was not repeated does not fail the gate: the command that repeats it is printed. A
ratio whose benchmark broke fails it at once.

{EXIT_CODES}

\b
Examples:
  mimverify history --html history.html
  mimverify history --figure steps.svg --benchmark stage1.Step.time_work
  mimverify history --gate --suspects commits.txt
  mimverify history --gate --confirm first-results
"""


@click.command(epilog=_EPILOG)
@click.argument("results", default="asv_benchmarks/results")
@click.option("--html", "html_path", metavar="FILE",
              help="Write a page of pictures that needs no network; '-' for standard output "
              "(needs the extra 'figures').")  # fmt: skip
@figure_option("Draw time against d, slopes, prefactors and ratios")
@click.option("--benchmark", metavar="NAME",
              help="What --figure draws instead: a benchmark, by asv's name.")  # fmt: skip
@click.option("--from-dim", type=Count(1), default=1, metavar="D",
              help="Fit slopes to d ≥ D only, where overhead no longer counts.")  # fmt: skip
@click.option("--gate", is_flag=True, help="Exit with 1 if a ratio regressed, or broke.")
@click.option("--threshold", type=Number(), default=1.1, show_default=True,
              help="Multiple of the best step that a ratio may reach.")  # fmt: skip
@click.option("--confirm", "confirmations", multiple=True, metavar="RESULTS",
              help="Results with another run of the suspects; repeat the option.")  # fmt: skip
@click.option("--suspects", "suspects_path", metavar="FILE",
              help="Write the commits to repeat, one a line, as asv's HASHFILE: reads them; "
              "empty if there are none.")  # fmt: skip
@click.option("--all", "everything", is_flag=True,
              help="Print every table, not only what matters first.")  # fmt: skip
@json_option
def history(
    results: str,
    html_path: str | None,
    figure_path: str | None,
    benchmark: str | None,
    from_dim: int,
    gate: bool,
    threshold: float,
    confirmations: tuple[str, ...],
    suspects_path: str | None,
    everything: bool,
    json_path: str | None,
) -> int:
    """Show how the benchmarks grow with d, and how they changed over the commits.

    RESULTS is asv's folder of results (default: asv_benchmarks/results). What matters comes
    first, in ten lines: the gate, regressions of ratios, how time and memory grow with d, what
    broke. Seconds of different days are shown, never judged.
    """
    from mimverify.performance.history import (
        evaluate_gate,
        make_report,
        read_history,
        text_of,
    )
    from mimverify.performance.history.page import page_of
    from mimverify.performance.history.pictures import figure_of

    outputs = {"--html": html_path, "--json": json_path, "--suspects": suspects_path}
    check_figure(figure_path)
    for argument, path in outputs.items():
        check_writable(argument, path)
    check_distinct({**outputs, "--figure": figure_path})
    if html_path is not None:
        check_matplotlib("--html")
    if benchmark is not None and figure_path is None:
        raise InputError("--benchmark belongs to a figure: expected --figure too")
    if (json_path, html_path, suspects_path).count("-") > 1:
        raise InputError("--html, --json, --suspects: expected '-' for one of them at most")
    if not gate and (confirmations or suspects_path is not None):
        raise InputError("--confirm and --suspects belong to the gate: expected --gate too")
    found = read_history(Path(results))
    repeated = [read_history(Path(path), "--confirm") for path in confirmations]
    evaluated = evaluate_gate(found, repeated, threshold) if gate or _has_ratios(found) else None
    report = make_report(found, gate=evaluated, least_dim=from_dim)
    drawing = None if figure_path is None else figure_of(report, benchmark)
    if html_path is not None:
        write_text(html_path, page_of(report, command_line(without=_OF_FILES)))
    if figure_path is not None and drawing is not None:
        draw, size = drawing
        save_figure(draw, figure_path, size=size)
    if suspects_path is not None and evaluated is not None:
        write_text(suspects_path, "".join(f"{commit.hash}\n" for commit in evaluated.to_repeat))
    if "-" in (html_path, suspects_path):
        deliver(json_path, report.to_json, lambda: ())
    else:
        deliver(json_path, report.to_json, lambda: text_of(report, everything=everything))
    if gate and evaluated is not None:
        return FAILED if not evaluated.passed else _shown(bool(evaluated.compared))
    return _shown(bool(found.series))


def _shown(anything: bool) -> int:
    return VERIFIED if anything else NOTHING_VERIFIED


def _has_ratios(found: History) -> bool:
    return any(series.unit == RATIO for series in found.series)
