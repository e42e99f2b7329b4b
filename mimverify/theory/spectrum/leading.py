"""At which of many sample ratios an outlier of H leads both edges of its bulk in modulus.

What `Resolvent` finds for one ratio, by root finding in one variable at a time, is found here for
all ratios at once: a threshold asks for hundreds. Source: theory.md §5.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mimverify.support.arrays import Float64Array
from mimverify.theory.labels.label_measure import LabelMeasure, unpack

if TYPE_CHECKING:
    from jaxtyping import Bool, Float64

# Newton's steps: quadratic, but for a start next to a double root.
_MOST_STEPS = 100
_DONE = 4 * float(np.finfo(float).eps)


def leads(
    measure: LabelMeasure, alphas: Float64[Float64Array, " A"], tolerance: float
) -> Bool[NDArray[np.bool_], " A"]:
    """Whether an outlier lies beyond (1 − tolerance) times the bulk's larger edge, `(A,)`."""
    starts = {side: _turning_points(measure, alphas, side) for side in (1, -1)}
    edges = {side: _zeta(measure, alphas, starts[side]) for side in (1, -1)}
    radius = (1 - tolerance) * np.maximum(np.abs(edges[1]), np.abs(edges[-1]))
    found = np.zeros(len(alphas), dtype=bool)
    for side in (1, -1):
        inside = side * edges[side] < radius
        w = starts[side].copy()
        w[inside] = _beyond(measure, alphas[inside], side, radius[inside])
        # M increases: outliers beyond a point are counted by the signs of its eigenvalues there.
        signs = side * np.linalg.eigvalsh(_matrices(measure, alphas, w))
        found |= (signs < 0).any(axis=1)
    return found


def _turning_points(
    measure: LabelMeasure, alphas: Float64Array, side: int
) -> Float64[Float64Array, " A"]:
    """The w beyond T's support where ζ' = 0, or its end where ζ' > 0 already.

    ζ' = 0 where f = E[T²/(w − T)²]^(−1/2) is √α. f is a power mean of distances: it increases
    and is concave in the distance, so that Newton's steps from the near end never overshoot.
    """
    low, high = min(measure.low, 0.0), max(measure.high, 0.0)
    end = high if side > 0 else low
    x = np.full(len(alphas), 1e-13 * (high - low))
    target = np.sqrt(alphas)
    distances = side * (end - measure.T)

    def mean(x: Float64Array) -> tuple[Float64Array, Float64Array]:
        inverse = 1 / (x[:, None] + distances)
        squared = inverse**2
        second = squared @ measure.squared_mass
        f = second**-0.5
        return f, f**3 * ((squared * inverse) @ measure.squared_mass)

    f, slope = mean(x)
    active = np.flatnonzero(f < target)  # elsewhere T's density vanishes at its end: a hard edge
    f, slope = f[active], slope[active]
    for _ in range(_MOST_STEPS):
        if not len(active):
            break
        step = (target[active] - f) / slope
        x[active] += step
        going = step > _DONE * x[active]
        active = active[going]
        f, slope = mean(x[active])
    return end + side * x


def _beyond(
    measure: LabelMeasure, alphas: Float64Array, side: int, radius: Float64Array
) -> Float64[Float64Array, " A"]:
    """The w outside the bulk with ζ(w) = side · radius.

    side · ζ is convex there, and at least w/α + E T in modulus: Newton's steps from where that is
    the radius come down to the root.
    """
    mean = measure.moment(1)
    w = alphas * (side * radius - mean)
    active = np.arange(len(alphas))
    for _ in range(_MOST_STEPS):
        if not len(active):
            break
        inverse = 1 / (w[active, None] - measure.T)
        excess = (
            w[active] / alphas[active] + mean + inverse @ measure.squared_mass
        ) - side * radius[active]
        slope = 1 / alphas[active] - inverse**2 @ measure.squared_mass
        step = excess / slope
        w[active] -= step
        active = active[(side * step > _DONE * np.abs(w[active])) & (slope > 0)]
    return w


def _zeta(
    measure: LabelMeasure, alphas: Float64Array, w: Float64Array
) -> Float64[Float64Array, " A"]:
    sums = (1 / (w[:, None] - measure.T)) @ measure.squared_mass
    return np.asarray(w / alphas + measure.moment(1) + sums)


def _matrices(
    measure: LabelMeasure, alphas: Float64Array, w: Float64Array
) -> Float64[Float64Array, "A r r"]:
    """M(w) at each ratio."""
    sums = (1 / (w[:, None] - measure.T)) @ measure.squared
    zeta = w / alphas + measure.moment(1) + sums[:, 0]
    eye = np.eye(measure.rank)
    return np.asarray(
        zeta[:, None, None] * eye - measure.first_second - unpack(sums[:, 1:], measure.rank)
    )
