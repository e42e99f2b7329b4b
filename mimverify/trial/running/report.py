"""Reports: verdicts as a printed table, as JSON and as JUnit XML."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from xml.etree import ElementTree

from rich.console import Console
from rich.table import Table
from rich.text import Text

from mimverify.native import pass_in_use
from mimverify.pages.blocks import Table as HtmlTable
from mimverify.pages.notebook import ShownInNotebooks
from mimverify.support.exit_status import (
    FAILED,
    NOTHING_VERIFIED,
    VERIFIED,
    WRONG_INPUT,
    worst,
)
from mimverify.support.strict_json import Json
from mimverify.support.versions import software_versions
from mimverify.trial.claims.claim_set import ClaimSet
from mimverify.trial.decisions import USUALLY, risk_text
from mimverify.trial.diagnosis.causes import Causes
from mimverify.trial.outcomes import Status
from mimverify.trial.running.message_report import STYLES, cause_lines, causes_of, print_messages
from mimverify.trial.running.not_covered import not_covered
from mimverify.trial.running.output_report import OutputReport, add_output_elements
from mimverify.trial.running.report_tables import (
    TrainerSummary,
    measured,
    summary_table,
    verdict_table,
)
from mimverify.trial.running.settings import TrialSettings
from mimverify.trial.running.verdict import Verdict

__all__ = ["Report", "TrainerReport", "print_verdicts", "run_record"]

#: Decisions of equal runs, risk and power that are listed one by one at most.
_ALIKE = 3


@dataclass
class TrainerReport:
    """One trainer's verdicts.

    **Arguments**

    - `trainer`: its name.
    - `verdicts`: of the claims that were finished, in order.
    - `capabilities`: what it offers, None if it could not be constructed.
    - `problem`: why the trial could not begin or ended early, else "".
    - `problem_traceback`: of the exception in the trainer's code that is the problem, or "".
    - `bad_input`: whether the problem is an input error: exit code 2.
    - `unfinished`: selected claims that were not reached.
    - `seconds`: time spent.
    - `strict`: whether nothing may stay undecided, see `Verdict.undecided`.
    """

    trainer: str
    verdicts: list[Verdict] = field(default_factory=list)
    capabilities: Json | None = None
    problem: str = ""
    problem_traceback: str = ""
    bad_input: bool = False
    unfinished: list[str] = field(default_factory=list)
    seconds: float = 0.0
    strict: bool = False

    @property
    def summary(self) -> dict[str, int]:
        """Number of verdicts by status, all seven."""
        counts = Counter(verdict.status for verdict in self.verdicts)
        return {str(status): counts[status] for status in Status}

    @property
    def unverified(self) -> str:
        """Why the run does not verify the trainer although nothing failed, or ""."""
        if not any(verdict.status.verified for verdict in self.verdicts):
            return "no claim passed: nothing was verified"
        if not self.strict:
            return ""
        left: dict[str, list[str]] = {}
        for verdict in self.verdicts:
            if verdict.undecided:
                how = f"{verdict.status}{' without need' if verdict.avoidable else ''}"
                left.setdefault(how, []).append(verdict.id)
        return "; ".join(f"{how}: {', '.join(ids)}" for how, ids in left.items())

    @property
    def not_covered(self) -> tuple[str, ...]:
        """A sentence for each declared activation or loss that the trial does not cover."""
        return not_covered(self.capabilities)

    @property
    def outcome(self) -> tuple[str, str]:
        """What came of it in a few words, and its tone, see `Cell`."""
        bad = sum(verdict.status.bad for verdict in self.verdicts)
        if self.problem:
            return ("✗ ended early" if self.verdicts else "✗ could not be tried"), "bad"
        if bad:
            return f"✗ {bad} of {len(self.verdicts)} failed", "bad"
        if self.unfinished:
            return "? not finished", "warn"
        return ("? not verified", "warn") if self.unverified else ("✓ verified", "good")

    @property
    def causes(self) -> Causes:
        """The cause that is consistent with all failures."""
        return causes_of(self.verdicts)

    @property
    def exit_code(self) -> int:
        """0, 1, 2 or 3 as the command line defines them."""
        if self.bad_input:
            return WRONG_INPUT
        if self.problem or any(verdict.status.bad for verdict in self.verdicts):
            return FAILED
        return NOTHING_VERIFIED if self.unverified else VERIFIED

    def to_json(self) -> Json:
        """Everything, in strict JSON's terms. `claims` is the former name of `verdicts`: the same
        list, for those who read it."""
        verdicts = [verdict.to_json() for verdict in self.verdicts]
        return {
            "trainer": self.trainer,
            "capabilities": self.capabilities,
            "problem": self.problem or None,
            "problem_traceback": self.problem_traceback or None,
            "summary": self.summary,
            "seconds": self.seconds,
            "causes": self.causes.to_json() if self.causes.lines else None,
            "verdicts": verdicts,
            "claims": verdicts,
            "unfinished": self.unfinished,
            "unverified": self.unverified or None,
            "not_covered": list(self.not_covered),
        }


@dataclass
class Report(ShownInNotebooks):
    """A run: its settings and every trainer's verdicts."""

    settings: TrialSettings
    trainers: list[TrainerReport] = field(default_factory=list)
    interrupted: bool = False

    @property
    def exit_code(self) -> int:
        """The worst of the trainers' exit codes: see `worst`."""
        return worst(trainer.exit_code for trainer in self.trainers)

    def to_json(self) -> Json:
        """Everything, in strict JSON's terms."""
        return run_record(self.settings, interrupted=self.interrupted) | {
            "trainers": [trainer.to_json() for trainer in self.trainers],
        }

    @property
    def summaries(self) -> list[TrainerSummary]:
        """A row for each trainer."""
        return [
            TrainerSummary(one.trainer, *one.outcome, one.summary, one.seconds)
            for one in self.trainers
        ]

    def html_tables(self) -> list[HtmlTable]:
        """For notebooks: the summary, then each trainer's verdicts."""
        claims = self.settings.claim_set
        verdicts = [
            verdict_table(one.trainer, one.verdicts, claims, index)
            for index, one in enumerate(self.trainers)
            if one.verdicts
        ]
        return [summary_table(self.summaries), *verdicts]

    def to_junit(self) -> bytes:
        """JUnit XML: a suite per trainer, a case per claim, statistics as properties."""
        root = ElementTree.Element("testsuites", name="mimverify")
        for trainer in self.trainers:
            _junit_suite(root, trainer)
        ElementTree.indent(root)
        return bytes(ElementTree.tostring(root, encoding="utf-8", xml_declaration=True))


