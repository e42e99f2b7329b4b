"""Two targets with a high information exponent, one that a reused batch learns and one it cannot.

`half-alternating` is ±√2 in turn on four intervals of z > 0 and 0 for z ≤ 0. The three cuts are
those for which its components on 1, z and z² − 1 vanish, so that its information exponent is 3:
one pass over O(d) rows learns nothing in finitely many steps. It is neither even nor odd, and
E[y² z] = 2 φ(0) ≠ 0: a function of y correlates with z although y does not.

`alternating` is the same on both sides of 0, as a function of |z|: even, information exponent 4.
Every function of y is even as well, so that no number of uses of a batch helps at n = O(d).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import fsolve
from scipy.stats import norm

from mimverify import Link

__all__ = ["ALTERNATING", "CUTS", "HALF_ALTERNATING", "LINKS"]

_SIGNS = (1.0, -1.0, 1.0, -1.0)


def interval_moments(low: float, high: float) -> NDArray[np.float64]:
    """E[(1, z, z²) 1{low < z < high}] for standard normal z."""
    edges = np.array([low, high])
    densities = norm.pdf(edges)
    finite = np.where(np.isfinite(edges), edges, 0.0)
    mass = norm.cdf(high) - norm.cdf(low)
    return np.array(
        [
            mass,
            densities[0] - densities[1],
            mass + finite[0] * densities[0] - finite[1] * densities[1],
        ]
    )


def _moments(logarithms: NDArray[np.float64]) -> NDArray[np.float64]:
    """E[y], E[y z], E[y z²] of the signs between cuts whose increments have these logarithms."""
    edges = [0.0, *np.cumsum(np.exp(logarithms)), np.inf]
    parts = zip(_SIGNS, edges[:-1], edges[1:], strict=True)
    return np.asarray(sum(sign * interval_moments(low, high) for sign, low, high in parts))


#: Where the sign changes: 0.269, 0.925, 1.829.
CUTS: tuple[float, ...] = tuple(
    float(cut) for cut in np.cumsum(np.exp(fsolve(_moments, np.log([0.3, 0.7, 1.0]), xtol=1e-13)))
)


def _alternating(z: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(_SIGNS)[np.searchsorted(CUTS, np.abs(z[:, 0]))]


def _half_alternating(z: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.sqrt(2) * (z[:, 0] > 0) * _alternating(z)


HALF_ALTERNATING = Link(
    "half-alternating", 1, _half_alternating, "√2 · (1, −1, 1, −1) in turn on z > 0, else 0"
)
ALTERNATING = Link("alternating", 1, _alternating, "(1, −1, 1, −1) in turn as |z| grows")

LINKS = {link.name: link for link in (HALF_ALTERNATING, ALTERNATING)}
