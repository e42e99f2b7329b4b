"""`mimverify check`: put trainers on trial."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn

from mimverify.cli.exit_codes import exit_codes
from mimverify.cli.options import (
    PageConsole,
    check_writable,
    json_option,
    write_json,
)
from mimverify.cli.progress_bars import ProgressBars
from mimverify.cli.trial_options import trial_options
from mimverify.support.errors import OutputError
from mimverify.support.exit_status import NOTHING_VERIFIED
from mimverify.support.files import atomic_write
from mimverify.support.strict_json import Json
from mimverify.support.threads import available_cores

if TYPE_CHECKING:
    from mimverify.trial.running.report import Report, TrainerReport
    from mimverify.trial.running.settings import TrialSettings


@click.command(epilog=exit_codes("check"))
@click.argument("trainers", nargs=-1, metavar="[TRAINER]...")
@trial_options(workers=min(2, available_cores()))
@json_option
@click.option("--junitxml", metavar="FILE", help="Write the verdicts as JUnit XML.")
@click.option(
    "-v",
    "--verbose",
    is_flag=True,
    help="Show each decision's risk and power, tracebacks, and what trainers printed.",
)
def check(
    trainers: tuple[str, ...],
    json_path: str | None,
    junitxml: str | None,
    verbose: bool,
    **given: object,
) -> int:
    """Put trainers on trial and print a verdict per claim.

    A TRAINER is 'module:attribute', naming an instance, a class or a function without
    arguments; or 'numpy' or 'torch', the reference trainers. Without any, both of these.
    """
    from mimverify.trial.running.report import Report
    from mimverify.trial.running.session import REFERENCE_TRAINERS
    from mimverify.trial.running.settings import TrialSettings

    check_writable("--json", json_path)
    check_writable("--junitxml", junitxml)
    settings = TrialSettings.of(**given)
    report = Report(settings)
    console = PageConsole(stderr=json_path == "-")
    try:
        for trainer in trainers or tuple(REFERENCE_TRAINERS):
            report.trainers.append(_try(trainer, settings, console))
            _show(report, console, verbose)
        if not settings.claims and settings.expression is None:
            _print_untried(settings, console)
    except KeyboardInterrupt as interrupt:
        report.interrupted = True
        for partial in interrupt.args:
            report.trainers.append(partial)
            _show(report, console, verbose)
        raise
    finally:
        _write(report, json_path, junitxml)
    return report.exit_code


def _write(report: Report, json_path: str | None, junitxml: str | None) -> None:
    """Write the files; one that cannot be written leaves the verdicts as they are."""
    writings: list[Callable[[], None]] = []
    if json_path is not None:
        writings.append(lambda: write_json(json_path, report.to_json()))
    if junitxml is not None:
        writings.append(lambda: atomic_write(Path(junitxml), report.to_junit()))
    for write in writings:
        try:
            write()
        except OutputError as error:
            click.echo(f"Error: {error}", err=True)


def _try(trainer: str, settings: TrialSettings, console: Console) -> TrainerReport:
    from mimverify.trial.running.runner import run_suite

    columns = (
        TextColumn("{task.fields[trainer]}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.description}"),
    )
    quiet = not console.is_terminal
    with ProgressBars(*columns, console=console, transient=True, disable=quiet) as progress:
        task = progress.add_task("starting", total=None, trainer=trainer)

        under_way: list[str] = []

        def on_event(kind: str, event: Json) -> None:
            if kind == "begin":
                progress.update(task, total=len(event["claims"]), completed=0)
            elif kind == "start":
                under_way.append(event["claim"])
            elif kind == "verdict":
                under_way.remove(event["verdict"]["id"])
                progress.advance(task)
            progress.update(task, description=", ".join(under_way))

        return run_suite(trainer, settings, on_event=on_event)


def _print_untried(settings: TrialSettings, console: Console) -> None:
    """Print the claims that only larger profiles include."""
    tried = settings.selected()
    waiting = [name for name in settings.claim_set.claims if name not in tried]
    if waiting:
        console.print(
            f"Not tried in the {settings.profile.name} profile: {', '.join(waiting)}. Name one "
            "with --claim, or take a larger --profile.",
            style="dim",
        )


def _show(whole: Report, console: Console, verbose: bool) -> None:
    """Print the last trainer's verdicts."""
    from mimverify.trial.running.report import print_verdicts

    report = whole.trainers[-1]
    if report.verdicts:
        print_verdicts(
            report.trainer,
            report.verdicts,
            console=console,
            verbose=verbose,
            claim_set=whole.settings.claim_set,
        )
    if report.problem:
        message = " ".join(report.problem.split())
        click.echo(f"Error: {report.trainer}: {message}", err=True)
        if verbose:
            click.echo(report.problem_traceback, err=True, nl=False)
    if report.unfinished and report.verdicts:
        console.print(f"not reached: {', '.join(report.unfinished)}", style="yellow")
    if report.verdicts:
        counts = ", ".join(f"{count} {status}" for status, count in report.summary.items() if count)
        console.print(f"{report.trainer}: {counts} in {report.seconds:.1f} s\n", markup=False)
        if report.exit_code == NOTHING_VERIFIED:
            console.print(f"Not verified: {report.unverified}.", style="yellow", markup=False)
