"""`mimverify check`: put trainers on trial."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from mimverify.cli.options import (
    PipedConsole,
    check_writable,
    json_option,
    seed_option,
    write_json,
)
from mimverify.files import write_whole
from mimverify.trial.profile import FALSE_ALARM_BUDGET, PROFILES
from mimverify.trial.report import Report, TrainerReport, print_verdicts
from mimverify.trial.runner import SuiteOptions, ids, run_suite
from mimverify.trial.session import REFERENCE_TRAINERS


@click.command(
    epilog="Exit code: 0 nothing failed, 1 a claim failed or errored, 2 wrong usage or input."
)
@click.argument("trainers", nargs=-1, metavar="[TRAINER]...")
@click.option("--profile", type=click.Choice(list(PROFILES)), default="quick", show_default=True)
@click.option("--claim", "claims", multiple=True, metavar="ID", help="Only this claim; repeatable.")
@seed_option
@json_option
@click.option("--junitxml", metavar="FILE", help="Write the verdicts as JUnit XML.")
@click.option(
    "--expected-failures", metavar="FILE", help="Lines of 'claim-id: reason' that may fail."
)
@click.option(
    "--budget", type=float, default=FALSE_ALARM_BUDGET, show_default=True,
    help="Total false-alarm probability for each trainer.",
)  # fmt: skip
@click.option(
    "--time-limit", type=float, default=None, metavar="SECONDS",
    help="Of one call of the trainer (default: the profile's).",
)  # fmt: skip
@click.option(
    "--threads", type=click.IntRange(min=1), default=1, show_default=True,
    help="Threads of the trainer's libraries; a trial's problems are too small for more.",
)  # fmt: skip
def check(
    trainers: tuple[str, ...],
    profile: str,
    claims: tuple[str, ...],
    seed: int,
    json_path: str | None,
    junitxml: str | None,
    expected_failures: str | None,
    budget: float,
    time_limit: float | None,
    threads: int,
) -> int:
    """Put trainers on trial and print a verdict per claim.

    A TRAINER is 'module:attribute', naming an instance, a class or a function without
    arguments; or 'numpy' or 'torch', the reference trainers. Without any, both of these.
    """
    check_writable("--json", json_path)
    check_writable("--junitxml", junitxml)
    options = SuiteOptions(
        profile, seed, budget, ids(claims), expected_failures, time_limit, threads
    )
    report = Report(profile, seed, budget)
    console = PipedConsole(stderr=json_path == "-")
    try:
        for trainer in trainers or tuple(REFERENCE_TRAINERS):
            report.trainers.append(_try(trainer, options, console))
            _show(report.trainers[-1], console)
    except KeyboardInterrupt as interrupt:
        report.interrupted = True
        for partial in interrupt.args:
            report.trainers.append(partial)
            _show(partial, console)
        raise
    finally:
        if json_path is not None:
            write_json(json_path, report.to_json())
        if junitxml is not None:
            write_whole(Path(junitxml), report.to_junit())
    return report.exit_code


def _try(trainer: str, options: SuiteOptions, console: Console) -> TrainerReport:
    columns = (
        TextColumn("{task.fields[trainer]}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.description}"),
    )
    quiet = not console.is_terminal
    with Progress(*columns, console=console, transient=True, disable=quiet) as progress:
        task = progress.add_task("starting", total=None, trainer=trainer)

        def on_event(kind: str, event: dict[str, Any]) -> None:
            if kind == "begin":
                progress.update(task, total=len(event["claims"]), completed=0)
            elif kind == "start":
                progress.update(task, description=event["claim"])
            elif kind == "verdict":
                progress.advance(task)

        return run_suite(trainer, options, on_event=on_event)


def _show(report: TrainerReport, console: Console) -> None:
    if report.verdicts:
        print_verdicts(report.trainer, report.verdicts, console=console)
    for name in report.unmatched:
        console.print(f"expected failure {name!r} matches no claim", style="yellow", markup=False)
    if report.problem:
        message = " ".join(report.problem.split())
        click.echo(f"Error: {report.trainer}: {message}", err=True)
    if report.unfinished and report.verdicts:
        console.print(f"not reached: {', '.join(report.unfinished)}", style="yellow")
    if report.verdicts:
        counts = ", ".join(f"{count} {status}" for status, count in report.summary.items() if count)
        console.print(f"{report.trainer}: {counts} in {report.seconds:.1f} s\n", markup=False)
        if not report.summary["passed"] and not report.exit_code:
            console.print("No claim passed: nothing was verified.", style="yellow")
