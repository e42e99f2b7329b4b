"""Reports: verdicts as a table for people, as JSON and as JUnit XML for machines."""

from __future__ import annotations

import platform
import shlex
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from xml.etree import ElementTree

import hypothesis
import numpy as np
from rich.console import Console
from rich.table import Table
from rich.text import Text

from mimverify.trial.claim import CLAIM_SET_VERSION
from mimverify.trial.verdict import Status, Verdict
from mimverify.version import __version__

__all__ = ["Report", "TrainerReport", "print_verdicts"]

_STYLES = {
    Status.PASSED: "green",
    Status.FAILED: "bold red",
    Status.INCONCLUSIVE: "yellow",
    Status.NOT_APPLICABLE: "dim",
    Status.EXPECTED_FAILURE: "cyan",
    Status.ERROR: "bold magenta",
}


@dataclass
class TrainerReport:
    """One trainer's verdicts.

    **Arguments**

    - `trainer`: its name.
    - `verdicts`: of the claims that were finished, in order.
    - `capabilities`: what it offers, None if it could not be used.
    - `problem`: why the trial could not begin or was cut short, else "".
    - `bad_input`: the problem is the caller's: exit code 2.
    - `unfinished`: claims that were planned and not reached.
    """

    trainer: str
    verdicts: list[Verdict] = field(default_factory=list)
    capabilities: dict[str, Any] | None = None
    problem: str = ""
    bad_input: bool = False
    unfinished: list[str] = field(default_factory=list)
    unmatched: list[str] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def summary(self) -> dict[str, int]:
        """Number of verdicts by status, all six."""
        counts = Counter(verdict.status for verdict in self.verdicts)
        return {str(status): counts[status] for status in Status}

    @property
    def exit_code(self) -> int:
        """0, 1 or 2 as the command line defines them."""
        if self.bad_input:
            return 2
        return int(bool(self.problem) or any(verdict.status.bad for verdict in self.verdicts))

    def to_json(self) -> dict[str, Any]:
        return {
            "trainer": self.trainer,
            "capabilities": self.capabilities,
            "problem": self.problem or None,
            "summary": self.summary,
            "seconds": self.seconds,
            "claims": [verdict.to_json() for verdict in self.verdicts],
            "unfinished": self.unfinished,
            "unmatched_expected_failures": self.unmatched,
        }


@dataclass
class Report:
    """A whole run: its settings and every trainer's verdicts."""

    profile: str
    seed: int
    budget: float
    trainers: list[TrainerReport] = field(default_factory=list)
    interrupted: bool = False

    @property
    def exit_code(self) -> int:
        """The worst of the trainers' exit codes."""
        return max((trainer.exit_code for trainer in self.trainers), default=0)

    def to_json(self) -> dict[str, Any]:
        """Everything, in strict JSON's terms."""
        return {
            "claim_set": CLAIM_SET_VERSION,
            "profile": self.profile,
            "seed": self.seed,
            "false_alarm_budget": self.budget,
            "interrupted": self.interrupted,
            "versions": {
                "mimverify": __version__,
                "python": platform.python_version(),
                "numpy": np.__version__,
                "hypothesis": hypothesis.__version__,
            },
            "trainers": [trainer.to_json() for trainer in self.trainers],
        }

    def to_junit(self) -> bytes:
        """JUnit XML: a suite per trainer, a case per claim, statistics as properties."""
        root = ElementTree.Element("testsuites", name="mimverify")
        for trainer in self.trainers:
            _junit_suite(root, trainer)
        ElementTree.indent(root)
        return bytes(ElementTree.tostring(root, encoding="utf-8", xml_declaration=True))


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
        facts = {"status": verdict.status, "value": verdict.statistic, **verdict.evidence}
        for name, value in _flat(facts):
            ElementTree.SubElement(properties, "property", name=name, value=_printable(str(value)))
        tag = {Status.PASSED: None, Status.FAILED: "failure", Status.ERROR: "error"}.get(
            verdict.status, "skipped"
        )
        if tag is not None:
            message = _printable(f"{verdict.status}: {verdict.message}")
            again = f"\nmimverify replay {shlex.quote(verdict.capsule)}" if verdict.capsule else ""
            ElementTree.SubElement(case, tag, message=message).text = verdict.reproduce + again


