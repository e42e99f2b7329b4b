"""A sequential test of whether two ways to draw a vector have the same law.

Testing by betting (Shekhar and Ramdas, 2021): whoever bets on the difference f(x) − f(y),
with f chosen before the pair (x, y) is observed, wins nothing on average where both have one
law. The wealth is then a non-negative martingale, and by Ville's inequality it ever
reaches 1/α with probability at most α, whatever the law, the number of looks and the
rule to stop.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from mimverify.support.arrays import ArrayLike, Float64Array
from mimverify.support.errors import InputError
from mimverify.support.validation import array, integer, number

if TYPE_CHECKING:
    from jaxtyping import Float64

# Stakes: a factor two apart, so that one of them earns at least 8/9 of what the best would.
_STAKES = np.array([1 / 16, 1 / 8, 1 / 4, 1 / 2, 15 / 16])
_LARGEST = math.log(np.finfo(float).max)


class SequentialTwoSample:
    """Bets against "x and y have the same law", pair by pair.

    Each statistic is replaced by its rank u ∈ [0, 1] among all values of the pairs before
    (ties take the middle). Bets are on the differences in three kinds of witnesses, which
    respond to location, spread and dependence:

        u_i,    |2 u_i − 1|,    (1 + (2 u_i − 1)(2 u_j − 1))/2,    i < j,

    with stakes λ from ±1/16 to ±15/16: a factor 1 + λ (f(x) − f(y)) a pair. The e-value is
    the mean wealth, which starts in equal parts for the kinds, and within a kind for its bets.

    **Arguments**

    - `statistics`: k, entries of x and of y.
    - `alpha`: probability of ever rejecting where, given all pairs before, x and y have the
      same law. They need not be independent of one another, nor pairs alike.

    Feed it with `update`; `rejected` once the e-value has reached 1/α.

    Power: a witness with mean difference δ, whose square has mean v, multiplies its wealth
    by at least exp(λ δ − λ² v) a pair, geometrically, for |λ| ≤ 1/2; so that rejection takes
    about 2 v/δ² · log(30 b/α) pairs for small δ, b witnesses of its kind. Constants lose nothing.
    """

    def __init__(self, statistics: int, alpha: float) -> None:
        self.statistics = integer("statistics", statistics, minimum=1)
        self.alpha = number("alpha", alpha, minimum=0, exclusive=True)
        if self.alpha >= 1:
            raise InputError(f"alpha={alpha}: expected a probability below 1")
        self.pairs = 0
        self.rejected = False
        self._first, self._second = np.triu_indices(self.statistics, 1)
        k = self.statistics
        kinds = [k, k, len(self._first)] if k > 1 else [k, k]
        bets = 2 * len(_STAKES)
        initial = np.concatenate(
            [np.full(count, 1 / (len(kinds) * count * bets)) for count in kinds]
        )
        #: log of each bet's part of the e-value, `(witnesses, 2 · stakes)`.
        self._wealth = np.repeat(np.log(initial)[:, None], bets, axis=1)
        self._stakes = np.concatenate([_STAKES, -_STAKES])
        self._past = np.empty((16, k))

    @property
    def log_e_value(self) -> float:
        """log of the e-value: 0 at the start."""
        largest = float(self._wealth.max())
        return largest + math.log(float(np.exp(self._wealth - largest).sum()))

    @property
    def e_value(self) -> float:
        """Evidence against one law: its mean is at most 1 where there is one.

        Where it is beyond the floating-point numbers, the largest of them.
        """
        return math.exp(min(self.log_e_value, _LARGEST))

    @property
    def strongest(self) -> tuple[str, tuple[int, ...]]:
        """Largest wealth: on `"location"`, `"spread"` or `"dependence"`, and of which entries."""
        witness = int(self._wealth.max(axis=1).argmax())
        k = self.statistics
        if witness < 2 * k:
            return ("location", "spread")[witness // k], (witness % k,)
        pair = witness - 2 * k
        return "dependence", (int(self._first[pair]), int(self._second[pair]))

    def update(self, x: ArrayLike, y: ArrayLike) -> bool:
        """Count one pair of vectors `(k,)`; returns whether one law is, or was, rejected.

        **Raises** `InputError` for another shape, or entries that are not finite.
        """
        vectors = [
            array(name, v, (self.statistics,), dtype="float64") for name, v in (("x", x), ("y", y))
        ]
        pair = np.stack(vectors).astype(np.float64, copy=False)
        if self.pairs:
            of_x, of_y = self._witnesses(pair)
            self._wealth += np.log1p(np.multiply.outer(of_x - of_y, self._stakes))
        self._record(pair)
        self.rejected = self.rejected or self.log_e_value >= -math.log(self.alpha)
        return self.rejected

    def _witnesses(
        self, pair: Float64[Float64Array, "2 k"]
    ) -> Float64[Float64Array, "2 witnesses"]:
        """Values in [0, 1], shape `(2, witnesses)`, chosen by the pairs before."""
        past = self._past[: 2 * self.pairs]
        below = (past < pair[:, None]).sum(axis=1) + (past <= pair[:, None]).sum(axis=1)
        centred = below / len(past) - 1  # 2 u − 1
        products = centred[:, self._first] * centred[:, self._second]
        return np.concatenate([(1 + centred) / 2, np.abs(centred), (1 + products) / 2], axis=1)

    def _record(self, pair: Float64[Float64Array, "2 k"]) -> None:
        start, self.pairs = 2 * self.pairs, self.pairs + 1
        if 2 * self.pairs > len(self._past):
            self._past = np.concatenate([self._past, np.empty_like(self._past)])
        self._past[start : start + 2] = pair
