"""The rounding envelope: how far rounding alone can move a correct step. [derived]

For a step from weights that are given exactly, every operation of

    P = X Wᵀ + b,  f = σ(P) a,  l' = ψ(f − y),  R = l' aᵀ ∘ σ'(P),  G = Xᵀ R / n,
    W' = W − η (G + β W)

is followed with its worst-case rounding error in unit roundoff u (Higham, *Accuracy and
Stability of Numerical Algorithms*, §3: a sum of k products in any order errs by at most
γ_k Σ|…|, γ_k = k u/(1 − k u)). Functions are allowed `FUNCTION_ULPS` units of error
relative to max(1, |value|): enough for naive formulas such as log(cosh z) near zero; ψ those
units relative to |ψ|, unless its common formulas cancel (`OracleLoss.cancels`). Where
ψ or σ' jump, a value within its own uncertainty of the jump may fall on either side.

Beyond that, any number below the smallest normal one, whether given or computed, may be taken
as zero: processors and compilers that flush subnormal numbers are common, and correct. Such a
loss is absolute, and grows only with the factors that follow it.

`step_envelope` is therefore a bound that *no* correct implementation can exceed in that
dtype, whatever its summation order, blocking, use of fused operations or of higher
precision: exact claims have no false alarms. Over several steps the difference D_t between
two exact-arithmetic neighbours grows by at most the step's Lipschitz constant:
R_{t+1} = κ_t R_t + ‖envelope_t‖_F (`lipschitz`, `accumulate`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import DTypeLike

from mimverify.support.arrays import Float64Array, FloatArray
from mimverify.trial.reference.oracle import (
    Option,
    OracleActivation,
    OracleLoss,
    functions_of,
)

if TYPE_CHECKING:
    from jaxtyping import Float, Float64

#: Units of roundoff allowed for an elementary function, relative to max(1, |value|).
FUNCTION_ULPS = 8


def unit_roundoff(dtype: DTypeLike) -> float:
    """u of a floating dtype: 2⁻²⁴ for float32, 2⁻⁵³ for float64."""
    return float(np.finfo(dtype).eps) / 2


def _gamma(k: int, u: float) -> float:
    return k * u / (1 - k * u)


def step_envelope(
    W: Float[FloatArray, "m d"],
    a: Float[FloatArray, " m"],
    b: Float[FloatArray, " m"],
    X: Float[FloatArray, "n d"],
    y: Float[FloatArray, " n"],
    *,
    eta: float,
    beta: float,
    activation: str | OracleActivation,
    loss: str | OracleLoss,
    dtype: DTypeLike,
    reach: float = 0.0,
) -> Float64[Float64Array, "m d"]:
    """Entrywise bound `(m, d)` on |computed W' − exact W'| for one step in `dtype`.

    **Arguments**

    - `reach`: the weights may also differ from W by this much in Frobenius norm; used
      only at jumps of ψ and σ', the smooth part of the difference being `lipschitz`'s.
    """
    W, a, b, X, y = (np.asarray(v, dtype=np.float64) for v in (W, a, b, X, y))
    sigma, psi = functions_of(activation, loss)
    (n, d), m, u = X.shape, len(a), unit_roundoff(dtype)
    X_abs, a_abs = np.abs(X), np.abs(a)
    x_max, a_max, w_max = float(X_abs.max()), float(a_abs.max()), float(np.abs(W).max())
    tiny = float(np.finfo(dtype).tiny)

    P = X @ W.T + b
    P_err = _gamma(d + 3, u) * (X_abs @ np.abs(W).T + np.abs(b))
    P_err += tiny * d * (3 + x_max + w_max)  # products, sums, and inputs flushed
    span = reach * np.linalg.norm(X, axis=1, keepdims=True)
    value, first = sigma.value(P), sigma.first(P)
    ulps = FUNCTION_ULPS * u
    first_abs, value_abs = np.abs(first), np.abs(value)
    first_err = _variation(sigma.first, P, first, P_err + span if sigma.kink else P_err)
    first_err += ulps * np.maximum(1, first_abs)
    value_err = _variation(sigma.value, P, value, P_err) + ulps * np.maximum(1, value_abs)

    f = value @ a
    f_err = value_err @ a_abs + _gamma(m + 1, u) * (value_abs @ a_abs)
    f_err += tiny * m * (4 + float(value_abs.max()))
    if psi.jump:
        f_err = f_err + span[:, 0] * np.linalg.norm(first * a, axis=1)
    residual = f - y
    slope = psi.derivative(residual)
    f_err += 2 * u * (np.abs(f) + np.abs(y))
    slope_err = _variation(psi.derivative, residual, slope, f_err)
    slope_abs = np.abs(slope)
    slope_err += ulps * (np.maximum(1, slope_abs) if psi.cancels else slope_abs)

    R_abs = slope_abs[:, None] * a_abs * first_abs
    R_err = a_abs * (slope_err[:, None] * (first_abs + first_err) + slope_abs[:, None] * first_err)
    R_err += 4 * u * R_abs
    G_abs = R_abs.T @ X_abs / n
    G_err = R_err.T @ X_abs / n + _gamma(n + 3, u) * G_abs
    # A product of l', a_j, σ' and x, in any order and with 1/n, η or ηβ taken in anywhere, loses at
    # most the smallest normal number at each factor and at each operation, times what the other
    # factors are, where each of these is at most 1 + |…|, and 1/(1/n) = n.
    factors = (1 + float(slope_abs.max())) * (1 + a_max) * (1 + float(first_abs.max()))
    lost = 4 * n * tiny * factors * (1 + x_max)
    return np.asarray(
        eta * G_err
        + 6 * u * ((1 + eta * beta) * np.abs(W) + eta * G_abs)
        + (1 + eta * (1 + beta)) * lost
    )


def _variation(
    function: Callable[[Float64Array], Float64Array],
    at: Float64Array,
    centre: Float64Array,
    radius: Float64Array,
) -> Float64Array:
    """Largest change of a locally monotone function from `centre` at `at`, within `radius`."""
    above, below = function(at + radius) - centre, function(at - radius) - centre
    return np.maximum(np.abs(above, out=above), np.abs(below, out=below), out=above)


def lipschitz(
    W: Float[FloatArray, "m d"],
    a: Float[FloatArray, " m"],
    b: Float[FloatArray, " m"],
    X: Float[FloatArray, "n d"],
    y: Float[FloatArray, " n"],
    *,
    eta: float,
    beta: float,
    activation: str | OracleActivation,
    loss: str | OracleLoss,
) -> float:
    """A Lipschitz constant κ (Frobenius norm) of the exact step near W, jumps left out.

    The derivative of the step is (1 − ηβ) minus η times a weighted second moment for each
    neuron and the feedback through f:
    κ = |1 − ηβ| + η max|a_j| sup|σ''| ‖Σ|l'_i| x_i x_iᵀ/n‖
        + η sup ψ' max_i Σ_j (a_j σ'_ij)² ‖XᵀX/n‖.
    """
    W, a, b, X, y = (np.asarray(v, dtype=np.float64) for v in (W, a, b, X, y))
    sigma, psi = functions_of(activation, loss)
    P = X @ W.T + b
    slope = np.abs(psi.derivative(sigma.value(P) @ a - y))
    curvature = sigma.curvature
    if not np.isfinite(curvature):  # e^z − 1 − z: σ'' = e^z on the range in use, with margin
        curvature = float(np.exp(min(np.abs(P).max() + 1.0, 700.0)))
    n = len(y)
    own = _largest((X.T * slope) @ X / n)
    feedback = float(((sigma.first(P) * a) ** 2).sum(axis=1).max())
    return float(
        abs(1 - eta * beta)
        + eta * np.abs(a).max() * curvature * own
        + eta * psi.curvature * feedback * _largest(X.T @ X / n)
    )


def _largest(moment: Float64Array) -> float:
    """Largest eigenvalue of a matrix that is symmetric and positive semi-definite."""
    return float(np.linalg.eigvalsh(moment)[-1])


def accumulate(
    weights: FloatArray | Sequence[FloatArray],
    a: Float[FloatArray, " m"],
    b: Float[FloatArray, " m"],
    X: Float[FloatArray, "n d"],
    y: Float[FloatArray, " n"],
    *,
    dtype: DTypeLike,
    **options: Option,
) -> Float64[Float64Array, " steps_1"]:
    """R_t `(T + 1,)`: how far a correct trajectory can be from `weights` `(T + 1, m, d)`.

    `weights` is the exact trajectory; distances are Frobenius norms, `options` those of
    `step_envelope`.
    """
    radius = [0.0]
    for W in np.asarray(weights, dtype=np.float64)[:-1]:
        local = step_envelope(W, a, b, X, y, dtype=dtype, reach=radius[-1], **options)
        kappa = lipschitz(W, a, b, X, y, **options)
        radius.append(kappa * radius[-1] + float(np.linalg.norm(local)))
    return np.array(radius)
