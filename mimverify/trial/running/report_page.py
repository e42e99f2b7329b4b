"""The report of a trial as a page: what was found first, evidence and data behind it."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from mimverify.pages import (
    Cell,
    Column,
    FigureBlock,
    Fold,
    Table,
    figure_svg,
    has_matplotlib,
    render,
)
from mimverify.support.machine import machine_facts
from mimverify.support.strict_json import Json
from mimverify.trial.claims.claim_set import ClaimSet
from mimverify.trial.decisions import risk_text
from mimverify.trial.outcomes import Status
from mimverify.trial.running.evidence_figure import (
    EVIDENCE_CAPTION,
    against_bounds,
    evidence_figure,
    figure_size,
)
from mimverify.trial.running.message_report import cause_lines, message_lines
from mimverify.trial.running.report import Report, TrainerReport
from mimverify.trial.running.report_tables import (
    SIGNS,
    pointer,
    summary_table,
    verdict_table,
)
from mimverify.trial.running.verdict import Verdict

__all__ = ["check_page"]

_MEMORY = 2**30


@dataclass(frozen=True)
class _Message:
    """A claim that did not pass: what was found, and how to see it again."""

    claim: str
    status: str
    tone: str
    lines: Sequence[str]
    commands: Sequence[str]


@dataclass(frozen=True)
class _Trainer:
    """What the page says of one trainer."""

    report: TrainerReport
    anchor: str
    outcome: str
    tone: str
    causes: Sequence[str]
    figure: FigureBlock | None
    no_figure: str
    verdicts: Table
    messages: Sequence[_Message]
    evidence: Sequence[tuple[str, str, Sequence[tuple[str, str]], Sequence[Fold | Table]]]


def check_page(report: Report, command: str) -> str:
    """The page of a run, finished or not.

    **Arguments**

    - `command`: the command line that repeats the run.
    """
    trainers = [_trainer(report, index, command) for index in range(len(report.trainers))]
    names = [trainer.trainer for trainer in report.trainers]
    single = names[0] if len(names) == 1 else f"{len(names)} trainers"
    ledgers = [
        verdict.evidence.ledger
        for trainer in report.trainers
        for verdict in trainer.verdicts
        if verdict.evidence.ledger is not None
    ]
    record = report.to_json()
    return render(
        "check.html.j2",
        {
            "title": f"Trial of {single}" if names else "Trial without a trainer",
            "lead": f"{report.settings.claim_set.about.title}, "
            f"claim set {report.settings.claim_set.about.version}, "
            f"{report.settings.profile.name} profile, seed {report.settings.seed}.",
            "interrupted": report.interrupted,
            "summary": summary_table(report.summaries),
            "trainers": trainers,
            "risk": None if not ledgers else risk_text(ledgers[0].budget),
            "command": command,
            "facts": list(_facts(report)),
            "data": record,
        },
    )


# -- parts -------------------------------------------------------------------------------------


def _trainer(report: Report, index: int, command: str) -> _Trainer:
    trainer, claim_set = report.trainers[index], report.settings.claim_set
    outcome, tone = trainer.outcome
    figure, no_figure = _figure(trainer, claim_set, index, command)
    return _Trainer(
        trainer,
        f"trainer-{index}",
        outcome,
        tone,
        cause_lines(trainer.verdicts),
        figure,
        no_figure,
        verdict_table(trainer.trainer, trainer.verdicts, claim_set, index),
        [_message(verdict) for verdict in trainer.verdicts if _has_message(verdict)],
        [_evidence(verdict, claim_set, index, k) for k, verdict in enumerate(trainer.verdicts)],
    )


def _figure(
    trainer: TrainerReport, claim_set: ClaimSet, index: int, command: str
) -> tuple[FigureBlock | None, str]:
    """The figure, or why there is none."""
    marks = against_bounds(trainer.verdicts, claim_set)
    if not marks:
        return None, "No decision was made that has a bound: there is nothing to draw."
    drawn = {mark.claim for mark in marks}
    left_out = [verdict.id for verdict in trainer.verdicts if verdict.id not in drawn]
    caption = EVIDENCE_CAPTION
    if left_out:
        caption += f" Without a mark, since nothing was measured: {', '.join(left_out)}."
    failed = [mark for mark in marks if mark.failed]
    svg = None
    if has_matplotlib():
        svg = figure_svg(
            evidence_figure([(trainer.trainer, marks)]),
            alt=f"Evidence of {len(marks)} decisions against their bounds: "
            f"{len(failed)} beyond, {len(marks) - len(failed)} within. The data below have every "
            "number.",
            name=f"evidence{index}",
            size=figure_size([marks]),
        )
    return FigureBlock(
        "Evidence against its bound",
        caption,
        svg,
        f"{command} --figure evidence.svg",
        {"trainer": trainer.trainer, "decisions": [mark.to_json() for mark in marks]},
        f"evidence-{index}",
    ), ""


def _has_message(verdict: Verdict) -> bool:
    return bool(verdict.message) and verdict.status is not Status.NOT_APPLICABLE


def _message(verdict: Verdict) -> _Message:
    commands = [verdict.reproduce] if verdict.status.bad and verdict.reproduce else []
    if verdict.capsule:
        commands.append(f"mimverify replay {shlex.quote(verdict.capsule)}")
    return _Message(
        verdict.id,
        str(verdict.status),
        SIGNS[verdict.status][1],
        message_lines(verdict),
        commands,
    )


def _evidence(
    verdict: Verdict, claim_set: ClaimSet, index: int, place: int
) -> tuple[str, str, list[tuple[str, str]], list[Fold | Table]]:
    """A claim's evidence: its heading, its tone, facts, and what may be unfolded."""
    claim = claim_set.claims.get(verdict.id)
    evidence = verdict.evidence
    facts: list[tuple[str, str]] = []
    if claim is not None:
        facts += [("claim", claim.statement), ("source", claim.source), ("test", claim.measures)]
        facts += [("assumptions", "; ".join(claim.assumptions))] if claim.assumptions else []
    facts.append(("configurations finished", str(evidence.examples)))
    if evidence.ledger is not None:
        facts.append(("false-alarm level", f"{risk_text(evidence.ledger.level)} of each decision"))
    facts += [
        ("omitted", f"{each.decision}: {each.reason} ({each.times} ×)") for each in evidence.omitted
    ]
    facts += [("found", evidence.finding)] if evidence.finding else []
    facts += [("repeats", verdict.reproduce)] if verdict.reproduce else []
    parts: list[Fold | Table] = []
    if evidence.records:
        rows: list[list[Cell | str]] = [
            [
                record.decision,
                Cell("✗ failed", "bad") if record.failed else Cell("within its bound"),
                record.summary,
                Cell(
                    "" if record.statistic is None else f"{record.statistic:.4g}",
                    pointer=pointer(index, place, f"evidence/decisions/{number}/statistic")
                    if record.statistic is not None
                    else "",
                ),
                record.details,
                record.case,
            ]
            for number, record in enumerate(evidence.records)
        ]
        columns: list[Column | str] = [
            "decision", "outcome", "measured", Column("statistic", numeric=True),
            "runs, risk and power", "configuration",
        ]  # fmt: skip
        parts.append(Table(f"Decisions of {verdict.id}", columns, rows))
    output = evidence.output
    for summary, text in (
        ("Traceback", evidence.traceback),
        ("Warnings", "\n".join(map(str, output.warnings))),
        ("Standard output of the trainer", output.stdout),
        ("Standard error of the trainer", output.stderr),
    ):
        if text:
            parts.append(Fold(summary, text))
    return f"{verdict.id}: {verdict.status}", SIGNS[verdict.status][1], facts, parts


def _facts(report: Report) -> Iterator[tuple[str, str]]:
    record: Json = report.to_json()
    machine = machine_facts()
    yield "versions", ", ".join(f"{name} {text}" for name, text in record["versions"].items())
    yield "processor", f"{machine['cpu']}, {machine['cores']} cores in use"
    memory = machine["memory"]
    if memory:
        yield "memory", f"{memory / _MEMORY:.1f} GiB"
    yield "system", str(machine["system"])
    yield "seed", str(report.settings.seed)
    yield "false-alarm budget", risk_text(report.settings.budget)
