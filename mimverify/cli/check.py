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
from mimverify.threads import available_cores
from mimverify.trial.profile import FALSE_ALARM_BUDGET, PROFILES
from mimverify.trial.report import Report, TrainerReport, print_verdicts
from mimverify.trial.runner import SuiteOptions, ids, run_suite
from mimverify.trial.selection import matching
from mimverify.trial.session import REFERENCE_TRAINERS, select_claims


@click.command(
    epilog="Exit code: 0 nothing failed, 1 a claim failed or errored, 2 wrong usage or input."
)
@click.argument("trainers", nargs=-1, metavar="[TRAINER]...")
@click.option("--profile", type=click.Choice(list(PROFILES)), default="quick", show_default=True)
@click.option("--claim", "claims", multiple=True, metavar="ID", help="Only this claim; repeatable.")
@click.option(
    "-k", "expression", metavar="EXPRESSION",
    help="Only claims whose ids contain this; with and, or, not and parentheses.",
)  # fmt: skip
@click.option(
    "-n", "--workers", type=click.IntRange(min=1), default=min(2, available_cores()),
    show_default="2, or 1 on one core",
    help="Processes that share the claims of one trainer.",
)  # fmt: skip
@seed_option
@json_option
@click.option("--junitxml", metavar="FILE", help="Write the verdicts as JUnit XML.")
@click.option(
    "--capsules", metavar="FOLDER",
    help="Write a file for each failure there, for mimverify replay (default: none).",
)  # fmt: skip
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
    expression: str | None,
    workers: int,
    seed: int,
    json_path: str | None,
    junitxml: str | None,
    capsules: str | None,
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
    chosen = ids(claims)
    if expression is not None:
        chosen = tuple(matching(expression, chosen or select_claims(None)))
    options = SuiteOptions(
        profile=profile,
        seed=seed,
        budget=budget,
        claims=chosen,
        expected_failures=expected_failures,
        call_seconds=time_limit,
        threads=threads,
        capsules=capsules,
        workers=workers,
    )
    report = Report(profile, seed, budget)
    console = PipedConsole(stderr=json_path == "-")
    try:
        for trainer in trainers or tuple(REFERENCE_TRAINERS):
            report.trainers.append(_try(trainer, options, console))
            _show(report.trainers[-1], console)
        if not chosen:
            _tell_of_larger_profiles(profile, console)
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

        under_way: list[str] = []

        def on_event(kind: str, event: dict[str, Any]) -> None:
            if kind == "begin":
                progress.update(task, total=len(event["claims"]), completed=0)
            elif kind == "start":
                under_way.append(event["claim"])
            elif kind == "verdict":
                under_way.remove(event["verdict"]["id"])
                progress.advance(task)
            progress.update(task, description=", ".join(under_way))

        return run_suite(trainer, options, on_event=on_event)


def _tell_of_larger_profiles(profile: str, console: Console) -> None:
    tried = select_claims(None, profile)
    waiting = [name for name in select_claims(None) if name not in tried]
    if waiting:
        console.print(
            f"Not tried in the {profile} profile: {', '.join(waiting)}. Name one with --claim, or "
            "take a larger --profile.",
            style="dim",
        )


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
