"""The tables of a report: trainers by their outcome, claims by their verdict."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mimverify.pages import Cell, Column, Table
from mimverify.trial.claims.claim_set import ClaimSet
from mimverify.trial.outcomes import Status
from mimverify.trial.running.verdict import Verdict

__all__ = ["SIGNS", "TrainerSummary", "measured", "pointer", "summary_table", "verdict_table"]

#: A status as a sign and a tone of `Cell`; its word stands beside them.
SIGNS = {
    Status.PASSED: ("✓", "good"),
    Status.FAILED: ("✗", "bad"),
    Status.INCONCLUSIVE: ("?", "warn"),
    Status.NOT_APPLICABLE: ("–", "faint"),
    Status.EXPECTED_FAILURE: ("✗", "faint"),
    Status.UNEXPECTED_PASS: ("!", "warn"),
    Status.ERROR: ("✗", "bad"),
}


@dataclass(frozen=True)
class TrainerSummary:
    """A row of the summary: the trainer's name, its outcome with a tone, claims by status."""

    trainer: str
    outcome: str
    tone: str
    counts: Mapping[str, int]
    seconds: float


def summary_table(trainers: Sequence[TrainerSummary]) -> Table:
    """Trainers, and how many of their claims had each outcome; pointers into `Report.to_json`."""
    columns = [Column("trainer"), Column("outcome")]
    columns += [Column(str(status), numeric=True) for status in Status]
    columns.append(Column("seconds", numeric=True))
    rows = []
    for index, one in enumerate(trainers):
        counts = [
            Cell(
                str(one.counts[status]),
                SIGNS[status][1] if one.counts[status] else "faint",
                f"/trainers/{index}/summary/{status}",
            )
            for status in Status
        ]
        seconds = Cell(f"{one.seconds:.1f}", pointer=f"/trainers/{index}/seconds")
        rows.append([Cell(one.trainer, code=True), Cell(one.outcome, one.tone), *counts, seconds])
    return Table("Claims by their outcome", columns, rows)


def verdict_table(
    trainer: str, verdicts: Sequence[Verdict], claim_set: ClaimSet, index: int = 0
) -> Table:
    """A row for each claim; pointers into `Report.to_json`, where the trainer is at `index`."""
    columns = [
        Column("claim"), Column("verdict"), Column("measured"), Column("source"),
        Column("s", numeric=True),
    ]  # fmt: skip
    rows = []
    for place, verdict in enumerate(verdicts):
        sign, tone = SIGNS[verdict.status]
        claim = claim_set.claims.get(verdict.id)
        rows.append(
            [
                Cell(verdict.id, code=True),
                Cell(f"{sign}\u00a0{verdict.status}", tone),
                Cell(measured(verdict) or "–"),
                Cell(claim.source if claim else ""),
                Cell(f"{verdict.seconds:.1f}", pointer=pointer(index, place, "seconds")),
            ]
        )
    return Table(f"Verdicts on {trainer}, in the claims' order", columns, rows)


def measured(verdict: Verdict) -> str:
    """What was measured, or why nothing was; "" for nothing to say."""
    if verdict.status is Status.NOT_APPLICABLE:
        return f"{verdict.message} (without need)" if verdict.avoidable else verdict.message
    return verdict.evidence.summary


def pointer(trainer: int, claim: int, rest: str) -> str:
    """Into `Report.to_json`, by the places of a trainer and a claim."""
    return f"/trainers/{trainer}/claims/{claim}/{rest}"
