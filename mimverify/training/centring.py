"""The constant output c that a loss fits to the labels. Source: theory.md §2, Centring."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq

from mimverify.errors import InputError
from mimverify.network.losses import Loss
from mimverify.validation import not_constant


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

    Squared: the mean; l1: the median; otherwise the root between the smallest and the
    largest label, where l' changes sign for any convex loss with its minimum at f = y.
    Where l' jumps over zero (l1 and labels with atoms) the remaining mean is the
    `offset`, to be subtracted from l' itself.

    **Arguments**

    - `weights`: positive, with sum 1, one for each label: means over a law instead of a
      sample.

    **Raises** `InputError` for constant labels, or a user's loss without a root there.
    """
    y = np.asarray(y, dtype=np.float64)
    not_constant(y)

    def mean(c: float) -> float:
        return float(np.average(loss.derivative(np.full_like(y, c), y), weights=weights))

    if loss.name == "squared":
        constant = float(np.average(y, weights=weights))
    elif loss.name == "l1":
        constant = float(
            np.median(y)
            if weights is None
            else np.quantile(y, 0.5, weights=weights, method="inverted_cdf")
        )
    else:
        low, high = float(y.min()), float(y.max())
        at_low, at_high = mean(low), mean(high)
        if not (np.isfinite(at_low) and np.isfinite(at_high)) or at_low > 0 or at_high < 0:
            raise InputError(
                f"loss={loss.name!r}: mean l'(c, y) is {at_low:g} at c = min y and {at_high:g} "
                "at c = max y: expected a change from negative to positive"
            )
        # Where l' jumps at a label that is 0 no relative tolerance is ever met: the absolute
        # one ends the bisection, far below what tells labels of this range apart.
        eps = float(np.finfo(float).eps)
        xtol = max(eps**2 * (high - low), float(np.finfo(float).tiny))
        constant = float(brentq(mean, low, high, xtol=xtol, rtol=4 * eps, maxiter=10_000))
    return Centring(constant, mean(constant))
