"""What is printed below the table: the cause of a trial's failures, then a message for each."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence

from rich.console import Console
from rich.text import Text

from mimverify.trial.diagnosis.causes import Causes, reconcile
from mimverify.trial.diagnosis.repetition import REPEATED
from mimverify.trial.outcomes import Status
from mimverify.trial.running.verdict import Verdict

__all__ = ["STYLES", "cause_lines", "causes_of", "message_lines", "print_messages"]

STYLES = {
    Status.PASSED: "green",
    Status.FAILED: "bold red",
    Status.INCONCLUSIVE: "yellow",
    Status.NOT_APPLICABLE: "dim",
    Status.EXPECTED_FAILURE: "cyan",
    Status.UNEXPECTED_PASS: "yellow",
    Status.ERROR: "bold magenta",
}


def causes_of(verdicts: Sequence[Verdict]) -> Causes:
    """The known rules that fit all failures of a trial, and what was seen in them."""
    wrong = (Status.FAILED, Status.EXPECTED_FAILURE)
    evidence = {v.id: v.evidence for v in verdicts if v.status in wrong}
    return reconcile(
        {claim: each.divergence for claim, each in evidence.items()},
        {claim: each.seen for claim, each in evidence.items()},
    )


def cause_lines(verdicts: Sequence[Verdict]) -> list[str]:
    """What all failures of a trial say together, a line each: rule, repeated calls, stage."""
    causes = causes_of(verdicts)
    lines = [*(f"cause: {line}" for line in causes.lines), *causes.remedies]
    found: dict[str, list[str]] = {}
    for verdict in verdicts:
        repetition = verdict.evidence.repetition
        if repetition is not None and repetition.found != REPEATED:
            found.setdefault(f"repeated calls: {repetition.found}", []).append(verdict.id)
        for stage in {str(note["blamed"]) for note in verdict.evidence.notes if note.get("blamed")}:
            found.setdefault(f"stage at fault in fit(): {stage}", []).append(verdict.id)
    return lines + [f"{finding} ({', '.join(ids)})" for finding, ids in found.items()]


def message_lines(verdict: Verdict) -> list[str]:
    """A verdict's message in its parts: what failed, then what was found about it."""
    evidence, message, parts = verdict.evidence, verdict.message, []
    for found in (evidence.tried, evidence.looked, evidence.repetition, evidence.divergence):
        part = str(found or "")
        if part and message.endswith(part):
            message = message.removesuffix(part).removesuffix("; ")
            parts.append(part)
    return [message, *reversed(parts)]


def print_messages(
    verdicts: Sequence[Verdict], console: Console, *, verbose: bool
) -> Iterator[Verdict]:
    """Print each verdict's message, and how to see it again; then yield it.

    What was found about the wrong step is printed once where one cause explains several, unless
    `verbose`.
    """
    causes = causes_of(verdicts)
    explained = set(causes.claims[1:]) if causes.rules and not verbose else set()
    for verdict in verdicts:
        _print_message(verdict, console, explained=verdict.id in explained)
        yield verdict


def _print_message(verdict: Verdict, console: Console, *, explained: bool) -> None:
    if not verdict.message or verdict.status is Status.NOT_APPLICABLE:
        return
    first, *others = message_lines(verdict)
    if explained:
        others = []
    line = Text(f"{verdict.id}: {verdict.status}", style=STYLES[verdict.status])
    console.print(line + Text(f": {first}", style="default"))
    for other in others:
        console.print(Text(f"  {other}"))
    if verdict.status.bad and verdict.reproduce:
        console.print(Text(f"  reproduce: {verdict.reproduce}"), soft_wrap=True)
    if verdict.capsule:
        command = f"mimverify replay {shlex.quote(verdict.capsule)}"
        console.print(Text(f"  replay: {command}"), soft_wrap=True)
    if verdict.evidence.no_capsule:
        console.print(Text(f"  no capsule: {verdict.evidence.no_capsule}"))
