"""What a verdict rests on: the records of a claim's decisions, and how they came about."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from mimverify.support.strict_json import jsonable
from mimverify.trial.claims.ledger import Ledger
from mimverify.trial.decisions import DecisionEvidence
from mimverify.trial.decisions.declared import Omission
from mimverify.trial.diagnosis.localisation import Divergence

__all__ = ["Evidence"]


@dataclass(frozen=True)
class Evidence:
    """What was found while a claim was tried.

    **Arguments**

    - `records`: of its decisions: of an exact one over all configurations, of a statistical
      one for each.
    - `examples`: configurations that were finished.
    - `ledger`: at which risk statistical decisions were made; None: there are none.
    - `omitted`: declared decisions that were not made, with reasons.
    - `trained_with`: activation and loss of the last call that had any: the trainer may lack
      the configuration's.
    - `notes`: what else the claim says: names and values for each configuration that has any.
    - `divergence`: the first wrong step among the last calls, where one was found.
    - `trainer_error`: kind of the `TrainerError` that ended it, or "".
    - `no_capsule`: why a failure has no capsule although one was asked for, or "".
    """

    records: tuple[DecisionEvidence, ...] = ()
    examples: int = 0
    ledger: Ledger | None = None
    omitted: tuple[Omission, ...] = ()
    trained_with: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[Mapping[str, Any], ...] = ()
    divergence: Divergence | None = None
    trainer_error: str = ""
    no_capsule: str = ""

    @property
    def decisive(self) -> DecisionEvidence | None:
        """The record that failed, or that came nearest to it; None: there is none."""
        failed = [record for record in self.records if record.failed]
        if failed:
            return failed[0]
        measured = [record for record in self.records if record.fraction_used is not None]
        return max(measured, key=lambda record: record.fraction_used or 0.0, default=None)

    @property
    def statistic(self) -> float | None:
        """The number that the verdict rests on."""
        return None if self.decisive is None else self.decisive.statistic

    @property
    def fraction_used(self) -> float | None:
        """How much of what is allowed was used, of the decisive record."""
        return None if self.decisive is None else self.decisive.fraction_used

    @property
    def worst_records(self) -> list[DecisionEvidence]:
        """One record for each decision, of the configuration that came nearest to failing."""
        worst: dict[str, DecisionEvidence] = {}
        for record in self.records:
            before = worst.setdefault(record.decision, record)
            if (record.failed, record.fraction_used or 0.0) > (
                before.failed,
                before.fraction_used or 0.0,
            ):
                worst[record.decision] = record
        return list(worst.values())

    @property
    def summaries(self) -> list[str]:
        """What was measured, a line for each decision; of a failure only what failed."""
        failed = [record for record in self.worst_records if record.failed]
        lines = [record.summary for record in failed or self.worst_records]
        return lines + [f"{omission.decision}: omitted" for omission in self.omitted_decisions]

    @property
    def summary(self) -> str:
        """What was measured, one line."""
        return "; ".join(self.summaries)

    @property
    def omitted_decisions(self) -> list[Omission]:
        """Those of decisions that were made nowhere."""
        made = {record.decision for record in self.records}
        return [omission for omission in self.omitted if omission.decision not in made]

    def to_json(self) -> dict[str, Any]:
        """Strict JSON values; what there is none of is left out."""
        content: dict[str, Any] = {
            "summary": self.summary,
            "examples": self.examples,
            "decisions": [record.to_json() for record in self.records],
        }
        if self.ledger is not None:
            content["false_alarm_level"] = self.ledger.level
            content["false_alarm_budget"] = self.ledger.budget
        content |= {
            "omitted": [omission.to_json() for omission in self.omitted],
            "trained_with": dict(self.trained_with),
            "notes": [dict(note) for note in self.notes],
            "trainer_error": self.trainer_error,
            "no_capsule": self.no_capsule,
        }
        if self.divergence is not None:
            content["first_divergence"] = self.divergence.to_json()
            if self.divergence.behaves_like is not None:
                content["behaves_like"] = self.divergence.behaves_like.to_json()
        kept = ("summary", "examples", "decisions")
        shown: dict[str, Any] = jsonable(
            {name: value for name, value in content.items() if value or name in kept}
        )
        return shown

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Evidence:
        """The evidence that `to_json` wrote."""
        share = content.get("false_alarm_level")
        divergence = content.get("first_divergence")
        return cls(
            records=tuple(map(DecisionEvidence.from_json, content["decisions"])),
            examples=content["examples"],
            ledger=None if share is None else Ledger(share, content["false_alarm_budget"]),
            omitted=tuple(Omission(**omission) for omission in content.get("omitted", ())),
            trained_with=content.get("trained_with", {}),
            notes=tuple(content.get("notes", ())),
            divergence=divergence and Divergence.from_json(divergence, content.get("behaves_like")),
            trainer_error=content.get("trainer_error", ""),
            no_capsule=content.get("no_capsule", ""),
        )

    def junit(self) -> Iterator[tuple[str, Any]]:
        """Names and single values for JUnit's properties."""
        names = Counter(record.decision for record in self.records)
        seen: Counter[str] = Counter()
        for record in self.records:
            # One for each configuration: told apart by a number where there are several.
            several = f".{seen[record.decision]}" if names[record.decision] > 1 else ""
            seen[record.decision] += 1
            yield from record.junit(f"{record.decision}{several}")
        content = self.to_json()
        for name in ("decisions", "summary", "omitted", "notes"):
            content.pop(name, None)
        for name, value in content.items():
            if isinstance(value, dict):
                yield from ((f"{name}.{key}", item) for key, item in value.items())
            else:
                yield name, value
        for number, note in enumerate(self.notes):
            yield from ((f"notes.{number}.{name}", value) for name, value in note.items())
        for omission in self.omitted:
            yield f"{omission.decision}.omitted", omission.reason
