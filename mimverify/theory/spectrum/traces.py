"""Deterministic equivalents of U H^k Uᵀ and tr H^k, and of polynomials in H (D1).

    U p(H) Uᵀ ≈ (1/2πi) ∮ p(ζ) M⁻¹ dζ,   tr p(H) ≈ (1/2πi) ∮ p(ζ) [(d − r) g + (log det M)'] dζ

with p(ζ) = (offset + ζ)^k. The bulk term (d − r) g has a contour of its own, around the bulk
alone: at d = 10⁸ rounding on the contour around far outliers would exceed the rest.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mimverify.support.arrays import Float64Array
from mimverify.theory.spectrum.resolvent import Contour, Resolvent


@dataclass(frozen=True)
class Traces:
    """Moments for each power k of a list; the true ones are these times exp(`log_scale`).

    - `signal`: U p(H) Uᵀ, `(P, r, r)`.
    - `bulk`: (d − r)/(2πi) ∮ p g dζ, `(P,)`; `total`: tr p(H), `(P,)`.
    - `log_scale`: `(P,)`, common to the three.
    """

    powers: tuple[int, ...]
    signal: Float64Array
    bulk: Float64Array
    total: Float64Array
    log_scale: Float64Array


def traces(
    resolvent: Resolvent, dim: float, powers: Sequence[int], *, offset: float = 0.0
) -> Traces:
    """The moments of (offset + H)^k for all k in `powers`, d = `dim`."""
    powers = tuple(powers)
    most = max(powers)
    # One contour for all powers: what is far enough from the spectrum for the highest is so
    # for the others.
    outer, outer_size = around(resolvent, resolvent.extremes, most, offset)
    inner, inner_size = around(resolvent, resolvent.edges, most, offset)

    relative = np.log((outer.zeta + offset).astype(complex) / outer_size)
    p = np.exp(np.outer(relative, powers))  # (N, P)
    integrand = (p * outer.slope[:, None])[:, :, None, None] * outer.inverse[:, None]
    signal = outer.integrate(integrand)
    log_det = np.einsum("nij,nji->n", outer.inverse, outer.matrix_slope)
    hidden = outer.integrate(p * log_det[:, None])

    relative = np.log((inner.zeta + offset).astype(complex) / inner_size)
    p = np.exp(np.outer(relative, powers))
    density = resolvent.alpha * inner.slope / inner.w
    shrink = (inner_size / outer_size) ** np.array(powers, dtype=np.float64)
    bulk = (dim - resolvent.rank) * inner.integrate(p * density[:, None]) * shrink
    return Traces(powers, signal, bulk, bulk + hidden, np.array(powers) * np.log(outer_size))


def around(
    resolvent: Resolvent, ends: tuple[float, float], power: int, offset: float = 0.0
) -> tuple[Contour, float]:
    """A contour at a distance from [ends] of 3/k of the largest |offset + ζ|, and that size.

    The factor e³ by which (offset + ζ)^k may then be larger on the contour than inside is
    all the cancellation there is; 16 k + 256 nodes on the whole circle converge to rounding.
    """
    low, high = ends
    size = max(abs(low + offset), abs(high + offset))
    margin = 3 * size / max(power, 1)
    return resolvent.contour(low - margin, high + margin, 8 * power + 128), size
