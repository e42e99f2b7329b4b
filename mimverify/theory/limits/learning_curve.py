"""The inverse learning curve 𝒜(q) of one hidden feature, and the free entropy.

Fixed points of the state evolution with overlap q are those with α = 𝒜(q) = q/P(q), where P(q) is
the fraction of the remaining variance 1 − q that a label explains. The natural coordinate is
L = −log(1 − q), with √L where functions are interpolated, since they vary most near 0. The free
entropy is ½ (α I(L) − C(L)) with I = ∫ P dL and C = L − 1 + e^−L, and beyond some L the expansion
P ≈ P(∞) − a e^(−L/2) − b e^(−L) holds. Source: theory.md §9.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.polynomial import Chebyshev

from mimverify.support.arrays import Float64Array

#: Beyond this, 1 − q < 1e-26, and nothing changes any more.
FARTHEST = 60.0
_TINY = 1e-300


def overlap_of(L: Float64Array) -> Float64Array:
    """q = 1 − e^−L."""
    return np.asarray(-np.expm1(-np.asarray(L)))


@dataclass(frozen=True)
class LearningCurve:
    """𝒜 and what follows from it, as functions of L = −log(1 − q).

    **Arguments**

    - `first`: E[E[z|y]²], exactly 0 where that was not told from 0; `second`:
      E[(E[z²|y] − 1)²], and exactly 0 where that was not told from 0.
    - `gain`: P/q where `first` is 0, and P otherwise, in √L on [0, √`end`]; its logarithm where
      that is finite at 0 (`logarithmic`). `integral`: of P over L, in the same variable.
    - `certain`: P(∞), and `tail`: a and b of the expansion beyond `end`.
    """

    first: float
    second: float
    gain: Chebyshev
    logarithmic: bool
    integral: Chebyshev
    end: float
    certain: float
    tail: tuple[float, float]

    @staticmethod
    def of(
        explained: Callable[[float], float],
        first: float,
        second: float,
        certain: float,
        end: float,
        degree: int,
    ) -> LearningCurve:
        """The curve through P at `degree + 1` Chebyshev points of [0, end].

        `explained` is P(q) for 0 ≤ q < 1.
        """
        logarithmic = first > 0 or second > 0
        unexplained = explained(0.0) - first  # what was not told from 0

        def values(root: Float64Array) -> Float64Array:
            q = overlap_of(root**2)
            P = np.array([explained(float(each)) - unexplained for each in q])
            found = P if first else np.where(q > 0, P / np.where(q > 0, q, 1.0), second)
            return np.log(np.maximum(found, _TINY)) if logarithmic else found

        domain = [0.0, math.sqrt(end)]
        # Where P/q rises from 0 at 0 its logarithm does not help.
        gain = _interpolated(values, degree if logarithmic else 3 * degree, domain)

        def whole(root: Float64Array) -> Float64Array:
            """P dL/d√L."""
            found = np.exp(gain(root)) if logarithmic else gain(root)
            return np.asarray(2 * root * (found if first else found * overlap_of(root**2)))

        integral = Chebyshev.interpolate(whole, 2 * degree, domain=domain).integ(lbnd=0)
        near, far = end - 2 * math.log(2), end
        powers = np.array([[math.exp(-L / 2), math.exp(-L)] for L in (near, far)])
        roots = np.sqrt([near, far])
        left = certain - whole(roots) / (2 * roots)
        a, b = np.linalg.solve(powers, left)
        return LearningCurve(
            first, second, gain, logarithmic, integral, end, certain, (float(a), float(b))
        )

    def _gain(self, L: Float64Array) -> Float64Array:
        """P or P/q at L ≤ `end`."""
        found = self.gain(np.sqrt(L))
        return np.asarray(np.exp(found) if self.logarithmic else np.maximum(found, 0.0))

    def explained(self, L: Float64Array) -> Float64Array:
        """P at L `(k,)` ≥ 0."""
        L = np.asarray(L, dtype=np.float64)
        inside = np.minimum(L, self.end)
        near = self._gain(inside) * (1.0 if self.first else overlap_of(inside))
        a, b = self.tail
        far = self.certain - a * np.exp(-L / 2) - b * np.exp(-L)
        return np.asarray(np.where(self.end >= L, near, far))

    def ratio(self, L: Float64Array) -> Float64Array:
        """𝒜 at L `(k,)`: the sample ratio of which L is a fixed point; at 0 its limit."""
        L = np.asarray(L, dtype=np.float64)
        q = overlap_of(L)
        with np.errstate(divide="ignore", invalid="ignore"):
            if self.first:
                found = q / self.explained(L)
            else:
                far = self.explained(L) / np.where(L > 0, q, 1.0)
                gain = np.where(self.end < L, far, self._gain(np.minimum(L, self.end)))
                gain = np.where(L == 0, self.second, gain)
                found = np.where(gain > 0, 1 / np.where(gain > 0, gain, 1.0), np.inf)
        return np.asarray(found)

    def information(self, L: Float64Array) -> Float64Array:
        """I(L) = ∫₀^L P, `(k,)`."""
        L = np.asarray(L, dtype=np.float64)
        a, b = self.tail

        def beyond(at: Float64Array) -> Float64Array:
            return np.asarray(self.certain * at + 2 * a * np.exp(-at / 2) + b * np.exp(-at))

        inside = self.integral(np.sqrt(np.minimum(L, self.end)))
        rest = beyond(np.maximum(L, self.end)) - beyond(np.array(self.end))
        return np.asarray(inside + rest)

    @staticmethod
    def cost(L: Float64Array) -> Float64Array:
        """C(L) = L − 1 + e^−L, `(k,)`: twice the information about z that q amounts to."""
        L = np.asarray(L, dtype=np.float64)
        # The series where the terms cancel.
        series = L**2 / 2 - L**3 / 6 + L**4 / 24 - L**5 / 120
        return np.asarray(np.where(L < 1e-2, series, L + np.expm1(-L)))


def _interpolated(
    function: Callable[[Float64Array], Float64Array], degree: int, domain: list[float]
) -> Chebyshev:
    """The polynomial through `degree + 1` Chebyshev points with both ends among them."""
    angles = np.pi * np.arange(degree + 1) / degree
    points = domain[0] + (domain[1] - domain[0]) * (1 - np.cos(angles)) / 2
    values = function(points)[::-1]  # at cos(angles)
    weights = np.full(degree + 1, 2 / degree)
    weights[[0, -1]] /= 2
    series = np.cos(np.outer(np.arange(degree + 1), angles)) @ (weights * values)
    series[[0, -1]] /= 2
    return Chebyshev(series, domain=domain)
