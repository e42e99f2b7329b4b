"""The constant output c that a loss fits to the labels. Source: theory.md §2, Centring."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from mimverify.network.losses import Loss
from mimverify.problems.streams import cut_rows
from mimverify.support.arrays import Float64Array, FloatArray
from mimverify.support.errors import InputError
from mimverify.support.threads import map_in_order
from mimverify.support.validation import not_constant

if TYPE_CHECKING:
    from jaxtyping import Float, Float64

# How often the interval of the labels is doubled in search of a root.
_DOUBLINGS = 20

# Labels of one block, a thread's unit of work.
_BLOCK_LABELS = 1 << 18
# From so many labels on, a subsample brackets the root first.
_SUBSAMPLED_FROM = 1 << 19
_SUBSAMPLE = 1 << 15
# How often the distance from a guess is tried, and how much more of it the next time.
_NEARBY, _FARTHER = 3, 64


@dataclass(frozen=True)
class Centring:
    """`constant` c, and the mean of l'(c, y) that remains at it (`offset`)."""

    constant: float = 0.0
    offset: float = 0.0


def fit_constant(
    loss: Loss,
    y: Float[FloatArray, " n"],
    weights: Float64[Float64Array, " n"] | None = None,
    *,
    near: tuple[float, float] | None = None,
    accuracy: float = 0.0,
) -> Centring:
    """The M-estimate: the root c of mean l'(c, y_i) = 0, in float64.

    Squared: the mean; l1: the median; otherwise the root, which for any convex loss with its
    minimum at f = y lies between the smallest and the largest label. For a loss with its
    minimum elsewhere, such as the square of f − T(y), the search goes beyond them as well.
    Where l' jumps over zero (l1 and labels with atoms) the remaining mean is the
    `offset`, to be subtracted from l' itself.

    **Arguments**

    - `weights`: positive, with sum 1, `(n,)`: means over a distribution instead of a sample.
    - `near`: where the root is expected, and by how much that may be off: a good guess leaves few
      passes over the labels, a bad one costs some, and neither changes the result.
    - `accuracy`: absolute, of the root; 0: as far as rounding lets it be found.

    **Raises** `InputError` for constant labels, or a user's loss without a root.
    """
    from scipy.optimize import brentq

    y = np.asarray(y, dtype=np.float64)
    not_constant(y)

    @cache  # a bracket's ends, and the root, are evaluated twice
    def mean(c: float) -> float:
        return _mean_derivative(loss, y, c, weights)

    if loss.name == "squared":
        constant = float(np.average(y, weights=weights))
    elif loss.name == "l1":
        constant = float(
            np.median(y)
            if weights is None
            else np.quantile(y, 0.5, weights=weights, method="inverted_cdf")
        )
    else:
        bracket = None
        if near is not None:
            bracket = _near_bracket(mean, *near)
        elif weights is None:
            bracket = _subsample_bracket(loss, y, mean)
        low, high = bracket or _bracket(loss, mean, float(y.min()), float(y.max()))
        # Where l' jumps at a label that is 0 no relative tolerance is ever met: the absolute one
        # ends the bisection, far below the spacing of labels of this range.
        eps = float(np.finfo(float).eps)
        xtol = max(eps**2 * (high - low), float(np.finfo(float).tiny), accuracy)
        constant = (
            float(brentq(mean, low, high, xtol=xtol, rtol=4 * eps, maxiter=10_000))
            if low < high
            else low
        )
    return Centring(constant, mean(constant))


def _mean_derivative(
    loss: Loss,
    y: FloatArray,
    c: float,
    weights: Float64Array | None,
) -> float:
    """mean l'(c, y_i), in blocks that fit in the cache."""

    def block_sum(rows: slice) -> float:
        labels = y[rows]
        slope = loss.derivative(np.full_like(labels, c), labels)
        return float(np.sum(slope) if weights is None else slope @ weights[rows])

    total = sum(map_in_order(block_sum, list(cut_rows(slice(0, len(y)), _BLOCK_LABELS))))
    return total / (len(y) if weights is None else float(np.sum(weights)))


def _subsample_bracket(
    loss: Loss, y: FloatArray, mean: Callable[[float], float]
) -> tuple[float, float] | None:
    """A short interval that contains the root, from the root of a subsample of many labels.

    The search needs few evaluations over all labels from there.
    """
    if len(y) < _SUBSAMPLED_FROM:
        return None
    sample = y[:: len(y) // _SUBSAMPLE]
    if np.ptp(sample) == 0:
        return None
    centre = fit_constant(loss, sample).constant
    slope = np.asarray(loss.derivative(np.full_like(sample, centre), sample))
    # A bound on the distance of the two roots: some standard errors, with the spread of the
    # labels in place of the unknown curvature.
    reach = 8 * max(float(np.std(slope)), float(np.std(sample))) / np.sqrt(len(sample))
    low, high = centre - reach, centre + reach
    return (low, high) if mean(low) < 0 < mean(high) else None


def _near_bracket(
    mean: Callable[[float], float], guess: float, reach: float
) -> tuple[float, float] | None:
    """An interval with the root at a guess that may be off by `reach`, or somewhat more; the guess
    alone where it is a root."""
    at_guess = mean(guess)
    if at_guess == 0:
        return guess, guess
    for _ in range(_NEARBY):
        other = guess - math.copysign(reach, at_guess)
        if at_guess * mean(other) < 0:
            return min(guess, other), max(guess, other)
        reach *= _FARTHER
    return None


def _bracket(
    loss: Loss, mean: Callable[[float], float], low: float, high: float
) -> tuple[float, float]:
    """An interval on which `mean` changes from negative to positive, grown from [low, high]."""
    at_low, at_high = mean(low), mean(high)
    if at_low <= 0 <= at_high:
        return low, high
    reach = high - low
    for _ in range(_DOUBLINGS):
        if not (np.isfinite(at_low) and np.isfinite(at_high)):
            break
        reach *= 2
        if at_low > 0:
            low -= reach
            at_low = mean(low)
        if at_high < 0:
            high += reach
            at_high = mean(high)
        if at_low < 0 < at_high:  # a mean that only tends to 0 reaches it by underflow
            return low, high
    raise InputError(
        f"loss={loss.name!r}: mean l'(c, y) is {at_low:g} at c = {low:g} and {at_high:g} at "
        f"c = {high:g}: expected a change from negative to positive"
    )
