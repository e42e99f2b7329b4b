"""What finite d and n do to the *means* of the traces of H, to first order in 1/n.

The deterministic equivalents are the traces of a typical H; means over data sets differ by
the second order of what `fluctuations` has to first order. At fixed w both ζ and M are
linear in the law of the labels, so the curvature of each trace under resampling the labels
is one contour integral over covariances at equal w; refitting the constant to the same labels
also shifts the mean law. The inputs, given the labels, add the mean of M's fluctuation, its
curvature, and the bias ½ (log ζ')' of the bulk's own trace.
Derivation: docs/theory-engine.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mimverify.support.arrays import Float64Array
from mimverify.theory.labels.label_measure import pack_dual, pairs, unpack
from mimverify.theory.spectrum.fluctuations import LabelShift, filters, variance_contour
from mimverify.theory.spectrum.resolvent import Contour, Resolvent

if TYPE_CHECKING:
    from jaxtyping import Float64

Complex = NDArray[np.complex128]


def trace_bias(
    resolvent: Resolvent,
    dim: int,
    powers: Sequence[int],
    *,
    offset: float = 0.0,
    shift: LabelShift | None = None,
    labels: bool = True,
) -> Float64[Float64Array, "P 2"]:
    """Relative shifts `(P, 2)` of the means of (tr U p Uᵀ, tr p − tr U p Uᵀ).

    The resolvent's α should be n/(d − r): that is the ratio for the inputs outside the hidden
    subspace, and its difference from n/d is of the same order. Powers and `shift` are as in
    `trace_covariance`; without `labels` those are taken as given.
    """
    if shift is not None and not shift.smooth_at(resolvent.measure):
        shift = None
    contour = variance_contour(resolvent, max(powers), offset)
    p, p1, p2 = filters(contour.zeta, powers, offset)  # p, dp/dζ, d²p/dζ²
    terms = _InputTerms(contour)
    n = resolvent.alpha * (dim - resolvent.rank)
    slope = contour.slope[:, None]
    density = (dim - resolvent.rank) * resolvent.alpha / contour.w[:, None]
    signal = contour.integrate(p * slope * terms.trace_inverse[:, None])
    total = contour.integrate(p * (density * slope + terms.log_det[:, None]))

    # Inputs: M's mean moves by −δF and E[δF N δF] curves it.
    shape = slope * (terms.mean_signal + terms.curve_signal)[:, None]
    signal_shift = contour.integrate(p * shape) / n
    hidden = slope * (terms.mean_hidden + terms.curve_hidden / 2)[:, None]
    total_shift = contour.integrate(p1 * hidden) / n
    total_shift += contour.integrate(p * (terms.curvature / contour.slope)[:, None]) / 2

    if labels:
        label = _LabelTerms(contour, shift)
        signal_shift += contour.integrate(p * label.mean_signal[:, None]) / n
        total_shift += (
            contour.integrate(
                p * density * (label.mean / contour.w)[:, None] + p1 * label.mean_hidden[:, None]
            )
            / n
        )
        signal_shift += contour.integrate(
            p1 * label.aa_signal[:, None]
            - 2 * (p1 * slope * label.a_signal[:, None] + p * label.da_signal[:, None])
            + 2 * p * slope * label.bb_signal[:, None]
        ) / (2 * n)
        total_shift += contour.integrate(
            p1 * density * (label.aa / contour.w)[:, None]
            + p2 * (label.aa * terms.log_det)[:, None]
            - 2 * (p2 * slope * label.a_hidden[:, None] + p1 * label.da_hidden[:, None])
            + p1 * slope * label.bb_hidden[:, None]
        ) / (2 * n)
    rest = total - signal
    return np.stack([signal_shift / signal, (total_shift - signal_shift) / rest], axis=1)


class _InputTerms:
    """What the inputs do given the labels, contracted with powers of N = M⁻¹; each `(N,)`."""

    def __init__(self, contour: Contour) -> None:
        measure, w = contour.resolvent.measure, contour.w
        r, T = measure.rank, measure.T
        N = contour.inverse
        N2 = N @ N
        M1 = contour.matrix_slope
        slope = contour.slope
        self.trace_inverse = np.trace(N, axis1=1, axis2=2)
        self.log_det = np.einsum("nij,nji->n", N, M1)
        gap = 1 / (w[:, None] - T)
        tau = w[:, None] * T * gap
        self.curvature = 2 * (T**2 * gap**3) @ measure.mass  # ζ''

        S = _matrix((tau**2) @ measure.features, r)
        third = _matrix((tau**3) @ measure.features, r)
        spread = 1 / (w**2 * slope)  # −g'/α
        bias = self.curvature / 2 / slope**2  # E tr G − (d − r) g
        mean = bias[:, None, None] * S + spread[:, None, None] * third
        self.mean_signal = np.einsum("nij,nji->n", N2, mean)
        self.mean_hidden = np.einsum("nij,nji->n", N, mean)
        NS, N2S = N @ S, N2 @ S
        trace_ns, trace_n2s = (np.trace(matrix, axis1=1, axis2=2) for matrix in (NS, N2S))
        self.curve_signal = spread * (np.einsum("nij,nji->n", N2S, NS) + trace_n2s * trace_ns)
        self.curve_hidden = spread * (np.einsum("nij,nji->n", NS, NS) + trace_ns**2)


class _LabelTerms:
    """Covariances over labels at equal w, contracted with powers of N = M⁻¹; each `(N,)`.

    One label moves ζ and M by a = y_0 and B = y_0 I − Z(y), y = τ φ + T C the mean-free part,
    φ = (1, z_i z_j) and C the reaction of the fitted constant. To second order this reaction
    has a mean of its own.
    """

    def __init__(self, contour: Contour, shift: LabelShift | None) -> None:
        measure, w = contour.resolvent.measure, contour.w
        T, r = measure.T, measure.rank
        N = contour.inverse
        N2 = N @ N
        gap = 1 / (w[:, None] - T)
        tau = w[:, None] * T * gap
        tau1 = -(T**2) * gap**2  # dτ/dw
        gram = measure.gram.reshape(len(T), -1)
        size = measure.features.shape[1]
        C, C1 = _reaction(contour, shift)
        first = tau @ measure.features
        first1 = tau1 @ measure.features
        with_T, with_T1 = (tau * T) @ measure.features, (tau1 * T) @ measure.features
        v = measure.moment(2)

        def outer(a: Complex, b: Complex) -> Complex:
            return np.asarray(a[:, :, None] * b[:, None, :])

        Q = ((tau**2) @ gram).reshape(-1, size, size)
        Q = Q + outer(C, with_T) + outer(with_T, C) + v * outer(C, C) - outer(first, first)
        # E[y' yᵀ]
        X = ((tau * tau1) @ gram).reshape(-1, size, size)
        X = X + outer(C1, with_T) + outer(with_T1, C) + v * outer(C1, C) - outer(first1, first)

        self.aa = Q[:, 0, 0]
        self.aa_signal = self.aa * np.einsum("nij,nji->n", N2, contour.matrix_slope)
        linear_signal, linear_hidden = _linear(N2), _linear(N)
        # First-order response to a mean shift of (a, B): a tr(N² M') − ζ' tr(N² B), and with N.
        moved = _second_reaction(contour, shift)
        self.mean = moved[:, 0]
        M1, slope = contour.matrix_slope, contour.slope
        self.mean_signal = self.mean * np.einsum("nij,nji->n", N2, M1)
        self.mean_signal -= slope * np.einsum("nk,nk->n", moved, linear_signal)
        self.mean_hidden = self.mean * np.einsum("nij,nji->n", N, M1)
        self.mean_hidden -= slope * np.einsum("nk,nk->n", moved, linear_hidden)
        self.a_signal = np.einsum("nk,nk->n", Q[:, 0], linear_signal)
        self.da_signal = np.einsum("nk,nk->n", X[:, 0], linear_signal)
        self.a_hidden = np.einsum("nk,nk->n", Q[:, 0], linear_hidden)
        self.da_hidden = np.einsum("nk,nk->n", X[:, 0], linear_hidden)
        basis = _basis(r)
        left_signal = np.einsum("nij,kjl->nkil", N2, basis)
        left_hidden = np.einsum("nij,kjl->nkil", N, basis)
        # tr(N² B N B) and tr(N B N B), B = Σ y_k B_k.
        self.bb_signal = np.einsum("nkl,nkij,nlji->n", Q, left_signal, left_hidden, optimize=True)
        self.bb_hidden = np.einsum("nkl,nkij,nlji->n", Q, left_hidden, left_hidden, optimize=True)


def _matrix(features: Complex, rank: int) -> Complex:
    return np.asarray(unpack(features[:, 1:], rank))


def _linear(N: Complex) -> Complex:
    """ℓ with tr(N B) = ℓ · y for B = y_0 I − Z(y)."""
    return np.concatenate([np.trace(N, axis1=1, axis2=2)[:, None], -pack_dual(N)], axis=1)


def _basis(rank: int) -> Float64Array:
    """B_k with B = Σ_k y_k B_k: I, and minus each symmetric unit matrix."""
    i, j = pairs(rank)
    basis = np.zeros((1 + len(i), rank, rank))
    basis[0] = np.eye(rank)
    basis[np.arange(1, 1 + len(i)), i, j] = -1
    basis[np.arange(1, 1 + len(i)), j, i] = -1
    return basis


def _reaction(contour: Contour, shift: LabelShift | None) -> tuple[Complex, Complex]:
    """C(w) and C'(w) `(N, 1 + s)`: E[τ φ] moves by C · mean T when the constant is refitted."""
    w, measure = contour.w[:, None], contour.resolvent.measure
    if shift is None:  # T − mean T: minus the derivatives in T
        T = measure.T
        value = -((w / (w - T)) ** 2) @ measure.features
        slope = (2 * w * T / (w - T) ** 3) @ measure.features
        return value, slope

    def moments(at: LabelShift, above: bool) -> tuple[Complex, Complex]:
        side = at.above if above else at.below
        gap = 1 / (w - side.T)
        return (w * side.T * gap) @ side.features, (-(side.T**2) * gap**2) @ side.features

    (high, high1), (low, low1) = moments(shift, True), moments(shift, False)
    slope_of_mean = shift.above.moment(1) - shift.below.moment(1)
    return (high - low) / -slope_of_mean, (high1 - low1) / -slope_of_mean


