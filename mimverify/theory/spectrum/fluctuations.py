"""How the traces of H vary from one data set to the next: the finite-size correction of D1.

D1 gives the ratio of means over data sets. One data set has its own H, and the mean of its
ratio is lower. To first order the traces react linearly to two independent sources of
fluctuation, both of relative size 1/√n:

- the labels (z_i, T_i), through the influence function of each trace (fitting the constant
  to the same labels included);
- the inputs outside the hidden subspace, given the labels: M fluctuates by a quadratic form
  in z_i τ_i with Cov = (2/(n α)) tr(N S N' S) γ, S = E[τ τ' zzᵀ], γ = −(g − g')/(ζ − ζ');
  and the bulk's own trace by the central limit theorem of linear statistics (Bai–Silverstein),
  2 ∮∮ ζ^k ζ'^k [dw dw'/(w − w')² − dζ dζ'/(ζ − ζ')²]/(2πi)², whatever d.

Derivation: docs/theory-engine.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mimverify.support.arrays import Float64Array
from mimverify.theory.labels.label_measure import LabelMeasure, pack_dual
from mimverify.theory.spectrum.resolvent import Contour, Resolvent

if TYPE_CHECKING:
    from jaxtyping import Float64

Complex = NDArray[np.complex128]


@dataclass(frozen=True)
class LabelShift:
    """How the law of (T, z) moves with the fitted constant c.

    The measures at c − `step` and c + `step`, and E T' there: the fitted constant of n labels
    is off by (mean T)/(−dE T/dc).
    """

    below: LabelMeasure
    above: LabelMeasure
    step: float

    def smooth_at(self, measure: LabelMeasure) -> bool:
        """Whether the law moves smoothly with c around `measure`. At an atom of the labels, or
        in a flat stretch of E T, it does not: T is then centred by its mean, or nearly so."""
        uneven = abs(self.above.moment(1) + self.below.moment(1))
        v = measure.moment(2)
        curved = abs(self.above.moment(2) + self.below.moment(2) - 2 * v)
        change = abs(self.above.moment(1) - self.below.moment(1))
        return bool(uneven < change / 2 and curved < v / 2)


def trace_covariance(
    resolvent: Resolvent,
    dim: int,
    powers: Sequence[int],
    *,
    offset: float = 0.0,
    shift: LabelShift | None = None,
    labels: bool = True,
) -> Float64[Float64Array, "P 2 2"]:
    """Covariance `(P, 2, 2)` of the relative fluctuations of (tr U p Uᵀ, tr p − tr U p Uᵀ).

    **Arguments**

    - `powers`: even k; p = (H + offset)^k + (H − offset)^k.
    - `shift`: how the law reacts to its constant; without it T is taken to be centred by
      subtracting its mean.
    - `labels`: False where the labels are given and do not vary.
    """
    if shift is not None and not shift.smooth_at(resolvent.measure):
        shift = None
    contour = variance_contour(resolvent, max(powers), offset)
    power, power_slope, _ = filters(contour.zeta, powers, offset)
    inverse, slope = contour.inverse, contour.slope
    log_det = np.einsum("nij,nji->n", inverse, contour.matrix_slope)
    density = resolvent.alpha * slope / contour.w
    signal = np.trace(
        contour.integrate((power * slope[:, None])[:, :, None, None] * inverse[:, None]),
        axis1=1,
        axis2=2,
    )
    total = contour.integrate(power * ((dim - resolvent.rank) * density + log_det)[:, None])
    rest = total - signal

    # N(w) of each functional, without its ζ^k: tr(N δF) is how it reacts to M.
    squared = inverse @ inverse
    weights_signal = power * slope[:, None]
    weights_hidden = power_slope * slope[:, None]

    n = resolvent.alpha * dim
    inputs = _input_part(
        resolvent, contour, (squared, inverse), (weights_signal, weights_hidden)
    ) * (2 / (n * resolvent.alpha))
    covariance = inputs  # of (signal, total)
    if labels:
        covariance = (
            covariance
            + _label_part(
                resolvent,
                contour,
                dim,
                power,
                (squared, inverse),
                (weights_signal, weights_hidden),
                shift,
            )
            / n
        )
    covariance[:, 1, 1] += _bulk_part(contour, power)
    # To relative fluctuations of (signal, rest): rest = total − signal.
    to_rest = np.array([[1.0, 0.0], [-1.0, 1.0]])
    absolute = np.einsum("ai,pij,bj->pab", to_rest, covariance, to_rest)
    means = np.stack([signal, rest], axis=1)
    return np.asarray(absolute / (means[:, :, None] * means[:, None, :]))


def filters(
    zeta: Complex, powers: Sequence[int], offset: float
) -> tuple[Complex, Complex, Complex]:
    """p = (ζ + offset)^k + (ζ − offset)^k, dp/dζ and d²p/dζ² at each ζ, `(N, P)`, up to a common
    factor for each power."""
    k = np.array(powers, dtype=np.float64)
    value, slope, second = np.zeros((3, len(zeta), len(k)), dtype=complex)
    size = float(np.max(np.abs(zeta))) + abs(offset)
    for sign in (1, -1):
        base = zeta + sign * offset
        power = np.exp(np.outer(np.log(base / size), k))
        value += power
        slope += power * k / base[:, None]
        second += power * k * (k - 1) / base[:, None] ** 2
    return value, slope, second


def variance_contour(resolvent: Resolvent, power: int, offset: float) -> Contour:
    """As `traces.around`, with fewer nodes: a variance needs three digits, not twelve."""
    low, high = resolvent.extremes
    margin = 3 * (max(abs(low), abs(high)) + abs(offset)) / power
    return resolvent.contour(low - margin, high + margin, 3 * power + 48)


def _label_part(
    resolvent: Resolvent,
    contour: Contour,
    dim: int,
    power: Complex,
    matrices: tuple[Complex, Complex],
    weights: tuple[Complex, Complex],
    shift: LabelShift | None,
) -> Float64Array:
    """n times the covariance `(P, 2, 2)` of (signal, total) from the labels alone."""
    w, slope = contour.w, contour.slope
    # E[T² zzᵀ/(w − T)²], by which a change of g feeds back.
    feedback = contour.matrix_slope - slope[:, None, None] * np.eye(resolvent.rank)
    coefficients = []
    for functional, (matrix, weight) in enumerate(zip(matrices, weights, strict=True)):
        scalar = np.einsum("nij,nji->n", matrix, feedback) / slope
        constant = weight * scalar[:, None]
        if functional == 1:  # tr H^k also has its bulk term
            constant = constant + power * ((dim - resolvent.rank) * resolvent.alpha / w**2)[:, None]
        quadratic = weight[:, :, None] * pack_dual(matrix)[:, None, :]
        coefficients.append(np.concatenate([constant[:, :, None], quadratic], axis=2))
    stacked = np.stack(coefficients, axis=2)  # (N, P, 2, 1 + s)

    def influence(T: Float64Array) -> Float64Array:
        """Coefficients `(P, 2, K, 1 + s)` on φ = (1, z_i z_j) at each T."""
        tau = T * w[:, None] / (w[:, None] - T)
        weighted = contour.weight[:, None] * tau
        shape = stacked.shape[1:]
        flat = np.real(weighted.T @ stacked.reshape(len(w), -1)).reshape(len(T), *shape)
        return np.moveaxis(flat, 0, 2)

    measure = resolvent.measure
    psi = influence(measure.T)
    if shift is None:
        step = 1e-4 * (measure.high - measure.low)
        up, down = influence(measure.T + step), influence(measure.T - step)
        masses = measure.features
        reaction = -np.einsum("pfks,ks->pf", up - down, masses) / (2 * step)
    else:
        above = np.einsum("pfks,ks->pf", influence(shift.above.T), shift.above.features)
        below = np.einsum("pfks,ks->pf", influence(shift.below.T), shift.below.features)
        slope_of_mean = (shift.above.moment(1) - shift.below.moment(1)) / (2 * shift.step)
        reaction = (above - below) / (2 * shift.step) / -slope_of_mean
    # T itself is T·1 on φ's first entry.
    psi[..., 0] += reaction[:, :, None] * measure.T
    mean = np.einsum("pfks,ks->pf", psi, measure.features)
    second = np.einsum("pfks,kst,pgkt->pfg", psi, measure.gram, psi, optimize=True)
    return np.asarray(second - mean[:, :, None] * mean[:, None, :])


def _input_part(
    resolvent: Resolvent,
    contour: Contour,
    matrices: tuple[Complex, Complex],
    weights: tuple[Complex, Complex],
) -> Float64Array:
    """∬ tr(N S N' S) γ over both contours, `(P, 2, 2)` for (signal, total)."""
    # The whole circle for one variable, its upper half for the other (real part, twice: the
    # weights of `Contour` already count both halves).
    w, zeta = contour.w, contour.zeta
    T, second = resolvent.measure.T, resolvent.measure.second
    d_upper = T * w[:, None] / (w[:, None] - T)
    g = resolvent.alpha / w
    g_slope = -resolvent.alpha / w**2 / contour.slope
    result = np.zeros((weights[0].shape[1], 2, 2))
    for mirrored in (False, True):
        other = np.conj if mirrored else np.asarray
        d_other = other(d_upper)
        r = resolvent.rank
        S = np.empty((len(w), len(w), r, r), dtype=complex)
        for i in range(r):
            for j in range(i, r):
                S[:, :, i, j] = S[:, :, j, i] = (d_upper * second[:, i, j]) @ d_other.T
        difference = zeta[:, None] - other(zeta)[None, :]
        if mirrored:
            gamma = -(g[:, None] - other(g)[None, :]) / difference
        else:
            np.fill_diagonal(difference, 1.0)
            gamma = -(g[:, None] - g[None, :]) / difference
            np.fill_diagonal(gamma, -g_slope)
        for f in range(2):
            left = np.einsum("aij,abjk->abik", matrices[f], S)
            for h in range(f, 2):
                right = np.einsum("bij,abjk->abik", other(matrices[h]), S)
                kernel = np.einsum("abij,abji->ab", left, right) * gamma
                a = contour.weight[:, None] * weights[f]
                b = other(contour.weight[:, None] * weights[h])
                # ∮∮ over (upper, upper) and (upper, lower); the other two are conjugates.
                term = np.real(np.einsum("ap,ab,bp->p", a, kernel, b, optimize=True)) / 2
                result[:, f, h] += term
                if h != f:
                    result[:, h, f] += term
    return result


def _bulk_part(contour: Contour, power: Complex) -> Float64Array:
    """The variance `(P,)` of the bulk's trace given the labels, of order one for every d."""
    w, zeta, slope = contour.w, contour.zeta, contour.slope
    a = contour.weight[:, None] * power
    result = np.zeros(power.shape[1])
    for mirrored in (False, True):
        other = np.conj if mirrored else np.asarray
        apart = w[:, None] - other(w)[None, :]
        images = zeta[:, None] - other(zeta)[None, :]
        slopes = slope[:, None] * other(slope)[None, :]
        if not mirrored:
            np.fill_diagonal(apart, 1.0)
            np.fill_diagonal(images, 1.0)
        kernel = 1 / apart**2 - slopes / images**2
        if not mirrored:  # smooth across the diagonal, where it is 0/0
            inner = np.arange(1, len(w) - 1)
            kernel[inner, inner] = (kernel[inner, inner - 1] + kernel[inner, inner + 1]) / 2
            kernel[0, 0], kernel[-1, -1] = kernel[0, 1], kernel[-1, -2]
        result += np.real(np.einsum("ap,ab,bp->p", a, kernel, other(a), optimize=True)) / 2
    return 2 * result
