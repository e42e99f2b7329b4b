"""A decision on whether arrays agree within a bound on rounding errors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from mimverify.support.arrays import Float64Array, NumpyArray
from mimverify.support.settings_text import settings_text
from mimverify.support.strict_json import jsonable
from mimverify.trial.decisions.base import DecisionEvidence, ExactDecision, ExactState

if TYPE_CHECKING:
    from jaxtyping import Float64, Num

__all__ = ["Rounding", "RoundingEvidence", "RoundingState"]


@dataclass(frozen=True)
class Rounding(ExactDecision):
    """The claim that arrays agree within a bound that no correct trainer can exceed.

    **Arguments**

    - `bound`: what the bound is, if it is not a rigorous one.
    """

    kind: ClassVar[str] = "bound on rounding"

    _: KW_ONLY
    bound: str = "rounding bound"

    def open(self) -> RoundingState:
        return RoundingState(self)


@dataclass(frozen=True)
class _Worst:
    """The comparison with the largest error relative to its bound."""

    ratio: float
    case: object
    tensor: str = ""
    index: tuple[int, ...] = ()
    error: float = 0.0
    allowed: float = 0.0
    settings: Mapping[str, object] | None = None


class RoundingState(ExactState):
    """The worst comparison of a claim so far."""

    def __init__(self, decision: Rounding) -> None:
        super().__init__()
        self.decision = decision
        self._worst = _Worst(-1.0, None)

    def within(
        self,
        what: str,
        got: Num[NumpyArray, "*shape"],
        expected: Num[NumpyArray, "*shape"],
        bound: NumpyArray | float,
        **settings: object,
    ) -> None:
        """Compare |got − expected| with `bound`, entry by entry; arrays of any one shape.

        **Arguments**

        - `what`: the tensor, for messages; the worst entry's index replaces `{}`, or is appended.
        - `bound`: broadcast to the shape of `got`.
        - `settings`: what the comparison was made with.

        **Raises** `ClaimFailed` naming the worst entry.
        """
        error = np.asarray(np.abs(np.asarray(got, dtype=np.float64) - expected))
        ratio = np.asarray(error / np.maximum(bound, np.finfo(np.float64).tiny))
        worst = float(np.max(ratio)) if np.size(ratio) else 0.0
        worst = worst if worst == worst else np.inf  # NaN exceeds any bound
        self._compared()
        if not worst <= self._worst.ratio:
            self._worst = self._entry(what, worst, ratio, error, bound, settings)
        if worst <= 1:
            self.on_passed()
            return
        found = self._entry(what, worst, ratio, error, bound, settings)
        place = ", ".join(str(k) for k in found.index)
        where = what.replace("{}", place) if "{}" in what else f"{what}[{place}]" if place else what
        self._refute(
            f"{where}: off by {found.error:.3g} where rounding allows {found.allowed:.3g} "
            f"({settings_text(settings)})"
        )

    def _entry(
        self,
        what: str,
        worst: float,
        ratio: Float64[Float64Array, "*shape"],
        error: Float64[Float64Array, "*shape"],
        bound: NumpyArray | float,
        settings: Mapping[str, object],
    ) -> _Worst:
        if not np.size(ratio):
            return _Worst(worst, self.case, what, settings=settings)
        index = np.unravel_index(int(np.argmax(ratio)), np.shape(ratio))
        allowed = float(np.broadcast_to(bound, np.shape(ratio))[index])
        place = tuple(int(k) for k in index)
        return _Worst(worst, self.case, what, place, float(error[index]), allowed, settings)

    def evidence(self) -> RoundingEvidence | None:
        if not self.comparisons:
            return None
        worst = self._worst
        return RoundingEvidence(
            decision=self.decision.name,
            case=repr(worst.case),
            failed=self.refuted,
            bound=self.decision.bound,
            ratio=worst.ratio,
            comparisons=self.comparisons,
            tensor=worst.tensor,
            index=worst.index,
            error=worst.error,
            allowed=worst.allowed,
            settings=jsonable(dict(worst.settings or {})),
        )


@dataclass(frozen=True)
class RoundingEvidence(DecisionEvidence):
    """The comparison with the largest error relative to its bound.

    **Arguments**

    - `bound`: what the bound is.
    - `ratio`: the largest error as a fraction of the bound; fails above 1.
    - `comparisons`: their number.
    - `tensor`, `index`: where that error is.
    - `error`, `allowed`: its size, and the bound there.
    - `settings`: activation, loss, η, β, dtype, … of that comparison.
    """

    kind: ClassVar[str] = Rounding.kind

    bound: str
    ratio: float
    comparisons: int
    tensor: str
    index: tuple[int, ...]
    error: float
    allowed: float
    settings: Mapping[str, object]

    @property
    def statistic(self) -> float | None:
        return self.ratio

    @property
    def fraction_used(self) -> float | None:
        return self.ratio

    @property
    def summary(self) -> str:
        return f"{self.ratio:.2g} of {self.bound}, {self.comparisons} ×"
