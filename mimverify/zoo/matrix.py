"""The matrix claims × mutants: which claim catches which mutant, and how fast."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from mimverify.support.exit_status import FAILED, NOTHING_VERIFIED, VERIFIED
from mimverify.support.strict_json import Json
from mimverify.trial.diagnosis.causes import Causes, reconcile
from mimverify.trial.outcomes import Status
from mimverify.trial.running.report import TrainerReport
from mimverify.trial.running.verdict import Verdict
from mimverify.zoo.justified import JUSTIFIED
from mimverify.zoo.record import Mutant

__all__ = ["PowerMatrix", "Row"]


@dataclass(frozen=True)
class Row:
    """The verdicts on one mutant.

    **Arguments**

    - `mutant`: its record.
    - `report`: its trial; None where no claim was to be tried.
    """

    mutant: Mutant
    report: TrainerReport | None = None

    @property
    def verdicts(self) -> Sequence[Verdict]:
        """In the suite's order."""
        return () if self.report is None else self.report.verdicts

    @property
    def catches(self) -> list[Verdict]:
        """Verdicts that caught it, fastest first. An error is no detection."""
        failed = [verdict for verdict in self.verdicts if verdict.status is Status.FAILED]
        return sorted(failed, key=lambda verdict: verdict.seconds)

    @property
    def tried(self) -> bool:
        """Whether its trial shows anything: a claim passed, failed or errored, or the trial itself
        had a problem."""
        if self.report is None:
            return False
        shows = (Status.PASSED, Status.FAILED, Status.ERROR)
        return bool(self.report.problem) or any(v.status in shows for v in self.verdicts)

    @property
    def problem(self) -> str:
        """Why it was not caught, one line; empty where it was."""
        if self.catches:
            return ""
        if self.report is None:
            return "no claim is known to catch it"
        if self.report.problem:
            return self.report.problem
        return ", ".join(
            f"{count} {status}" for status, count in self.report.summary.items() if count
        )

    @property
    def effort(self) -> str:
        """Of the fastest catch: how many runs, or comparisons, the decision that failed took."""
        if not self.catches:
            return ""
        record = self.catches[0].evidence.decisive
        content = {} if record is None else record.to_json()
        for name, what in _COUNTS.items():
            if content.get(name):
                return f"{content[name]} {what}{'' if content[name] == 1 else 's'}"
        return ""

    @property
    def causes(self) -> Causes:
        """What the catches together say about its cause."""
        return reconcile(
            {verdict.id: verdict.evidence.divergence for verdict in self.catches},
            {verdict.id: verdict.evidence.seen for verdict in self.catches},
        )

    @property
    def named(self) -> bool:
        """Whether its cause is named, and nothing else."""
        names = {each.rule for each in self.causes.named}
        return bool(names) and names <= set(self.mutant.causes)

    @property
    def misnamed(self) -> list[str]:
        """Rules that are named although none of the mutant's causes is among those named.

        None of a pack's mutant without causes: they are optional there.
        """
        own = self.mutant.trainer.__module__.startswith("mimverify.")
        rules = self.causes.named if own or self.mutant.causes else ()
        right = any(each.rule in self.mutant.causes for each in rules)
        return [] if right else [str(each) for each in rules]

    def to_json(self) -> Json:
        """The record of the mutant, its detection and all cells."""
        fastest = self.catches[0] if self.catches else None
        return {
            **self.mutant.to_json(),
            "caught": fastest is not None,
            "fastest": None if fastest is None else fastest.id,
            "seconds_to_detection": None if fastest is None else fastest.seconds,
            "problem": self.problem or None,
            "named": self.causes.to_json(),
            "rightly_named": self.named,
            "cells": {
                verdict.id: {
                    "status": str(verdict.status),
                    "seconds": verdict.seconds,
                    "message": verdict.message,
                    "named": _named(verdict),
                }
                for verdict in self.verdicts
            },
        }

    def to_record(self) -> Json:
        """All that `from_record` needs, in strict JSON's terms."""
        report = self.report
        return {
            "mutant": self.mutant.name,
            "seconds": None if report is None else report.seconds,
            "problem": "" if report is None else report.problem,
            "verdicts": [verdict.to_json() for verdict in self.verdicts],
        }

    @classmethod
    def from_record(cls, mutant: Mutant, record: Json) -> Row:
        """The row that `to_record` wrote.

        **Raises** `KeyError`, `TypeError` or `ValueError` for a record of something else.
        """
        if record["seconds"] is None:
            return cls(mutant)
        verdicts = [Verdict.from_json(verdict) for verdict in record["verdicts"]]
        return cls(
            mutant,
            TrainerReport(
                mutant.spec,
                verdicts,
                problem=str(record["problem"]),
                seconds=float(record["seconds"]),
            ),
        )


#: Numbers of a decision's record that say how much was tried, and of what.
_COUNTS = {"of": "run", "runs": "run", "pairs": "pair", "comparisons": "comparison"}


def _named(verdict: Verdict) -> list[str]:
    """Names of the rules that the verdict names."""
    divergence = verdict.evidence.divergence
    if divergence is None or divergence.behaves_like is None:
        return []
    return [each.rule for each in divergence.behaves_like.named]


@dataclass
class PowerMatrix:
    """The trials of several mutants.

    **Arguments**

    - `claims`: ids of the claims that were tried on some mutant, in the suite's order.
    - `full`: all claims were tried on all mutants: then each claim has to catch one.
    - `rows`: of the mutants that were finished.
    - `justified`: claims that need not catch any, with the reason.
    """

    claims: Sequence[str]
    full: bool
    rows: list[Row] = field(default_factory=list)
    justified: Mapping[str, str] = field(default_factory=lambda: JUSTIFIED)

    @property
    def survivors(self) -> list[Row]:
        """Mutants that no claim caught."""
        return [row for row in self.rows if not row.catches]

    @property
    def named(self) -> list[Row]:
        """Mutants whose cause is named."""
        return [row for row in self.rows if row.named]

    def kills(self, claim: str) -> list[str]:
        """Names of the mutants that the claim caught."""
        return [row.mutant.name for row in self.rows if any(v.id == claim for v in row.catches)]

    @property
    def idle(self) -> list[str]:
        """In a full matrix, claims that caught nothing and are not justified."""
        if not self.full:
            return []
        return [name for name in self.claims if name not in self.justified and not self.kills(name)]

    @property
    def exit_code(self) -> int:
        """1 if a mutant survived or a claim is idle; 3 if no mutant was tried at all."""
        if not any(row.tried for row in self.rows):
            return NOTHING_VERIFIED
        return FAILED if self.survivors or self.idle else VERIFIED

    def to_json(self) -> Json:
        """Everything, in strict JSON's terms."""
        return {
            "full": self.full,
            "caught": len(self.rows) - len(self.survivors),
            "mutants": len(self.rows),
            "causes_named": len(self.named),
            "misnamed": {row.mutant.name: row.misnamed for row in self.rows if row.misnamed},
            "survivors": [row.mutant.name for row in self.survivors],
            "idle_claims": self.idle,
            "justified": {name: why for name, why in self.justified.items() if name in self.claims},
            "kills": {name: self.kills(name) for name in self.claims},
            "matrix": [row.to_json() for row in self.rows],
        }
