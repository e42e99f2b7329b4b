"""The error in y of the Bayes-optimal predictor that has reached the overlap q, r = 1.

It predicts E[g(z) | ω] for a fresh input, with ω ~ N(0, q) and z | ω ~ N(ω, 1 − q), so that its
error is E Var(g(z) | ω), noise apart. Source: theory.md §9.
"""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np

from mimverify.problems.links import Link
from mimverify.support.arrays import Float64Array

#: In standard deviations; and the range of z on which links are known.
_FAR = 8.5
_REACH = 10.0
_INNER_PANELS = 16


def label_error(link: Link, cuts: Float64Array, q: float, order: int) -> float:
    """E Var(g(z) | ω).

    **Arguments**

    - `cuts`: jumps and kinks of g, ascending; no interval of either integral contains one.
    - `order`: nodes on each interval.
    """
    if q >= 1:
        return 0.0
    V = 1 - q
    x, w = np.polynomial.legendre.leggauss(order)
    if q < 0.5:
        # Var(g | ω) is smooth on the scale of √V, which is wider than √q.
        s = np.linspace(-_FAR, _FAR, 8 * order + 1)
        omega, weight = math.sqrt(q) * s, np.exp(-(s**2) / 2) * (s[1] - s[0])
    else:
        omega, weight = _outer(cuts, q, math.sqrt(V), x, w)
    weight = weight / math.sqrt(2 * math.pi)
    total = 0.0
    for start in range(0, len(omega), 512):
        block = omega[start : start + 512]
        total += float(weight[start : start + 512] @ _variances(link, cuts, block, V, x, w))
    return total


def _outer(
    cuts: Float64Array, q: float, width: float, x: Float64Array, w: Float64Array
) -> tuple[Float64Array, Float64Array]:
    """Nodes for ω that resolve layers of that width around every cut."""
    ends = np.concatenate([[-_FAR], cuts[np.abs(cuts) < _FAR], [_FAR]])
    edges = [np.array([-_FAR, _FAR]), np.arange(-_FAR, _FAR, 0.5)]
    for a, b in pairwise(ends):
        layers = width * 2.0 ** np.arange(-1, 12)
        layers = layers[layers < (b - a) / 2]
        edges += [np.array([a]), a + layers, b - layers]
    grid = np.unique(np.concatenate(edges))
    half = np.diff(grid)[:, None] / 2
    omega = (grid[:-1, None] + half * (1 + x)).ravel()
    return omega, (half * w).ravel() * np.exp(-(omega**2) / (2 * q)) / math.sqrt(q)


def _variances(
    link: Link, cuts: Float64Array, omega: Float64Array, V: float, x: Float64Array, w: Float64Array
) -> Float64Array:
    """Var(g(z) | ω) for ω `(k,)`, on panels that end at the cuts."""
    # Denser at both ends, where g may have a logarithm or a root.
    x, w = (3 * x - x**3) / 2, w * 1.5 * (1 - x**2)
    width = math.sqrt(V)
    even = np.linspace(-_FAR, _FAR, _INNER_PANELS + 1)
    inside = np.clip((cuts - omega[:, None]) / width, -_FAR, _FAR)
    grid = np.sort(np.concatenate([np.tile(even, (len(omega), 1)), inside], axis=1), axis=1)
    half = np.diff(grid, axis=1)[:, :, None] / 2
    t = (grid[:, :-1, None] + half * (1 + x)).reshape(len(omega), -1)
    mass = (half * w).reshape(len(omega), -1) * np.exp(-(t**2) / 2)
    mass /= mass.sum(axis=1, keepdims=True)
    z = np.clip(omega[:, None] + width * t, -_REACH, _REACH)
    y = link(z.reshape(-1, 1)).reshape(z.shape)
    mean = (mass * y).sum(axis=1, keepdims=True)
    return np.asarray((mass * (y - mean) ** 2).sum(axis=1))