def run_record(settings: TrialSettings, *, interrupted: bool) -> Json:
    """The entries that every report has: claim set, settings, versions."""
    claim_set = settings.claim_set
    return {
        "claim_set": claim_set.label,
        "claims_from": claim_set.to_json(),
        "profile": settings.profile.name,
        "seed": settings.seed,
        "false_alarm_budget": settings.budget,
        "settings": settings.to_json(),
        "interrupted": interrupted,
        "versions": software_versions("numpy", "hypothesis"),
        "pass": pass_in_use()[0],
    }


def _junit_suite(root: ElementTree.Element, trainer: TrainerReport) -> None:
    counts = Counter(verdict.status for verdict in trainer.verdicts)
    suite = ElementTree.SubElement(
        root,
        "testsuite",
        name=trainer.trainer,
        tests=str(len(trainer.verdicts) + bool(trainer.problem)),
        failures=str(counts[Status.FAILED]),
        errors=str(counts[Status.ERROR] + bool(trainer.problem)),
        skipped=str(
            counts[Status.NOT_APPLICABLE]
            + counts[Status.INCONCLUSIVE]
            + counts[Status.EXPECTED_FAILURE]
            + counts[Status.UNEXPECTED_PASS]
        ),
        time=f"{trainer.seconds:.3f}",
    )
    if trainer.problem:
        case = ElementTree.SubElement(suite, "testcase", classname=trainer.trainer, name="trainer")
        ElementTree.SubElement(case, "error", message=_printable(trainer.problem))
    for verdict in trainer.verdicts:
        case = ElementTree.SubElement(
            suite, "testcase", classname=trainer.trainer, name=verdict.id,
            time=f"{verdict.seconds:.3f}",
        )  # fmt: skip
        properties = ElementTree.SubElement(case, "properties")
        # "value": the former name of "statistic".
        facts: list[tuple[str, object]] = [("status", verdict.status)]
        facts += [("statistic", verdict.statistic), ("value", verdict.statistic)]
        facts += [("avoidable", True)] if verdict.avoidable else []
        for name, value in (*facts, *verdict.evidence.junit()):
            ElementTree.SubElement(properties, "property", name=name, value=_printable(str(value)))
        tag = {Status.PASSED: None, Status.FAILED: "failure", Status.ERROR: "error"}.get(
            verdict.status, "skipped"
        )
        if tag is not None:
            message = _printable(f"{verdict.status}: {verdict.message}")
            again = f"\nmimverify replay {shlex.quote(verdict.capsule)}" if verdict.capsule else ""
            ElementTree.SubElement(case, tag, message=message).text = verdict.reproduce + again
        add_output_elements(case, verdict)