def _second_reaction(contour: Contour, shift: LabelShift | None) -> Complex:
    """n times the mean shift `(N, 1 + s)` of E[τ φ] when the constant is refitted:

    E[∂_c(mean τ φ) δc] + ½ ∂_c² E[τ φ] E δc² + ∂_c E[τ φ] E δc, with E δc to second order.
    """
    w, measure = contour.w[:, None], contour.resolvent.measure
    v = measure.moment(2)
    if shift is None:  # ∂_c T = −1
        gap = w / (w - measure.T)
        return np.asarray((gap**2 * (v * gap / w - measure.T)) @ measure.features)
    below, above, step = shift.below, shift.above, shift.step

    def tau(T: Float64Array) -> Complex:
        return np.asarray(w * T / (w - T))

    def primitive(T: Float64Array) -> Complex:  # of T ∂τ/∂T
        return np.asarray(w**2 * (T / (w - T) + np.log1p(-T / w)))

    # Labels that c passes jump (l1): no value in between counts, T ∂τ/∂T is 0 on average, and
    # the mean of the quadrature's T, subtracted in `measure`, would dominate second differences.
    jumps = np.array_equal(below.T, above.T) and len(measure.T) == len(above.T)
    T = above.T if jumps else measure.T
    high, low = tau(above.T) @ above.features, tau(below.T) @ below.features
    first = (high - low) / (2 * step)
    second = (high + low - 2 * tau(T) @ measure.features) / step**2
    curvature = (below.moment(1) - above.moment(1)) / (2 * step)  # E l''
    bend = (above.moment(1) + below.moment(1) - 2 * float(T @ measure.mass)) / step**2
    spread = (above.moment(2) - below.moment(2)) / (2 * step)
    shifted = (v * (second + first * bend / curvature) + first * spread) / (2 * curvature**2)
    if not jumps:
        flow = primitive(above.T) @ above.features - primitive(below.T) @ below.features
        shifted = shifted + flow / (2 * step) / curvature
    return np.asarray(shifted)
