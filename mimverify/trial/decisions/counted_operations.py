"""A decision on how counted operations grow: times on a shared machine are no evidence."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass
from typing import ClassVar

import numpy as np

from mimverify.trial.decisions.base import DecisionEvidence, ExactDecision, ExactState

__all__ = ["CountedOperations", "CountedOperationsEvidence", "CountedOperationsState"]


@dataclass(frozen=True)
class CountedOperations(ExactDecision):
    """The claim that a trainer's own counts grow at most with stated exponents.

    **Arguments**

    - `margin`: by how much an exponent may exceed the stated one before it fails.
    """

    kind: ClassVar[str] = "counted operations"

    _: KW_ONLY
    margin: float = 0.5

    def open(self) -> CountedOperationsState:
        return CountedOperationsState(self)


class CountedOperationsState(ExactState):
    """The largest excess of an exponent over the stated one, and the counts."""

    def __init__(self, decision: CountedOperations) -> None:
        super().__init__()
        self.decision = decision
        self._excess: float | None = None
        self._worst, self._worst_case = "", ""
        self._counts: dict[str, float] = {}

    def at_least(self, name: str, count: int, least: int, where: str) -> None:
        """Compare a count with the fewest operations of any step. **Raises** `ClaimFailed`."""
        self._compared()
        if count < least:
            self._worst, self._worst_case = f"{name} {count}, needed {least}", repr(self.case)
            self._refute(
                f"{name}={count} for {where}: expected {least} or more, without which no step "
                "can be taken"
            )

    def grows(self, name: str, counts: tuple[int, int], what: str, exponent: float) -> None:
        """Compare a count's growth, when `what` doubles, with 2^exponent.

        **Raises** `ClaimFailed` for an exponent that exceeds it by `margin` or more.
        """
        slope = float(np.log2(counts[1] / counts[0]))
        excess = slope - exponent
        self._compared()
        if self._excess is None or not excess <= self._excess:
            self._excess, self._worst_case = excess, repr(self.case)
            self._worst = f"{name} with twice the {what}: exponent {slope:.3g}, expected {exponent}"
        if not excess < self.decision.margin:
            self._refute(
                f"{name} grows from {counts[0]} to {counts[1]} with twice the {what}, exponent "
                f"{slope:.3g}: expected {exponent} ({self.case})"
            )

    def report(self, **counts: float) -> None:
        """Add this configuration's counts, relative to the textbook's, by name, to the record."""
        for name, count in counts.items():
            self._counts[name] = max(count, self._counts.get(name, count))

    def evidence(self) -> CountedOperationsEvidence | None:
        if not self.comparisons:
            return None
        return CountedOperationsEvidence(
            decision=self.decision.name,
            case=self._worst_case,
            failed=self.refuted,
            excess=self._excess,
            margin=self.decision.margin,
            worst=self._worst,
            comparisons=self.comparisons,
            counts=dict(self._counts),
        )


@dataclass(frozen=True)
class CountedOperationsEvidence(DecisionEvidence):
    """The largest excess of an exponent over the theory's, and the counts.

    **Arguments**

    - `excess`: the largest excess of an exponent; fails from `margin` on. None: no exponent was
      compared.
    - `margin`: as in `CountedOperations`.
    - `worst`: which count has that exponent, or which count is too small.
    - `comparisons`: their number.
    - `counts`: relative to the textbook's, by name, the largest over all configurations.
    """

    kind: ClassVar[str] = CountedOperations.kind

    excess: float | None
    margin: float
    worst: str
    comparisons: int
    counts: Mapping[str, float]

    @property
    def statistic(self) -> float | None:
        return self.excess

    @property
    def fraction_used(self) -> float | None:
        """1 + excess: the excess itself may be near 0 by chance."""
        return None if self.excess is None else 1.0 + self.excess

    @property
    def against_bound(self) -> float | None:
        """The excess over its margin, one below zero counting as none; infinite for a count that
        no step can have."""
        ratio = None if self.excess is None else max(self.excess, 0.0) / self.margin
        return math.inf if self.failed and (ratio is None or ratio < 1) else ratio

    @property
    def summary(self) -> str:
        if self.failed or not self.counts:
            return self.worst or f"{self.comparisons} counts"
        return ", ".join(
            f"{name.replace('_', ' ')} {value:.3g}" for name, value in self.counts.items()
        )
