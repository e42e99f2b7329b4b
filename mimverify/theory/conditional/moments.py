"""Moments of z given y: estimates with their errors, and functions of y."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mimverify.support.arrays import Float64Array
from mimverify.theory.labels.tables import STANDARD, Units

if TYPE_CHECKING:
    from jaxtyping import Float64

#: Bound on the undetected rounding error of an expectation, absolute (observed: below 1e-11).
ROUNDING = 1e-9
#: An estimate counts as non-zero from this many of its estimated errors on.
CLEARLY = 5.0


@dataclass(frozen=True)
class Estimate:
    """An expectation, with the recomputations that its error is estimated from.

    **Arguments**

    - `best`: the value.
    - `coarser`: the same, shape of `best`, at the resolution before.
    - `left_out`: `(R, *best.shape)`, recomputed without one of R replicates each; R = 0 where
      nothing is random.
    - `floor`: absolute error that these do not include.
    - `hidden`: what rounding may hide, in Frobenius norm. Where a link saturates, its labels
      coincide in floating point; `best` is then a lower bound, and too low by at most this.
    """

    best: Float64Array
    coarser: Float64Array
    left_out: Float64Array
    floor: float = 0.0
    hidden: float = 0.0

    def error(self, functional: Callable[[Float64Array], Float64Array] | None = None) -> float:
        """Jackknife deviation over the replicates plus the change of the last refinement.

        Of the estimate itself in Frobenius norm, or of a smooth `functional` of it; what is
        `hidden` is left out, for a lower bound may be clearly above zero all the same.
        """
        apply = functional or (lambda value: value)
        change = float(np.linalg.norm(np.ravel(apply(self.best) - apply(self.coarser))))
        scatter = 0.0
        if len(self.left_out):
            values = np.array([np.ravel(apply(value)) for value in self.left_out])
            replicates = len(values)
            spread = float(np.sum((values - values.mean(axis=0)) ** 2))
            scatter = math.sqrt((replicates - 1) / replicates * spread)
        return scatter + change + self.floor


@dataclass(frozen=True)
class ConditionalMoments:
    """The first two moments of z given y, as functions of y and averaged over it.

    **Arguments**

    - `first_order`: E[E[z|y] E[z|y]ᵀ], `(r, r)`.
    - `gram`: E[G(y)_ab G(y)_cd], `(r, r, r, r)`, with G(y) = E[zzᵀ − I | y].
    - `second_moment`: labels `(k,)` → E[zzᵀ | y] `(k, r, r)`; the nearest known label's where
      y is not in the range of g.
    - `knots`: sorted labels between which E[zzᵀ | y] may be interpolated linearly.
    - `atoms`: labels of positive probability, to be looked up exactly.
    - `rests_on`: method, and what the errors rest on, in one sentence.
    - `units`: of the labels. Methods give `second_moment`, `knots` and `atoms` for standardised
      labels; `conditional_moments` in the user's.
    """

    first_order: Estimate
    gram: Estimate
    second_moment: Callable[[Float64Array], Float64Array]
    knots: Float64Array
    atoms: Float64Array
    rests_on: str
    units: Units = STANDARD


def second_order(gram: Float64[Float64Array, "r r r r"]) -> Float64[Float64Array, "r r"]:
    """E[G²] `(r, r)` from `gram`, E[G_ab G_cd]."""
    square = np.einsum("abbd->ad", gram)
    return np.asarray((square + square.T) / 2)