def _flat(facts: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Named single values: those of a nested mapping are `outer.inner`."""
    for name, value in facts.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _printable(text: str) -> str:
    """Text without the control characters that XML forbids."""
    return "".join(c for c in text if c in "\t\n" or c >= " ")


def print_verdicts(
    trainer: str, verdicts: Sequence[Verdict], *, console: Console | None = None
) -> None:
    """The verdict table, what its numbers mean, and a line for all that did not pass."""
    console = console or Console(emoji=False)
    table = Table(title=Text(f"Trial of {trainer}"), title_justify="left")
    table.add_column("claim", no_wrap=True)
    table.add_column("verdict", no_wrap=True)
    table.add_column("measured", overflow="fold")
    table.add_column("s", justify="right", no_wrap=True)
    for verdict in verdicts:
        table.add_row(
            verdict.id,
            Text(str(verdict.status), style=_STYLES[verdict.status]),
            Text(_measured(verdict)),
            f"{verdict.seconds:.1f}",
        )
    console.print(table)
    _print_risks(verdicts, console)
    for verdict in verdicts:
        if verdict.message and verdict.status is not Status.NOT_APPLICABLE:
            line = Text(f"{verdict.id}: {verdict.status}", style=_STYLES[verdict.status])
            console.print(line + Text(f": {verdict.message}", style="default"))
            if verdict.status.bad and verdict.reproduce:
                console.print(Text(f"  reproduce: {verdict.reproduce}"), soft_wrap=True)
            if verdict.capsule:
                command = f"mimverify replay {shlex.quote(verdict.capsule)}"
                console.print(Text(f"  replay: {command}"), soft_wrap=True)
            if "no_capsule" in verdict.evidence:
                console.print(Text(f"  no capsule: {verdict.evidence['no_capsule']}"))
    kept = [v.capsule or "no_capsule" in v.evidence for v in verdicts]
    failed = [v.status is Status.FAILED and bool(v.reproduce) for v in verdicts]
    if any(failed) and not any(kept):
        console.print(
            "With --capsules FOLDER each failure is kept in a file, with its arrays; "
            "mimverify replay FILE repeats it alone.",
            style="dim",
        )


def _measured(verdict: Verdict) -> str:
    """What was found; of a statistical decision also its risk and what it would have caught."""
    if verdict.status is Status.NOT_APPLICABLE:
        return verdict.message
    evidence = verdict.evidence
    if "summary" not in evidence:
        return "–"
    text = str(evidence["summary"])
    if "false_alarm_share" not in evidence:
        return text
    parts = [f"{evidence['false_alarm_share']:.1g}"]
    caught = evidence.get("detectable")
    if caught is not None and caught["value"] is not None:
        parts.append(f"{caught['symbol']}{caught['sign']}{caught['value']:.2g}")
    return f"{text} ({', '.join(parts)})"


def _print_risks(verdicts: Sequence[Verdict], console: Console) -> None:
    evidence = [v.evidence for v in verdicts if "false_alarm_share" in v.evidence]
    caught = sorted({str(e["caught"]) for e in evidence if "caught" in e})
    if evidence:
        console.print(
            f"In parentheses: the risk that a correct trainer fails (any of the run's decisions: "
            f"{evidence[0]['false_alarm_budget']:.1g}), where the claimed event has probability P "
            f"≥ 0.9, or the law holds; and what would have failed with probability 0.95."
            + (f" In turn, {'; '.join(caught)}." if caught else ""),
            style="dim",
        )
