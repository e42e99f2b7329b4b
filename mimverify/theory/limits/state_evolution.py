"""State evolution of several features: fixed points of the overlap matrix, and their free entropy.

The map is q ↦ q̂ (I + q̂)⁻¹ with q̂ = α V^−½ R(q) V^−½, V = I − q. It is iterated as long as any
direction still grows: what matters is the change relative to q, in every direction, since an
iteration can rest on a saddle for long while one direction still grows by a constant factor.
Source: theory.md §9.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from mimverify.support.arrays import Float64Array
from mimverify.theory.limits.matrix_channel import MatrixChannel, square_root

#: Relative change that is left in each direction, at the end.
TOLERANCE = 5e-3
#: An eigenvalue of q below this is noise of the sums.
_FLOOR = 0.05
#: Below this much of the variance, an estimate that still contracts becomes exact.
_EXACT = 1e-4
_MOST_ITERATIONS = 400
#: Changes that fall more slowly than by this factor are taken to fall by it.
_SLOWEST = 0.98
_LEAP = 0.7
#: The sums' jitter does not add up, growth does: the net change over so many steps counts as well.
_WINDOW = 12
_ARRIVED = 1e-2
_PATH_NODES = 6


@dataclass(frozen=True)
class FixedPoint:
    """Where an iteration came to rest.

    - `q`: `(r, r)`; the identity where it contracts to it.
    - `label_error`: E Var(g(z) | ω) there.
    - `exact`: whether q = I.
    - `remaining`: estimate of how far in norm the rest of the iteration would lead.
    """

    q: Float64Array
    label_error: float
    exact: bool
    remaining: float

    @property
    def alignment(self) -> float:
        """tr q/r."""
        return float(np.trace(self.q)) / len(self.q)


def next_overlap(q: Float64Array, R: Float64Array, ratio: float) -> Float64Array:
    """q̂ (I + q̂)⁻¹, positive semidefinite whatever the noise of R."""
    root = square_root(np.asarray(np.linalg.inv(np.eye(len(q)) - q)))
    values, vectors = np.linalg.eigh(ratio * root @ R @ root)
    values = np.maximum(values, 0.0)
    return np.asarray((vectors * (values / (1 + values))) @ vectors.T)


def iterate(
    channel: MatrixChannel,
    ratio: float,
    start: Float64Array,
    *,
    most: int = _MOST_ITERATIONS,
    towards: Float64Array | None = None,
    on_step: Callable[[int, Float64Array], None] | None = None,
) -> FixedPoint:
    """The fixed point that the iteration from `start` leads to, or where it is after `most`.

    `towards` is a fixed point near which the iteration may end.
    """
    identity = np.eye(len(start))
    q, before, rate_before = start, math.inf, math.nan
    contracting = calm = steady = 0
    error, remaining = math.nan, math.inf
    past = [start]
    for step in range(most):
        R, error = channel.evaluate(q)
        following = next_overlap(q, R, ratio)
        if on_step is not None:
            on_step(step, following)
        change = _relative(q, following)
        measured = change / before if before > 0 else 0.0
        rate = min(measured, _SLOWEST)
        remaining = change * rate / (1 - rate)
        left, left_before = (float(np.linalg.eigvalsh(identity - x)[-1]) for x in (following, q))
        contracting = contracting + 1 if left < 0.97 * left_before else 0
        steady = steady + 1 if abs(measured - rate_before) < 0.03 and measured < _SLOWEST else 0
        moved = following - q
        q, before, rate_before = following, change, measured
        if left < _EXACT and contracting > 3:
            return FixedPoint(identity, 0.0, True, 0.0)
        past.append(q)
        if len(past) > _WINDOW:
            remaining = min(remaining, 2 * _relative(past[-1 - _WINDOW], q))
        calm = calm + 1 if remaining < TOLERANCE else 0
        if calm > 1 or (towards is not None and np.abs(q - towards).max() < _ARRIVED):
            break
        if steady > 2 and rate > 0.5 and left > 10 * _EXACT:
            # A geometric approach: most of its remaining way at once, never all of it.
            q = _within(q + _LEAP * rate / (1 - rate) * moved)
            before, steady, past = math.inf, 0, [q]
    return FixedPoint(q, error, False, remaining)


def _within(q: Float64Array) -> Float64Array:
    """The nearest matrix with 0 ⪯ q ≺ I."""
    values, vectors = np.linalg.eigh(q)
    return np.asarray((vectors * np.clip(values, 0.0, 1 - _EXACT)) @ vectors.T)


def _relative(q: Float64Array, following: Float64Array) -> float:
    """The largest change relative to q (or to 1 − q, where that is less) in any direction."""
    identity = np.eye(len(q))
    found = 0.0
    for scale in (q, identity - q):
        values, vectors = np.linalg.eigh(scale)
        root = vectors / np.sqrt(np.maximum(values, _FLOOR if scale is q else _EXACT / 10))
        found = max(found, float(np.abs(np.linalg.eigvalsh(root.T @ (following - q) @ root)).max()))
    return found


def entropy_gain(
    channel: MatrixChannel, ratio: float, low: Float64Array, high: Float64Array
) -> float:
    """φ(high) − φ(low), from the gradient ½ (α E[γ γᵀ] − q V⁻¹) along the straight way."""
    x, w = np.polynomial.legendre.leggauss(_PATH_NODES)
    way = high - low
    total = 0.0
    for s, weight in zip((1 + x) / 2, w / 2, strict=True):
        q = low + s * way
        R, _ = channel.evaluate(q)
        root = square_root(np.asarray(np.linalg.inv(np.eye(len(q)) - q)))
        total += weight * ratio * float(np.trace(root @ R @ root @ way)) / 2
    return total + (_prior(high) - _prior(low)) / 2


def _prior(q: Float64Array) -> float:
    """log det(I − q) + tr q."""
    return float(np.linalg.slogdet(np.eye(len(q)) - q)[1] + np.trace(q))
