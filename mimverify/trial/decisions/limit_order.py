"""A decision on the order with which a gap vanishes: its slope in log-log scale."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from mimverify.support.settings_text import settings_text
from mimverify.support.strict_json import jsonable
from mimverify.trial.decisions.base import DecisionEvidence, ExactDecision, ExactState

__all__ = ["LimitOrder", "LimitOrderEvidence", "LimitOrderState"]


@dataclass(frozen=True)
class LimitOrder(ExactDecision):
    """The claim that a gap vanishes like a stated integer power of a size.

    A claim compares only at sizes where exact arithmetic is near that power and rounding cannot
    move the slope to another one; elsewhere it omits the decision.
    """

    kind: ClassVar[str] = "order of a limit"

    def open(self) -> LimitOrderState:
        return LimitOrderState(self)


class LimitOrderState(ExactState):
    """The slope farthest from its order so far."""

    def __init__(self, decision: LimitOrder) -> None:
        super().__init__()
        self.decision = decision
        self._worst: LimitOrderEvidence | None = None

    def slope(
        self,
        what: str,
        gaps: Sequence[float],
        sizes: Sequence[float],
        order: int,
        **settings: object,
    ) -> None:
        """Compare the log-log slope of two gaps between two sizes with `order`.

        **Arguments**

        - `what`: the gap, for messages.
        - `gaps`, `sizes`: two each, in the same order.
        - `settings`: what they were measured with.

        **Raises** `ClaimFailed` for a slope that is 1/2 or more away.
        """
        tiny = float(np.finfo(np.float64).tiny)
        first, second = (max(gap, tiny) for gap in gaps)
        measured = float(np.log2(first / second) / np.log2(sizes[0] / sizes[1]))
        distance = abs(measured - order) if measured == measured else np.inf
        self._compared()
        if self._worst is None or not distance <= self._worst.distance:
            self._worst = LimitOrderEvidence(
                decision=self.decision.name,
                case=repr(self.case),
                failed=False,
                distance=distance,
                slope=measured,
                order=order,
                sizes=tuple(map(float, sizes)),
                gaps=(first, second),
                settings=jsonable(settings),
                comparisons=0,
            )
        if not distance < 0.5:
            self._refute(
                f"{what} has slope {measured:.3f} between sizes {sizes[0]:g} and {sizes[1]:g}, "
                f"expected order {order} ({settings_text(settings)})"
            )

    def evidence(self) -> LimitOrderEvidence | None:
        if self._worst is None:
            return None
        return replace(self._worst, failed=self.refuted, comparisons=self.comparisons)


@dataclass(frozen=True)
class LimitOrderEvidence(DecisionEvidence):
    """The slope farthest from its order.

    **Arguments**

    - `distance`: of the slope from the order; fails from 1/2 on.
    - `slope`, `order`: the two numbers.
    - `sizes`, `gaps`: two each, between which the slope was measured.
    - `settings`: activation, loss, η, β, … of that comparison.
    - `comparisons`: how many were made.
    """

    kind: ClassVar[str] = LimitOrder.kind

    distance: float
    slope: float
    order: int
    sizes: tuple[float, ...]
    gaps: tuple[float, ...]
    settings: Mapping[str, object]
    comparisons: int

    @property
    def statistic(self) -> float | None:
        return self.distance

    @property
    def fraction_used(self) -> float | None:
        """1 + distance: the distance itself may be near 0 by chance."""
        return 1.0 + self.distance

    @property
    def against_bound(self) -> float:
        """The distance over 1/2, from which on it fails."""
        return self.distance / 0.5

    @property
    def summary(self) -> str:
        return f"slopes within {self.distance:.2g}, {self.comparisons} ×"
