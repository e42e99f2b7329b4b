"""The evidence for a verdict: the records of a claim's decisions, and their circumstances."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from mimverify.handles.memory_watch import CHANGES
from mimverify.handles.trainer_output import TrainerOutput
from mimverify.support.strict_json import Json, jsonable
from mimverify.trial.claims.ledger import Ledger
from mimverify.trial.decisions import DecisionEvidence
from mimverify.trial.decisions.declared import Omission
from mimverify.trial.decisions.memory_use import REFUSED
from mimverify.trial.diagnosis.localisation import Divergence
from mimverify.trial.diagnosis.matching import Match
from mimverify.trial.diagnosis.repetition import Repetition
from mimverify.trial.running.tried import Tried

__all__ = ["Evidence"]


@dataclass(frozen=True)
class Evidence:
    """What was found in the trial of a claim.

    **Arguments**

    - `records`: of its decisions: one for an exact decision, one for each configuration of a
      statistical decision.
    - `examples`: number of configurations that were finished.
    - `ledger`: the level of its statistical decisions; None: there are none.
    - `omitted`: declared decisions that were not made, with reasons.
    - `trained_with`: activation and loss of the last call that had any, which may differ from
      the configuration's.
    - `notes`: the claim's own notes (`Trial.note`) of each configuration that has any.
    - `divergence`: the first wrong step in the recorded calls, if one was found.
    - `seen`: causes that were seen in what the trainer did, beside its steps.
    - `finding`: of a failure: what the trainer did wrong, without the circumstances.
    - `tried`: what was tried when the claim ended, if it did not pass.
    - `repetition`: what the failing call did when it was repeated, if it was.
    - `output`: what the trainer warned of and printed.
    - `traceback`: of the exception in the trainer's code that ended it, or "".
    - `trainer_error`: kind of the `TrainerError` that ended it, or "".
    - `no_capsule`: why a failure has no capsule although one was asked for, or "".
    """

    records: tuple[DecisionEvidence, ...] = ()
    examples: int = 0
    ledger: Ledger | None = None
    omitted: tuple[Omission, ...] = ()
    trained_with: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[Mapping[str, object], ...] = ()
    divergence: Divergence | None = None
    seen: tuple[Match, ...] = ()
    finding: str = ""
    tried: Tried | None = None
    repetition: Repetition | None = None
    output: TrainerOutput = field(default_factory=TrainerOutput)
    traceback: str = ""
    trainer_error: str = ""
    no_capsule: str = ""

    @property
    def decisive(self) -> DecisionEvidence | None:
        """The record that failed or came nearest to failing; None: there is none."""
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
        """`DecisionEvidence.fraction_used` of the decisive record."""
        return None if self.decisive is None else self.decisive.fraction_used

    @property
    def looked(self) -> str:
        """For messages: the causes that were looked for and seen, "" for none.

        Those that a decision saw are its message already.
        """
        told = (*CHANGES, REFUSED)
        found = [str(each) for each in self.seen if each.rule not in told]
        return f"seen: {'; '.join(found)}" if found else ""

    @property
    def worst_records(self) -> list[DecisionEvidence]:
        """One record for each decision: the one that failed or came nearest to failing."""
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
        """What was measured, a line for each decision; if any failed, only for those."""
        failed = [record for record in self.worst_records if record.failed]
        lines = [record.summary for record in failed or self.worst_records]
        return lines + [f"{omission.decision}: omitted" for omission in self.omitted_decisions]

    @property
    def summary(self) -> str:
        """What was measured, one line."""
        return "; ".join(self.summaries)

    @property
    def omitted_decisions(self) -> list[Omission]:
        """Omissions of decisions that were made in no configuration."""
        made = {record.decision for record in self.records}
        return [omission for omission in self.omitted if omission.decision not in made]

    def to_json(self) -> Json:
        """Strict JSON values, without empty entries."""
        content: Json = {
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
            "seen": [each.to_json() for each in self.seen],
            "finding": self.finding,
            "tried": self.tried and self.tried.to_json(),
            "repetition": self.repetition and self.repetition.to_json(),
            "output": self.output.to_json(),
            "traceback": self.traceback,
            "trainer_error": self.trainer_error,
            "no_capsule": self.no_capsule,
        }
        if self.divergence is not None:
            content["first_divergence"] = self.divergence.to_json()
            if self.divergence.behaves_like is not None:
                content["behaves_like"] = self.divergence.behaves_like.to_json()
        kept = ("summary", "examples", "decisions")
        shown: Json = jsonable(
            {name: value for name, value in content.items() if value or name in kept}
        )
        return shown

    @classmethod
    def from_json(cls, content: Json) -> Evidence:
        """The evidence that `to_json` wrote."""
        level = content.get("false_alarm_level")
        divergence = content.get("first_divergence")
        tried, repetition = content.get("tried"), content.get("repetition")
        return cls(
            records=tuple(map(DecisionEvidence.from_json, content["decisions"])),
            examples=content["examples"],
            ledger=None if level is None else Ledger(level, content["false_alarm_budget"]),
            omitted=tuple(Omission(**omission) for omission in content.get("omitted", ())),
            trained_with=content.get("trained_with", {}),
            notes=tuple(content.get("notes", ())),
            divergence=divergence and Divergence.from_json(divergence, content.get("behaves_like")),
            seen=tuple(map(Match.from_json, content.get("seen", ()))),
            finding=content.get("finding", ""),
            tried=None if tried is None else Tried.from_json(tried),
            repetition=None if repetition is None else Repetition(**repetition),
            output=TrainerOutput.from_json(content.get("output", {})),
            traceback=content.get("traceback", ""),
            trainer_error=content.get("trainer_error", ""),
            no_capsule=content.get("no_capsule", ""),
        )

    def junit(self) -> Iterator[tuple[str, object]]:
        """Names and single values for JUnit's properties."""
        names = Counter(record.decision for record in self.records)
        seen: Counter[str] = Counter()
        for record in self.records:
            # One for each configuration, numbered if there are several.
            several = f".{seen[record.decision]}" if names[record.decision] > 1 else ""
            seen[record.decision] += 1
            yield from record.junit(f"{record.decision}{several}")
        content = self.to_json()
        for name in ("decisions", "summary", "omitted", "notes", "seen", "output", "traceback"):
            content.pop(name, None)
        for name, value in content.items():
            if isinstance(value, dict):
                yield from ((f"{name}.{key}", item) for key, item in value.items())
            else:
                yield name, value
        for number, note in enumerate(self.notes):
            yield from ((f"notes.{number}.{name}", value) for name, value in note.items())
        for number, cause in enumerate(self.seen):
            yield f"seen.{number}", str(cause)
        for omission in self.omitted:
            yield f"{omission.decision}.omitted", omission.reason
