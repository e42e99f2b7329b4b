"""Statuses and verdicts: what a claim's trial came to."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any

from mimverify.strict_json import jsonable

__all__ = ["ClaimFailed", "Inconclusive", "NotApplicable", "Status", "Verdict"]


class Status(StrEnum):
    """The six outcomes of a claim's trial."""

    PASSED = "passed"
    FAILED = "failed"
    INCONCLUSIVE = "inconclusive"  # the budget was spent before a decision
    NOT_APPLICABLE = "not applicable"  # a capability or an assumption is missing
    EXPECTED_FAILURE = "expected failure"  # declared beforehand, with a reason
    ERROR = "error"  # the trainer could not be used: no evidence either way

    @property
    def bad(self) -> bool:
        """Whether it makes the run exit with 1."""
        return self in (Status.FAILED, Status.ERROR)


class ClaimFailed(AssertionError):  # noqa: N818 - a verdict, not an error
    """The trainer contradicts the claim; the message says where and by how much."""


class Inconclusive(Exception):  # noqa: N818 - a verdict, not an error
    """The time or the trials ran out before a decision."""


class NotApplicable(Exception):  # noqa: N818 - a verdict, not an error
    """The trainer lacks what the claim needs, or the claim's assumptions do not hold."""


@dataclass(frozen=True)
class Verdict:
    """One claim's outcome for one trainer.

    **Arguments**

    - `id`: the claim.
    - `status`: see `Status`.
    - `message`: one line; empty where the status says it all.
    - `statistic`: the number the decision rests on, None where there is none.
    - `evidence`: named facts: what the statistic is, counts, error bounds, the case.
    - `seconds`: time spent.
    - `reproduce`: one command that repeats the trial of this claim.
    - `capsule`: file that repeats this failure alone, where one was asked for.
    """

    id: str
    status: Status
    message: str = ""
    statistic: float | None = None
    evidence: dict[str, Any] = field(default_factory=dict)
    seconds: float = 0.0
    reproduce: str = ""
    capsule: str = ""

    def to_json(self) -> dict[str, Any]:
        """A dictionary of strict JSON values."""
        record = asdict(self)
        record["status"] = str(self.status)
        return {key: jsonable(value) for key, value in record.items()}

    @classmethod
    def from_json(cls, record: dict[str, Any]) -> Verdict:
        """The verdict that `to_json` wrote."""
        return cls(**{**record, "status": Status(record["status"])})
