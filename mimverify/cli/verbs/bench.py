"""`mimverify bench`: the time of a step of training, compared with competitors."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from contextlib import nullcontext
from typing import TYPE_CHECKING

import click
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from mimverify.cli.exit_codes import ExitCodes
from mimverify.cli.number_types import Count
from mimverify.cli.options import (
    PageConsole,
    check_writable,
    deliver,
    json_option,
    seed_option,
    threads_option,
)
from mimverify.performance.competitors import COMPETITORS, STARTS
from mimverify.support.exit_status import FAILED, NOTHING_VERIFIED, VERIFIED
from mimverify.support.validation import choice, integer

if TYPE_CHECKING:
    from mimverify.performance.competitors import BenchmarkRun, Case, Estimate, Problem

SECTION = "Measure"
EXIT_CODES = ExitCodes(
    success="timed",
    failure="a contender failed",
    unverified="nothing was timed",
)

_EPILOG = """
Competitors, by default all: {names}; or your own, as module:attribute.

Each has a process of its own, which is stopped while another one is timed. docs/baselines.md
says what each of them does.

\b
Examples:
  mimverify bench
  mimverify bench -d 1024 -m 64 --start symmetric --json bench.json
  mimverify bench --contender numpy --contender 'jax grad' --rounds 15

{codes}
"""


@click.command(epilog=_EPILOG.format(names=", ".join(COMPETITORS), codes=EXIT_CODES))
@click.option(
    "-d", "--dim", "dims", type=Count(), multiple=True, metavar="D", default=(512, 1024, 2048),
    show_default=True, help="Input dimensions; repeat the option.",
)  # fmt: skip
@click.option(
    "-m", "--neurons", type=Count(), multiple=True, metavar="M", default=(64, 16),
    show_default=True, help="Neurons; repeat the option.",
)  # fmt: skip
@click.option("--ratio", type=Count(), default=16, show_default=True, metavar="R",
              help="Samples for each dimension, n/d.")  # fmt: skip
@click.option("--dtype", default="float32", show_default=True, metavar="F",
              help="float32 or float64.")  # fmt: skip
@click.option(
    "--start", default="both", show_default=True, metavar="|".join((*STARTS, "both")),
    help="A network without structure, one of mirrored pairs, or one after the other.",
)  # fmt: skip
@click.option("--rounds", type=Count(maximum=10**6), default=7, show_default=True,
              help="How often each competitor is timed, in turn.")  # fmt: skip
@click.option(
    "--contender", "competitors", multiple=True, metavar="NAME",
    help="Only this one; repeat the option.",
)  # fmt: skip
@click.option(
    "--device", metavar="DEVICE",
    help="Time our steps and the bare products there, cuda, say; --contender adds others.",
)  # fmt: skip
@seed_option
@threads_option
@json_option
@click.option("--quiet", "-q", is_flag=True, help="No progress on standard error.")
def bench(
    dims: tuple[int, ...],
    neurons: tuple[int, ...],
    ratio: int,
    dtype: str,
    start: str,
    rounds: int,
    competitors: tuple[str, ...],
    device: str | None,
    seed: int,
    threads: int | None,
    json_path: str | None,
    quiet: bool,
) -> int:
    """Time one step of the first layer against the bare matrix products, other libraries and
    an eigen-solver, on the same data in the same run.

    Ratios are medians of those of single rounds, with intervals: of at least 95 % from six
    rounds on. Other work on the machine makes all of it worthless.
    """
    from mimverify.performance.competitors import BenchmarkRun, names_on
    from mimverify.training.on_device import check_device_name

    check_writable("--json", json_path)
    if device is not None:
        competitors = (*names_on(check_device_name(device), dtype), *competitors)
    problems = _problems(dims, neurons, ratio, dtype, start, seed)
    with BenchmarkRun(competitors or None, rounds=rounds, threads=threads) as benchmark:
        for problem in problems:
            benchmark.check(problem)
        complete = False
        try:
            _run(benchmark, problems, quiet)
            complete = True
        finally:
            benchmark.close()
            if benchmark.cases:  # they took minutes: kept even if the rest failed
                deliver(
                    json_path,
                    lambda: {**benchmark.to_json(), "complete": complete},
                    lambda: _page(benchmark),
                )
        return _exit_code(benchmark)


def _exit_code(benchmark: BenchmarkRun) -> int:
    """1 if a contender failed, 3 if none was timed; one that lacks a library did not fail."""
    tried = [
        entry
        for case in benchmark.cases
        for name, entry in case.entries.items()
        if name not in benchmark.missing
    ]
    if any(entry.failure is not None for entry in tried):
        return FAILED
    return VERIFIED if any(entry.time is not None for entry in tried) else NOTHING_VERIFIED


def _problems(
    dims: tuple[int, ...],
    neurons: tuple[int, ...],
    ratio: int,
    dtype: str,
    start: str,
    seed: int,
) -> list[Problem]:
    """All combinations; those that share their data follow one another."""
    from mimverify.performance.competitors import Problem

    chosen = choice("start", start, (*STARTS, "both"))
    starts = STARTS if chosen == "both" else (chosen,)
    ratio = integer("ratio", ratio, minimum=1)
    return [
        Problem(dim, m, ratio * dim, dtype, one, seed)
        for dim in dict.fromkeys(dims)
        for m in dict.fromkeys(neurons)
        for one in starts
    ]


def _run(benchmark: BenchmarkRun, problems: list[Problem], quiet: bool) -> None:
    console = PageConsole(stderr=True)
    shown = not quiet and sys.stderr.isatty()
    with console.status("", spinner="dots") if shown else nullcontext() as status:

        def report(problem: Problem, words: str) -> None:
            if status is not None:
                status.update(f"{_title(problem)}: {words}")

        for problem in problems:
            benchmark.run(problem, report)


def _title(problem: Problem) -> str:
    return (
        f"d = {problem.dim}, n = {problem.samples}, m = {problem.neurons}, {problem.dtype}, "
        f"{problem.start} start"
    )


def _page(benchmark: BenchmarkRun) -> Iterable[RenderableType]:
    from mimverify.performance.competitors import estimate
    from mimverify.support.machine import cpu_name

    threads = "the libraries' own" if benchmark.threads is None else str(benchmark.threads)
    covered = estimate([0.0] * benchmark.rounds).coverage
    yield (
        f"One step of the first layer on {cpu_name()}; threads: {threads}; "
        f"rounds: {benchmark.rounds}"
    )
    for case in benchmark.cases:
        yield ""
        yield Text(_title(case.problem), style="bold")
        yield _table(case, f"{100 * covered:.0f} %")
        yield from _remarks(benchmark, case)
    for name, reason in benchmark.missing.items():
        yield f"{name} was left out: {reason}."
    yield (
        "ms: median of a step. ×prod: its ratio to the two bare products in the same library. "
        "×ours: to the fastest of our backends. Beside both, intervals from the rounds and the "
        "probability with which they hold. GFLOP/s: of the products that the step needs. GB/s: X "
        "read once. limit: the least time at the measured peaks, in % of this one."
    )


def _table(case: Case, interval: str) -> Table:
    table = Table(box=None, pad_edge=False, collapse_padding=True)
    table.add_column("contender", no_wrap=True)
    for heading in ("ms", "×prod", interval, "×ours", interval, "GFLOP/s", "GB/s", "limit"):
        table.add_column(heading, justify="right", no_wrap=True)
    for name, entry in case.entries.items():
        time = entry.time
        if time is None:
            continue
        table.add_row(
            name[:14],
            _short(1e3 * time.median),
            *_ratio(case.to_products(name)),
            *_ratio(case.to_fastest(name)),
            *_rates(case.rates(name)),
            style="bold" if entry is case.fastest else None,
        )
    return table


def _remarks(benchmark: BenchmarkRun, case: Case) -> Iterable[RenderableType]:
    if case.peaks:
        flops, speed = case.peaks["flops"] / 1e9, case.peaks["bytes"] / 1e9
        yield f"Peaks in this run: {flops:.0f} GFLOP/s, {speed:.1f} GB/s."
    for name, entry in case.entries.items():
        if entry.failure is not None and name not in benchmark.missing:
            yield f"{name} failed: {entry.failure}"
        elif entry.note:
            yield f"{name}: {entry.note}."


def _rates(value: tuple[float, float, float | None] | None) -> tuple[str, str, str]:
    if value is None:
        return "-", "-", "-"
    flops, nbytes, reached = value
    limit = "-" if reached is None else f"{100 * reached:.0f}"
    return _short(flops / 1e9), _short(nbytes / 1e9), limit


def _ratio(value: Estimate | None) -> tuple[str, str]:
    if value is None:
        return "-", "-"
    return _short(value.median), f"{_short(value.low)}–{_short(value.high)}"


def _short(value: float) -> str:
    """Three digits, as many as fit into a column."""
    digits = 0 if value >= 99.95 else 1 if value >= 9.995 else 2
    return f"{value:.{digits}f}"
