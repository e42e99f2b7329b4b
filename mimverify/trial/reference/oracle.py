"""The independent float64 oracle of one gradient step.

This is the second, deliberately separate implementation of theory.md §2 and §3: textbook
formulas, no blocks, no backends, nothing imported from mimverify but names of types. A trial
compares a trainer with it; the tests compare it with automatic differentiation.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from mimverify.support.arrays import Float64Array, FloatArray

if TYPE_CHECKING:
    from jaxtyping import Float, Float64

#: A keyword argument that is handed through: η or β, or the name of an activation or a loss.
Option: TypeAlias = Any
Options: TypeAlias = dict[str, Option]


def _sigmoid(z: Float64Array) -> Float64Array:
    from scipy.special import expit  # takes long to import

    return np.asarray(expit(z))


@dataclass(frozen=True)
class OracleActivation:
    """σ, σ' and sup|σ''| (`curvature`, the kink of ReLU left out)."""

    value: Callable[[Float64Array], Float64Array]
    first: Callable[[Float64Array], Float64Array]
    curvature: float
    kink: bool = False


@dataclass(frozen=True)
class OracleLoss:
    """ψ with l'(f, y) = ψ(f − y), non-decreasing, and sup ψ' (jumps left out).

    `cancels`: common formulas of ψ lose digits where it is small, as the difference of two
    exponentials does that automatic differentiation makes of log cosh.
    """

    derivative: Callable[[Float64Array], Float64Array]
    curvature: float
    jump: bool = False
    cancels: bool = False


def _phi(z: Float64Array) -> Float64Array:
    return np.asarray(np.exp(-z * z / 2) / np.sqrt(2 * np.pi))


def _cdf(z: Float64Array) -> Float64Array:
    from scipy.special import erf

    return np.asarray((1 + erf(z / np.sqrt(2))) / 2)


def _log_cosh(z: Float64Array) -> Float64Array:
    return np.asarray(np.logaddexp(z, -z) - np.log(2))


ORACLE_ACTIVATIONS: dict[str, OracleActivation] = {
    "log-cosh": OracleActivation(_log_cosh, np.tanh, 1.0),
    "quadratic": OracleActivation(lambda z: z * z / 2, lambda z: z, 1.0),
    "pseudo-huber": OracleActivation(lambda z: np.hypot(1, z) - 1, lambda z: z / np.hypot(1, z), 1),
    "relu": OracleActivation(
        lambda z: np.maximum(z, 0), lambda z: (z > 0).astype(float), 0.0, kink=True
    ),
    "softplus": OracleActivation(lambda z: np.logaddexp(0, z), _sigmoid, 0.25),
    "gelu": OracleActivation(lambda z: z * _cdf(z), lambda z: _cdf(z) + z * _phi(z), 0.8),
    "tanh": OracleActivation(np.tanh, lambda z: 1 - np.tanh(z) ** 2, 0.77),
    "softplus-centred": OracleActivation(
        lambda z: np.logaddexp(0, z) - z / 2 - np.log(2), lambda z: _sigmoid(z) - 0.5, 0.25
    ),
    "gelu-centred": OracleActivation(
        lambda z: z * (_cdf(z) - 0.5), lambda z: _cdf(z) - 0.5 + z * _phi(z), 0.8
    ),
    "exp-centred": OracleActivation(lambda z: np.exp(z) - 1 - z, np.expm1, np.inf),
}

ORACLE_LOSSES: dict[str, OracleLoss] = {
    "squared": OracleLoss(lambda u: u, 1.0),
    "l1": OracleLoss(np.sign, 0.0, jump=True),
    "huber": OracleLoss(lambda u: np.minimum(np.maximum(u, -1), 1), 1.0),
    "pseudo-huber": OracleLoss(lambda u: u / np.hypot(1, u), 1.0),
    "log-cosh": OracleLoss(np.tanh, 1.0, cancels=True),
}


def functions_of(
    activation: str | OracleActivation, loss: str | OracleLoss
) -> tuple[OracleActivation, OracleLoss]:
    """σ and ψ, each given by its name here or by itself.

    **Raises** `KeyError` for a name that is not in `ORACLE_ACTIVATIONS` or `ORACLE_LOSSES`.
    """
    return (
        ORACLE_ACTIVATIONS[activation] if isinstance(activation, str) else activation,
        ORACLE_LOSSES[loss] if isinstance(loss, str) else loss,
    )


def exact_step(
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
) -> Float64[Float64Array, "m d"]:
    """W − η (∇_W L(W) + β W) in float64, shape `(m, d)`.

    L(W) = (1/n) Σ_i l(Σ_j a_j σ(w_j·x_i + b_j), y_i).

    **Raises** `KeyError` for a name that is not in `ORACLE_ACTIVATIONS` or `ORACLE_LOSSES`.
    """
    W, a, b, X, y = (np.asarray(v, dtype=np.float64) for v in (W, a, b, X, y))
    gradient = row_weights(W, a, b, X, y, activation=activation, loss=loss).T @ X / len(y)
    return np.asarray(W - eta * (gradient + beta * W))


def row_weights(
    W: Float64[Float64Array, "m d"],
    a: Float64[Float64Array, " m"],
    b: Float64[Float64Array, " m"],
    X: Float64[Float64Array, "n d"],
    y: Float64[Float64Array, " n"],
    *,
    activation: str | OracleActivation,
    loss: str | OracleLoss,
) -> Float64[Float64Array, "n m"]:
    """R `(n, m)`, R_ij = l'(f(x_i), y_i) a_j σ'(w_j·x_i + b_j): ∇_W L(W) = Rᵀ X/n."""
    sigma, psi = functions_of(activation, loss)
    P = X @ W.T + b
    slope = psi.derivative(sigma.value(P) @ a - y)
    return np.asarray(slope[:, None] * a * sigma.first(P))


def exact_trajectory(
    W: Float[FloatArray, "m d"],
    a: Float[FloatArray, " m"],
    b: Float[FloatArray, " m"],
    X: Float[FloatArray, "n d"],
    y: Float[FloatArray, " n"],
    *,
    steps: int,
    **options: Option,
) -> Float64[Float64Array, "steps_1 m d"]:
    """The weights `(steps + 1, m, d)` of `steps` exact steps from W; options of `exact_step`."""
    weights = [np.asarray(W, dtype=np.float64)]
    for _ in range(steps):
        weights.append(exact_step(weights[-1], a, b, X, y, **options))
    return np.array(weights)


def label_covariance(
    X: Float[FloatArray, "n d"], y: Float[FloatArray, " n"], *, loss: str
) -> Float64[Float64Array, "d d"]:
    """H = (1/n) Σ_i T_i x_i x_iᵀ, shape `(d, d)`, with T_i = −l'(0, y_i)."""
    X = np.asarray(X, dtype=np.float64)
    T = -ORACLE_LOSSES[loss].derivative(-np.asarray(y, dtype=np.float64))
    return np.asarray((X.T * T) @ X / len(y))
