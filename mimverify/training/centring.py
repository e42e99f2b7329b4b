"""The constant output c that a loss fits to the labels. Source: theory.md §2, Centring."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq

from mimverify.network.losses import Loss
from mimverify.support.errors import InputError
from mimverify.support.threads import map_in_order
from mimverify.support.validation import not_constant

# How often the interval of the labels is doubled in search of a root.
_DOUBLINGS = 20

# Labels that a thread works on at a time.
_BLOCK = 1 << 18
# From so many labels on, a part of them is asked first.
_MANY = 1 << 19
_PART = 1 << 15


@dataclass(frozen=True)
class Centring:
    """`constant` c, and the mean of l'(c, y) that no c could remove (`offset`)."""

    constant: float = 0.0
    offset: float = 0.0


def fit_constant(
    loss: Loss,
    y: NDArray[np.floating[Any]],
    weights: NDArray[np.float64] | None = None,
) -> Centring:
    """The M-estimate: the root c of mean l'(c, y_i) = 0, in float64.

    Squared: the mean; l1: the median; otherwise the root, which for any convex loss with its
    minimum at f = y lies between the smallest and the largest label. For a loss with its
    minimum elsewhere, such as the square of f − T(y), it is looked for beyond them as well.
    Where l' jumps over zero (l1 and labels with atoms) the remaining mean is the
    `offset`, to be subtracted from l' itself.

    **Arguments**

    - `weights`: positive, with sum 1, one for each label: means over a law instead of a
      sample.

    **Raises** `InputError` for constant labels, or a user's loss without a root.
    """
    y = np.asarray(y, dtype=np.float64)
    not_constant(y)

    @cache  # a bracket's ends, and the root, are asked for twice
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
        low, high = _near(loss, y, mean) if weights is None else (None, None)
        if low is None or high is None:
            low, high = _bracket(loss, mean, float(y.min()), float(y.max()))
        # Where l' jumps at a label that is 0 no relative tolerance is ever met: the absolute
        # one ends the bisection, far below what tells labels of this range apart.
        eps = float(np.finfo(float).eps)
        xtol = max(eps**2 * (high - low), float(np.finfo(float).tiny))
        constant = float(brentq(mean, low, high, xtol=xtol, rtol=4 * eps, maxiter=10_000))
    return Centring(constant, mean(constant))


def _mean_derivative(
    loss: Loss,
    y: NDArray[np.floating[Any]],
    c: float,
    weights: NDArray[np.float64] | None,
) -> float:
    """mean l'(c, y_i), block by block: what is in the cache is not fetched again."""

    def part(start: int) -> float:
        labels = y[start : start + _BLOCK]
        slope = loss.derivative(np.full_like(labels, c), labels)
        return float(np.sum(slope) if weights is None else slope @ weights[start : start + _BLOCK])

    total: float = sum(map_in_order(part, range(0, len(y), _BLOCK)))
    return total / (len(y) if weights is None else float(np.sum(weights)))


def _near(
    loss: Loss, y: NDArray[np.floating[Any]], mean: Callable[[float], float]
) -> tuple[float, float] | tuple[None, None]:
    """A short interval with the root in it, from the root of a part of many labels.

    The last steps towards a root are few from there, and only they see all labels.
    """
    if len(y) < _MANY:
        return None, None
    part = y[:: len(y) // _PART]
    if np.ptp(part) == 0:
        return None, None
    centre = fit_constant(loss, part).constant
    slope = np.asarray(loss.derivative(np.full_like(part, centre), part))
    # How far the root of the part may be from that of all: some standard errors, the
    # spread of the labels standing for the curvature that is not known.
    reach = 8 * max(float(np.std(slope)), float(np.std(part))) / np.sqrt(len(part))
    low, high = centre - reach, centre + reach
    return (low, high) if mean(low) < 0 < mean(high) else (None, None)


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
