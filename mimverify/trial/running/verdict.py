"""Verdicts: what a claim's trial came to, and why."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from mimverify.support.strict_json import jsonable
from mimverify.trial.outcomes import Status
from mimverify.trial.running.evidence import Evidence

__all__ = ["Verdict"]


@dataclass(frozen=True)
class Verdict:
    """One claim's outcome for one trainer.

    **Arguments**

    - `id`: the claim.
    - `status`: see `Status`.
    - `message`: one line; empty where the status says it all.
    - `evidence`: what it rests on.
    - `seconds`: time spent.
    - `reproduce`: one command that repeats the trial of this claim.
    - `capsule`: file that repeats this failure alone, where one was asked for.
    """

    id: str
    status: Status
    message: str = ""
    evidence: Evidence = field(default_factory=Evidence)
    seconds: float = 0.0
    reproduce: str = ""
    capsule: str = ""

    @property
    def statistic(self) -> float | None:
        """The number that it rests on, None where there is none."""
        return self.evidence.statistic

    def to_json(self) -> dict[str, Any]:
        """A dictionary of strict JSON values."""
        record: dict[str, Any] = jsonable(
            {
                "id": self.id,
                "status": str(self.status),
                "message": self.message,
                "statistic": self.statistic,
                "evidence": self.evidence.to_json(),
                "seconds": self.seconds,
                "reproduce": self.reproduce,
                "capsule": self.capsule,
            }
        )
        return record

    @classmethod
    def from_json(cls, record: dict[str, Any]) -> Verdict:
        """The verdict that `to_json` wrote."""
        content = {name: value for name, value in record.items() if name != "statistic"}
        content["status"] = Status(record["status"])
        content["evidence"] = Evidence.from_json(record["evidence"])
        return cls(**content)
