"""A decision on what a trainer does with the memory of its arguments and results."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import ClassVar, NoReturn

from mimverify.handles.memory_forms import MEMORY_FORMS, PLAIN
from mimverify.handles.memory_watch import kind_of_change
from mimverify.support.errors import TrainerError
from mimverify.trial.decisions.base import DecisionEvidence, ExactDecision, ExactState

__all__ = ["REFUSED", "MemoryUse", "MemoryUseEvidence", "MemoryUseState"]

#: Errors of a trainer that say that it cannot take its arguments as they are; others, as a
#: time-out, may have many reasons.
_REFUSALS = ("raised", "dtype", "shape", "non-finite")


#: The cause of a failure where arguments are refused, with the form of memory.
REFUSED = "{} arguments refused"


@dataclass(frozen=True)
class MemoryUse(ExactDecision):
    """The claim that a trainer takes arguments in any memory, or that it changes none of them."""

    kind: ClassVar[str] = "use of memory"

    def open(self) -> MemoryUseState:
        return MemoryUseState(self)


@dataclass
class _Taken:
    """Whether a call refused its arguments, and may."""

    refused: bool = False


class MemoryUseState(ExactState):
    """The calls so far, and what the last of them did."""

    def __init__(self, decision: MemoryUse) -> None:
        super().__init__()
        self.decision = decision
        self._found = ""
        self._refused: dict[str, None] = {}

    @contextmanager
    def accepted(self, form: str, what: str) -> Iterator[_Taken]:
        """A call of this block takes arguments that lie in this form in memory.

        **Arguments**

        - `form`: a key of `MEMORY_FORMS`.
        - `what`: which call it is, for messages.

        **Returns** an object that is `refused` after the block where the trainer has raised an
        exception and the form is one that may be refused; the block has no result then.

        **Raises** `ClaimFailed` where the trainer raises an exception, or returns what is no
        result; the `TrainerError` itself where the arguments lie in plain memory, which has to
        be tried first, and for a time-out or the end of its process.
        """
        taken = _Taken()
        try:
            yield taken
        except TrainerError as error:
            if form == PLAIN or error.kind not in _REFUSALS:
                raise
            self._compared()
            if error.kind == "raised" and MEMORY_FORMS[form].refusable:
                self._refused[f"{what} refuses {form} arguments"] = None
                taken.refused = True
                return
            self.seen.append((REFUSED, form))
            self._fail(
                f"{what} fails with {_described(form)}, and not with the same numbers in plain "
                f"memory: {error}; {MEMORY_FORMS[form].remedy}"
            )
        self._compared()

    def unchanged(self, changes: Sequence[str], form: str) -> None:
        """Compare what calls changed that is not theirs (`TrainerUnderTrial.take_changes`).

        **Raises** `ClaimFailed` where there is anything.
        """
        self._compared()
        if changes:
            more = f", and {len(changes) - 1} more" if len(changes) > 1 else ""
            self.seen += [
                (kind, change.partition(":")[0])
                for change in changes
                if (kind := kind_of_change(change))
            ]
            given = "" if form == PLAIN else f", given {_described(form)}"
            self._fail(
                f"{changes[0]}{more}{given}; arguments and results are the caller's: copy what is "
                "to be overwritten"
            )

    def _fail(self, message: str) -> NoReturn:
        self._found = message
        self._refute(message)

    def evidence(self) -> MemoryUseEvidence | None:
        if not self.comparisons:
            return None
        return MemoryUseEvidence(
            decision=self.decision.name,
            case=repr(self.case),
            failed=self.refuted,
            comparisons=self.comparisons,
            found=self._found,
            refused=tuple(self._refused),
        )


def _described(form: str) -> str:
    return f"{form} arguments ({MEMORY_FORMS[form].text})"


@dataclass(frozen=True)
class MemoryUseEvidence(DecisionEvidence):
    """How many calls were compared, and what the one that failed did.

    **Arguments**

    - `comparisons`: their number.
    - `found`: what was refused or changed against the claim; "" where nothing was.
    - `refused`: what was refused and may be.
    """

    kind: ClassVar[str] = MemoryUse.kind

    comparisons: int
    found: str
    refused: tuple[str, ...] = ()

    @property
    def statistic(self) -> float | None:
        return float(self.failed)

    @property
    def fraction_used(self) -> float | None:
        return 2.0 if self.failed else None

    @property
    def summary(self) -> str:
        calls = f"{self.comparisons} call{'s' * (self.comparisons != 1)}"
        return self.found or "; ".join((calls, *self.refused))
