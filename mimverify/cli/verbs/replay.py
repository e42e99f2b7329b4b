"""`mimverify replay`: repeat a recorded failure."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from mimverify.cli.exit_codes import ExitCodes
from mimverify.cli.number_types import PARALLEL
from mimverify.cli.options import PageConsole, check_writable, json_option, write_json
from mimverify.cli.under_way import under_way
from mimverify.support.threads import thread_limit

if TYPE_CHECKING:
    from mimverify.trial.running.capsule import Capsule
    from mimverify.trial.running.replay import Replay

SECTION = "Put on trial"
EXIT_CODES = ExitCodes(
    success="the recorded example was tried and passed",
    failure="it still fails",
    unverified="the recorded example was not tried, or passed with nothing known to be mended",
)


@click.command(epilog=str(EXIT_CODES))
@click.argument("path", metavar="FILE")
@click.option(
    "--trainer", metavar="MODULE:ATTRIBUTE", help="Try this one instead of the one recorded."
)
@json_option
@click.option(
    "--threads", type=PARALLEL, default=None,
    help="Threads of the trainer's libraries (default: as recorded).",
)  # fmt: skip
@click.option(
    "-v",
    "--verbose",
    is_flag=True,
    help="Show each decision's risk and power, tracebacks, and what trainers printed.",
)
def replay(
    path: str, trainer: str | None, json_path: str | None, threads: int | None, verbose: bool
) -> int:
    """Repeat the failure that a capsule of `mimverify check --capsules` recorded.

    The claim is tried on the recorded configuration alone, with the recorded seeds. The
    trainer and the claims that the file names are imported and run: replay no file that you do
    not trust.
    """
    from mimverify.trial.running.capsule import load_capsule
    from mimverify.trial.running.replay import replay as repeat

    check_writable("--json", json_path)
    capsule, _ = load_capsule(path)
    with (
        under_way(f"{path}: the claim is tried again"),
        thread_limit(1),
    ):  # of this process: as in the run that was recorded
        outcome = repeat(capsule, trainer, threads=threads)
    if json_path is not None:
        write_json(json_path, outcome.to_json())
    if json_path != "-":
        _show(outcome, capsule, trainer, verbose)
    return outcome.exit_code


def _show(outcome: Replay, capsule: Capsule, trainer: str | None, verbose: bool) -> None:
    from mimverify.trial.running.report import print_verdicts

    console = PageConsole()
    print_verdicts(
        trainer or str(capsule.trainer),
        [outcome.verdict],
        console=console,
        verbose=verbose,
        claim_set=capsule.settings.claim_set,
    )
    if not outcome.same:
        console.print(f"Recorded: {outcome.recorded}", markup=False, highlight=False)
    for difference in outcome.differences:
        console.print(f"Not as recorded: {difference}", style="yellow", markup=False)
    console.print(str(outcome.conclusion), style="dim" if outcome.same else "bold")
