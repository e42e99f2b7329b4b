"""The outcomes of a claim's trial."""

from __future__ import annotations

from enum import StrEnum

from mimverify.support.errors import MimverifyError

__all__ = ["ClaimError", "ClaimFailed", "Inconclusive", "NotApplicable", "Status"]


class Status(StrEnum):
    """The seven outcomes of a claim's trial."""

    PASSED = "passed"
    FAILED = "failed"
    INCONCLUSIVE = "inconclusive"  # the budget was spent before a decision
    NOT_APPLICABLE = "not applicable"  # a capability or an assumption is missing
    EXPECTED_FAILURE = "expected failure"  # declared beforehand, with a reason
    UNEXPECTED_PASS = "unexpected pass"  # so declared, and it passed
    ERROR = "error"  # the trainer could not be used: no evidence for or against the claim

    @property
    def bad(self) -> bool:
        """Whether it makes the run exit with 1."""
        return self in (Status.FAILED, Status.ERROR)

    @property
    def verified(self) -> bool:
        """Whether the claim was tried and held: a run without any such claim shows nothing."""
        return self in (Status.PASSED, Status.UNEXPECTED_PASS)


class ClaimFailed(AssertionError):  # noqa: N818 - a verdict, not an error
    """The trainer contradicts the claim; the message says where and by how much."""


class Inconclusive(Exception):  # noqa: N818 - a verdict, not an error
    """The time or the runs were spent before a decision."""


class NotApplicable(Exception):  # noqa: N818 - a verdict, not an error
    """The trainer lacks what the claim needs, or the claim's assumptions do not hold.

    **Arguments**

    - `message`: what is missing.
    - `avoidable`: whether the trainer has the methods, and leaves the claim out by what it
      declares.
    """

    def __init__(self, message: str, *, avoidable: bool = False) -> None:
        super().__init__(message)
        self.avoidable = avoidable


class ClaimError(MimverifyError):
    """A fault of the claim itself, not of the trainer."""
