"""`mimverify check`: put trainers on trial."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn

from mimverify.cli.exit_codes import ExitCodes
from mimverify.cli.options import (
    PageConsole,
    check_distinct,
    check_figure,
    check_writable,
    command_line,
    figure_option,
    json_option,
    write_json,
    write_text,
)
from mimverify.cli.progress_bars import ProgressBars
from mimverify.cli.trial_options import trial_options
from mimverify.pages.figures import save_figure
from mimverify.support.errors import InputError, OutputError
from mimverify.support.exit_status import NOTHING_VERIFIED
from mimverify.support.files import atomic_write
from mimverify.support.strict_json import Json
from mimverify.support.threads import available_cores

if TYPE_CHECKING:
    from mimverify.trial.running.report import Report, TrainerReport
    from mimverify.trial.running.settings import TrialSettings

SECTION = "Put on trial"
EXIT_CODES = ExitCodes(
    success="verified: claims passed, none failed",
    failure="a claim failed or errored",
    unverified="no claim passed, or with --strict something stayed undecided",
    outlive_output=True,
)

#: Options that only say where results go.
_OUTPUTS = ("json_path", "junitxml", "html_path", "figure_path", "verbose")


@click.command(epilog=str(EXIT_CODES))
@click.argument("trainers", nargs=-1, metavar="[TRAINER]...")
@trial_options(workers=min(2, available_cores()))
@json_option
@click.option("--junitxml", metavar="FILE", help="Write the verdicts as JUnit XML.")
@click.option(
    "--html",
    "html_path",
    metavar="FILE",
    help="Write a page that needs no network: verdicts, evidence, data; '-' prints it.",
)
@click.option(
    "--device", metavar="DEVICE",
    help="Of the reference trainer torch: cpu, cuda, cuda:1, …",
)  # fmt: skip
@figure_option("Draw the evidence for each claim against its bound")
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
    html_path: str | None,
    device: str | None,
    figure_path: str | None,
    verbose: bool,
    **given: object,
) -> int:
    """Put trainers on trial and print a verdict per claim.

    A TRAINER is 'module:attribute', naming an instance, a class or a function without
    arguments; 'process:COMMAND', a program that answers through pipes (docs/protocol.md); or
    'numpy' or 'torch', the reference trainers. Without any, both of these. With --device it is
    'torch' alone, and 'torch:cuda' means the same.
    """
    files = {"--json": json_path, "--junitxml": junitxml, "--html": html_path}
    for argument, path in files.items():
        check_writable(argument, path)
    check_figure(figure_path)
    check_distinct({**files, "--figure": figure_path})
    if json_path == html_path == "-":
        raise InputError("--json, --html: expected '-' for one of them at most")
    from mimverify.trial.running.report import Report
    from mimverify.trial.running.session import REFERENCE_TRAINERS
    from mimverify.trial.running.settings import TrialSettings

    if device is not None:
        trainers = _on_device(trainers, device)
    settings = TrialSettings.of(**given)
    report = Report(settings)
    console = PageConsole(stderr="-" in (json_path, html_path))
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
        _write(report, json_path, junitxml, html_path, figure_path)
    return report.exit_code


def _on_device(trainers: tuple[str, ...], device: str) -> tuple[str, ...]:
    from mimverify.backends import get_backend
    from mimverify.training.on_device import check_device_name

    for trainer in trainers:
        if trainer != "torch":
            raise InputError(
                f"--device {device}: is for the reference trainer 'torch': {trainer!r} chooses its "
                "own device"
            )
    get_backend("torch", "float32", check_device_name(device))  # there is such a device
    return tuple(f"{trainer}:{device}" for trainer in trainers or ("torch",))


def _write(
    report: Report,
    json_path: str | None,
    junitxml: str | None,
    html_path: str | None,
    figure_path: str | None,
) -> None:
    """Write the files; one that cannot be written leaves the verdicts as they are."""
    from mimverify.trial.running.report_page import check_page

    command = command_line(without=_OUTPUTS)
    writings: list[Callable[[], None]] = []
    if json_path is not None:
        writings.append(lambda: write_json(json_path, report.to_json()))
    if junitxml is not None:
        writings.append(lambda: atomic_write(Path(junitxml), report.to_junit()))
    if html_path is not None:
        writings.append(lambda: write_text(html_path, check_page(report, command)))
    if figure_path is not None:
        writings.append(lambda: _draw(report, figure_path))
    for write in writings:
        try:
            write()
        except OutputError as error:
            click.echo(f"Error: {error}", err=True)


def _draw(report: Report, path: str) -> None:
    """The figure of all trainers, if there is anything to draw."""
    from mimverify.trial.running.evidence_figure import (
        against_bounds,
        evidence_figure,
        figure_size,
    )

    found = [
        (trainer.trainer, against_bounds(trainer.verdicts, report.settings.claim_set))
        for trainer in report.trainers
    ]
    drawn = [(name, marks) for name, marks in found if marks]
    if not drawn:
        click.echo(f"{path}: not drawn: no decision was made that has a bound", err=True)
        return
    save_figure(evidence_figure(drawn), path, size=figure_size([marks for _, marks in drawn]))


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
