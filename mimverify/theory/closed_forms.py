"""The closed-form laws of theory.md §4 (D2–D5, D7, D9) and §6 (N1).

Each holds in a limit of its own, stated in its docstring; D1 (`predict_trajectory`) in any.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mimverify.support.arrays import ArrayLike, Float64Array
from mimverify.support.errors import InputError
from mimverify.support.validation import array, number

if TYPE_CHECKING:
    from jaxtyping import Float64


def log_catalan(t: ArrayLike) -> Float64Array:
    """log C_t, C_t = 1, 2, 5, 14, … for t = 1, 2, …, of any shape."""
    from scipy.special import gammaln

    t = np.asarray(t, dtype=np.float64)
    return np.asarray(gammaln(2 * t + 1) - gammaln(t + 2) - gammaln(t + 1))


def large_ratio_alignment(
    eigenvalues: ArrayLike, v: float, steps: ArrayLike, *, dim: int, samples: float
) -> Float64Array:
    """D2: A_T ≈ Σ λ_k^{2T}/(Σ λ_k^{2T} + d C_T (v d/n)^T), for n ≫ d.

    Needs T (d/n) u/λ² ≪ 1, and has no null term r/d. `steps`: T ≥ 1, any shape.
    """
    lam = array("eigenvalues", eigenvalues, (None,), dtype="float64")
    steps = np.asarray(steps, dtype=np.float64)
    with np.errstate(divide="ignore"):
        signal = np.logaddexp.reduce(2 * steps[..., None] * np.log(np.abs(lam)), axis=-1)
    noise = np.log(dim) + log_catalan(steps) + steps * np.log(v * dim / samples)
    return np.asarray(1 / (1 + np.exp(noise - signal)))


def corrected_alignment(
    eigenvalue: float, v: float, u: float, steps: ArrayLike, *, dim: int, samples: float
) -> Float64Array:
    """D2 for r = 1 with the outlier's own location and overlap, to first order in d/n.

    λ̂ = |λ| + (d/n) u/|λ|, A = (1 − (d/n) u/λ²) λ̂^{2T}/(λ̂^{2T} + d C_T (v d/n)^T).
    """
    if eigenvalue == 0:
        raise InputError("eigenvalue=0: the law needs a first-order signal")
    steps = np.asarray(steps, dtype=np.float64)
    ratio = dim / samples
    location = abs(eigenvalue) + ratio * u / abs(eigenvalue)
    noise = np.log(dim) + log_catalan(steps) + steps * np.log(v * ratio)
    aligned = 1 / (1 + np.exp(noise - 2 * steps * np.log(location)))
    return np.asarray((1 - ratio * u / eigenvalue**2) * aligned)


def closed_form_n_half(
    eigenvalues: ArrayLike, v: float, steps: ArrayLike, *, dim: float
) -> Float64Array:
    """D3: samples for A_T = 1/2, v d (d C_T/Σ λ_k^{2T})^{1/T} ∝ d^{1 + 1/T}; inf at Λ = 0."""
    lam = array("eigenvalues", eigenvalues, (None,), dtype="float64")
    steps = np.asarray(steps, dtype=np.float64)
    with np.errstate(divide="ignore", over="ignore"):
        signal = np.logaddexp.reduce(2 * steps[..., None] * np.log(np.abs(lam)), axis=-1)
        return np.asarray(v * dim * np.exp((np.log(dim) + log_catalan(steps) - signal) / steps))


def error_floor(
    eigenvalues: ArrayLike, u: ArrayLike, *, dim: int, samples: float
) -> Float64[Float64Array, " r"]:
    """D4: 1 − ‖U v̂_k‖² → (d/n) u_k/λ_k² for |λ_k| ≫ √(v d/n), `(r,)`; inf where λ_k = 0."""
    lam = array("eigenvalues", eigenvalues, (None,), dtype="float64")
    u = array("u", u, lam.shape, dtype="float64")
    with np.errstate(divide="ignore"):
        return np.asarray(dim / samples * u / lam**2)


def outlier_locations(
    eigenvalues: ArrayLike, u: ArrayLike, *, dim: int, samples: float
) -> Float64[Float64Array, " r"]:
    """D4: λ_k + (d/n) u_k/λ_k, to first order in d/n, `(r,)`."""
    lam = array("eigenvalues", eigenvalues, (None,), dtype="float64")
    return np.asarray(lam + dim / samples * array("u", u, lam.shape, dtype="float64") / lam)


def bulk_edges(v: float, third: float, *, dim: int, samples: float) -> tuple[float, float]:
    """D4: ±2 √(v d/n) + (d/n) E[T³]/v, to first order."""
    ratio = dim / samples
    shift = ratio * third / v
    width = 2 * float(np.sqrt(v * ratio))
    return shift - width, shift + width


def collapse_fraction(first: float, second: float, steps: ArrayLike) -> Float64Array:
    """D5: neurons nearer to direction 2 than to 1 after T steps, (2/π) arctan(|λ_2/λ_1|^T).

    Exact in population (n = ∞), r = 2.
    """
    number("first", first)
    if first == 0 or abs(second) > abs(first):
        raise InputError(f"first={first}, second={second}: expected |first| ≥ |second|, not zero")
    steps = np.asarray(steps, dtype=np.float64)
    return np.asarray(2 / np.pi * np.arctan(abs(second / first) ** steps))


def fresh_samples_alignment(
    eigenvalue: float, v: float, u: float, steps: int, *, dim: int, samples: float
) -> Float64[Float64Array, " steps_1"]:
    """D7: A_t, t = 0 … `steps`, of training on fresh samples at every step, r = 1.

    The odds s/b follow s' = λ² s + (u/n) b, b' = (d/n)(u s + v b).
    """
    s, b = 1.0, dim - 1.0
    result = [s / (s + b)]
    for _ in range(steps):
        s, b = (
            eigenvalue**2 * s + u / samples * b,
            dim / samples * (u * s + v * b),
        )
        total = s + b
        s, b = s / total, b / total
        result.append(s)
    return np.array(result)


def spurious_outlier(T: ArrayLike, v: float, alpha: float) -> Float64Array:
    """D9: where a label of transform T puts an outlier, T/α + v/T; NaN-free: 0 where none is.

    It is present iff |T| > √(v α).
    """
    T = np.asarray(T, dtype=np.float64)
    present = np.abs(T) > np.sqrt(v * alpha)
    safe = np.where(present, T, 1.0)
    return np.where(present, safe / alpha + v / safe, 0.0)


def plateau(u: float, v: float) -> float:
    """N1: squared overlap that survives at every large α where λ = 0, (u − 2v)/(2(u − v)).

    0 where u ≤ 2v: nothing is learned. The outliers are at ±u/√(α(u − v)).
    """
    return (u - 2 * v) / (2 * (u - v)) if u > 2 * v else 0.0
