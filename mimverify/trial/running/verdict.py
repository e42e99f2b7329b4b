"""Verdicts: the outcome of a claim's trial, and its evidence."""

from __future__ import annotations

from dataclasses import dataclass, field

from mimverify.support.strict_json import Json, jsonable
from mimverify.trial.outcomes import Status
from mimverify.trial.running.evidence import Evidence

__all__ = ["Verdict"]


@dataclass(frozen=True)
class Verdict:
    """One claim's outcome for one trainer.

    **Arguments**

    - `id`: the claim.
    - `status`: see `Status`.
    - `message`: one line; empty for a pass.
    - `evidence`: the records of its decisions.
    - `seconds`: time spent.
    - `reproduce`: a command that repeats the trial of this claim.
    - `capsule`: path of the file that repeats this failure alone, if one was written.
    - `avoidable`: whether a claim that is not applicable is so without need: the trainer has the
      methods, and leaves the claim out by the activations, losses or dtypes that it declares.
    """

    id: str
    status: Status
    message: str = ""
    evidence: Evidence = field(default_factory=Evidence)
    seconds: float = 0.0
    reproduce: str = ""
    capsule: str = ""
    avoidable: bool = False

    @property
    def undecided(self) -> bool:
        """Whether `--strict` refuses it: inconclusive, passed although a failure is expected, or
        not applicable without need."""
        return self.avoidable or self.status in (Status.INCONCLUSIVE, Status.UNEXPECTED_PASS)

    @property
    def statistic(self) -> float | None:
        """The statistic of the decisive record; None: there is none."""
        return self.evidence.statistic

    def to_json(self) -> Json:
        """Strict JSON values."""
        record: Json = jsonable(
            {
                "id": self.id,
                "status": str(self.status),
                "message": self.message,
                "statistic": self.statistic,
                "evidence": self.evidence.to_json(),
                "seconds": self.seconds,
                "reproduce": self.reproduce,
                "capsule": self.capsule,
                "avoidable": self.avoidable,
            }
        )
        return record

    @classmethod
    def from_json(cls, record: Json) -> Verdict:
        """The verdict that `to_json` wrote."""
        content = {name: value for name, value in record.items() if name != "statistic"}
        content["status"] = Status(record["status"])
        content["evidence"] = Evidence.from_json(record["evidence"])
        return cls(**content)
