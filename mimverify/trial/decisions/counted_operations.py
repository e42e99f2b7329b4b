"""A decision on how counted operations grow: seconds on a shared machine prove nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from mimverify.trial.decisions.base import DecisionEvidence, ExactDecision, ExactState

__all__ = ["CountedOperations", "CountedOperationsEvidence", "CountedOperationsState"]


@dataclass(frozen=True)
class CountedOperations(ExactDecision):
    """The claim that a trainer's own counts grow with stated exponents, and no faster.

    **Arguments**

    - `room`: by how much an exponent may exceed the stated one before it fails.
    """

    kind: ClassVar[str] = "counted operations"

    room: float = 0.5

    def open(self) -> CountedOperationsState:
        return CountedOperationsState(self)


class CountedOperationsState(ExactState):
    """The exponents of a claim, of which the largest excess is kept."""

    def __init__(self, decision: CountedOperations) -> None:
        super().__init__()
        self.decision = decision
        self._excess, self._case = -np.inf, None
        self._counts: dict[str, float] = {}

    def at_least(self, name: str, count: int, least: int, where: str) -> None:
        """No step can be taken with fewer operations. **Raises** `ClaimFailed`."""
        if count < least:
            self.refute(
                f"{name}={count} for {where}: expected {least} or more, without which no step "
                "can be taken"
            )

    def grows(self, name: str, counts: tuple[int, int], what: str, exponent: float) -> None:
        """With twice the `what`, a count grows by 2^exponent, or by less.

        **Raises** `ClaimFailed` for an exponent that exceeds it by `room` or more.
        """
        slope = float(np.log2(counts[1] / counts[0]))
        excess = slope - exponent
        self.comparisons += 1
        if not excess <= self._excess:
            self._excess, self._case = excess, self.case
        if not excess < self.decision.room:
            self.refute(
                f"{name} grows from {counts[0]} to {counts[1]} with twice the {what}, exponent "
                f"{slope:.3g}: expected {exponent} ({self.case})"
            )

    def report(self, **counts: float) -> None:
        """What the counts are in units of the textbook's, by name, for the table."""
        self._counts = counts

    def evidence(self) -> CountedOperationsEvidence | None:
        if not self.comparisons:
            return None
        return CountedOperationsEvidence(
            decision=self.decision.name,
            case=repr(self._case),
            excess=float(self._excess),
            room=self.decision.room,
            comparisons=self.comparisons,
            counts=dict(self._counts),
        )


@dataclass(frozen=True)
class CountedOperationsEvidence(DecisionEvidence):
    """The exponent that exceeds the theory's by most, and the counts.

    **Arguments**

    - `excess`: of an exponent over that of the theory, the largest; fails from `room` on.
    - `comparisons`: exponents that were compared.
    - `counts`: in units of the textbook's, by name.
    """

    kind: ClassVar[str] = CountedOperations.kind

    excess: float
    room: float
    comparisons: int
    counts: dict[str, Any]

    @property
    def statistic(self) -> float | None:
        return self.excess

    @property
    def used_up(self) -> float | None:
        """1 and the excess: never near 0 by luck."""
        return 1.0 + self.excess

    @property
    def failed(self) -> bool:
        return not self.excess < self.room

    @property
    def summary(self) -> str:
        if not self.counts:
            return f"exponents exceed the theory's by {self.excess:.2g}"
        return ", ".join(
            f"{name.replace('_', ' ')} {value:.3g}" for name, value in self.counts.items()
        )