def _printable(text: str) -> str:
    """Text without the control characters that XML forbids."""
    return "".join(c for c in text if c in "\t\n" or c >= " ")


def print_verdicts(
    trainer: str,
    verdicts: Sequence[Verdict],
    *,
    console: Console | None = None,
    verbose: bool = False,
    claim_set: ClaimSet | None = None,
) -> None:
    """Print the table of verdicts, and the messages of those that did not pass.

    A pack is named in the title. `verbose` adds each decision's risk and power, tracebacks, and
    what the trainer printed.
    """
    console = console or Console(emoji=False)
    packed = claim_set is not None and claim_set.origin is not None
    title = f"Trial of {trainer}" + (f": {claim_set.label}" if claim_set and packed else "")
    table = Table(title=Text(title), title_justify="left")
    table.add_column("claim", no_wrap=True)
    table.add_column("verdict", no_wrap=True)
    table.add_column("measured", overflow="fold")
    table.add_column("s", justify="right", no_wrap=True)
    for verdict in verdicts:
        table.add_row(
            verdict.id,
            Text(str(verdict.status), style=STYLES[verdict.status]),
            Text(_measured(verdict)),
            f"{verdict.seconds:.1f}",
        )
    console.print(table)
    if verbose:
        _print_details(verdicts, console)
    else:
        _print_budget(verdicts, console)
    for line in cause_lines(verdicts):
        console.print(Text(line, style="bold"), soft_wrap=True)
    output = OutputReport(console, verbose=verbose)
    for verdict in print_messages(verdicts, console, verbose=verbose):
        output.print_under(verdict)
    output.print_rest(verdicts)
    kept = [v.capsule or v.evidence.no_capsule for v in verdicts]
    failed = [v.status is Status.FAILED and bool(v.reproduce) for v in verdicts]
    if any(failed) and not any(kept):
        console.print("With --capsules FOLDER each failure can be replayed alone.", style="dim")


def _measured(verdict: Verdict) -> str:
    """The cell of the table that says what was measured."""
    if verdict.status is Status.NOT_APPLICABLE:
        return measured(verdict)
    return "\n".join(verdict.evidence.summaries) or "–"


def _print_budget(verdicts: Sequence[Verdict], console: Console, *, verbose: bool = False) -> None:
    ledgers = [v.evidence.ledger for v in verdicts if v.evidence.ledger is not None]
    if ledgers:
        hint = "." if verbose else "; --verbose shows each decision's risk and power."
        console.print(
            f"A trainer for which the claimed events have probability ≥ {USUALLY}, and the laws "
            "and means hold, fails any of a run's statistical claims with probability "
            f"≤ {risk_text(ledgers[0].budget)}{hint}",
            style="dim",
            highlight=False,
        )


def _print_details(verdicts: Sequence[Verdict], console: Console) -> None:
    """Risk and power of every statistical decision, and what was omitted."""
    table = Table(box=None, pad_edge=False)
    table.add_column("claim", no_wrap=True)
    table.add_column("decision", overflow="fold")
    table.add_column("runs, risk and power", overflow="fold")
    legends: dict[str, str] = {}
    alike = Counter(record.details for v in verdicts for record in v.evidence.records)
    joined: dict[str, list[str]] = {}  # claims of decisions that so many others share
    for verdict in verdicts:
        names = Counter(record.decision for record in verdict.evidence.records)
        for record in verdict.evidence.records:
            if record.details:
                legends.setdefault(record.kind, record.legend)
                if alike[record.details] > _ALIKE:
                    joined.setdefault(record.details, []).append(verdict.id)
                    continue
                # One for each configuration, which is shown if there are several.
                case = f" ({record.case})" if names[record.decision] > 1 else ""
                table.add_row(verdict.id, Text(record.decision), Text(record.details + case))
        for omission in verdict.evidence.omitted:
            times = f" ({omission.times} ×)" if omission.times > 1 else ""
            table.add_row(
                verdict.id, Text(omission.decision), Text(f"omitted: {omission.reason}{times}")
            )
    if table.row_count:
        console.print(table)
    for details, claims in joined.items():
        several = ", ".join(dict.fromkeys(claims))
        console.print(Text(f"{len(claims)} decisions, each {details}: {several}"))
    console.print(" ".join(legends.values()), style="dim", highlight=False)
    _print_budget(verdicts, console, verbose=True)
