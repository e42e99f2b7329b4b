"""Tests of the hand-derived first-layer gradient, against three kinds of differentiation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import wofz

from mimverify.backends import base, get_backend
from mimverify.designs import StoredDesign
from mimverify.network import ACTIVATIONS, LOSSES, get_activation, get_loss
from mimverify.training import Objective, first_layer_gradient

Array = NDArray[Any]

# What the network is trained on beside the network itself: nothing; centring; and a linear part.
EXTRAS: dict[str, dict[str, Any]] = {
    "plain": {},
    "centred": {"constant": 0.3, "offset": 0.05},
    "linear": {"constant": -0.2, "offset": 0.02, "linear": np.array([0.5, -0.3, 0.0, 0.8])},
}


def network(n: int = 15, d: int = 4, m: int = 5) -> tuple[Array, Array, Array, Array, Array]:
    """W, a, b, X, y of a general network: biases, no symmetry, outputs as large as the labels."""
    rng = np.random.default_rng(7)
    W = rng.standard_normal((m, d)) * 0.6
    a, b = rng.standard_normal(m), 0.5 * rng.standard_normal(m)
    return W, a, b, rng.standard_normal((n, d)), 1.5 * rng.standard_normal(n)


def gradient(
    arrays: tuple[Array, ...], library: str, dtype: str, *,
    activation: str, loss: str, constant: float = 0.0, offset: float = 0.0, linear: Any = None,
) -> Array:  # fmt: skip
    backend = get_backend(library, dtype)
    W, a, b, X, y = (backend.asarray(v) for v in arrays)
    theta = None if linear is None else backend.asarray(linear)
    objective = Objective(get_loss(loss), y, constant, offset, theta)
    result = first_layer_gradient(
        StoredDesign(X, backend), objective, W, a, b, get_activation(activation)
    )
    return np.asarray(backend.to_numpy(result))


def distance_to_kinks(arrays: tuple[Array, ...], activation: str, loss: str, **extra: Any) -> float:
    """How near a projection or residual comes to where σ' or l' is not smooth."""
    W, a, b, X, y = arrays
    P = X @ W.T + b
    output = get_activation(activation).value(P) @ a + extra.get("constant", 0.0)
    residual = output + X @ extra.get("linear", np.zeros(X.shape[1])) - y
    near = [1.0]
    if activation == "relu":
        near.append(float(np.abs(P).min()))
    if loss == "l1":
        near.append(float(np.abs(residual).min()))
    if loss == "huber":
        near.append(float(np.abs(np.abs(residual) - 1).min()))
    return min(near)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_against_automatic_differentiation(
    activation: str,
    loss: str,
    library: str,
    autograd_gradient: Callable[..., Array],
    gradient_rounding: Callable[..., Array],
) -> None:
    arrays = network()
    for extra in EXTRAS.values():
        options: dict[str, Any] = {"activation": activation, "loss": loss, **extra}
        assert distance_to_kinks(arrays, **options) > 1e-9
        expected = autograd_gradient(*arrays, **options)
        bound = gradient_rounding(*arrays, **options)
        assert np.abs(expected).max() > 1e9 * bound.max()  # else nothing would be seen
        error = np.abs(gradient(arrays, library, "float64", **options) - expected)
        assert (error <= bound).all(), float((error / bound).max())


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_in_float32(
    activation: str,
    loss: str,
    library: str,
    autograd_gradient: Callable[..., Array],
    gradient_rounding: Callable[..., Array],
) -> None:
    """From numbers that float32 holds exactly, so that rounding is all there is."""
    arrays = tuple(v.astype(np.float32).astype(np.float64) for v in network())
    options: dict[str, Any] = {
        "activation": activation, "loss": loss, "constant": 0.25, "offset": 0.125,
        "linear": np.array([0.5, -0.25, 0.0, 0.75]),
    }  # fmt: skip
    assert distance_to_kinks(arrays, **options) > 1e-5
    result = gradient(arrays, library, "float32", **options)
    assert result.dtype == np.float32
    error = np.abs(result - autograd_gradient(*arrays, **options))
    bound = gradient_rounding(*arrays, **options, dtype="float32")
    assert (error <= bound).all(), float((error / bound).max())


# --- complex step ---------------------------------------------------------------------


def complex_cdf(z: Array) -> Array:
    """Φ of complex z: erfc(t) = e^(−t²) w(i t), on the side where it does not overflow."""
    t = z / np.sqrt(2)
    sign = np.where(t.real > 0, -1, 1)
    tail = np.exp(-t * t) * wofz(-1j * sign * t) / 2
    return np.where(sign > 0, tail, 1 - tail)


#: σ where it is analytic, in formulas that NumPy takes complex arguments for.
ANALYTIC: dict[str, Callable[[Array], Array]] = {
    "log-cosh": lambda z: np.log(np.cosh(z)),
    "quadratic": lambda z: z * z / 2,
    "pseudo-huber": lambda z: np.sqrt(1 + z * z) - 1,
    "softplus": lambda z: np.log(1 + np.exp(z)),
    "gelu": lambda z: z * complex_cdf(z),
    "tanh": np.tanh,
    "softplus-centred": lambda z: np.log(np.cosh(z / 2)),
    "gelu-centred": lambda z: z * (complex_cdf(z) - 0.5),
    "exp-centred": lambda z: np.exp(z) - 1 - z,
}
ANALYTIC_LOSSES: dict[str, Callable[[Array], Array]] = {
    "squared": lambda u: u * u / 2,
    "pseudo-huber": lambda u: np.sqrt(1 + u * u) - 1,
    "log-cosh": lambda u: np.log(np.cosh(u)),
}


@pytest.mark.parametrize("loss", ANALYTIC_LOSSES)
@pytest.mark.parametrize("activation", ANALYTIC)
def test_against_complex_step(
    activation: str, loss: str, library: str, gradient_rounding: Callable[..., Array]
) -> None:
    """Im L(W + i h e)/h at h = 1e-30: the derivative without truncation or cancellation."""
    arrays = network()
    W, a, b, X, y = arrays
    extra = EXTRAS["linear"]
    h, expected = 1e-30, np.empty_like(W)
    for index in np.ndindex(*W.shape):
        moved = W.astype(complex)
        moved[index] += 1j * h
        output = ANALYTIC[activation](X @ moved.T + b) @ a + extra["constant"]
        output = output + X @ extra["linear"]
        value = ANALYTIC_LOSSES[loss](output - y) - extra["offset"] * output
        expected[index] = value.mean().imag / h
    options: dict[str, Any] = {"activation": activation, "loss": loss, **extra}
    error = np.abs(gradient(arrays, library, "float64", **options) - expected)
    bound = gradient_rounding(*arrays, **options)
    assert (error <= bound).all(), float((error / bound).max())


# --- finite differences ---------------------------------------------------------------

NOT_ANALYTIC = [
    (activation, loss)
    for activation in ACTIVATIONS
    for loss in LOSSES
    if activation not in ANALYTIC or loss not in ANALYTIC_LOSSES
]


@pytest.mark.parametrize(("activation", "loss"), NOT_ANALYTIC)
def test_against_finite_differences(
    activation: str,
    loss: str,
    textbook_objective: Callable[..., Any],
    gradient_rounding: Callable[..., Array],
) -> None:
    """Central differences D(h), where no kink lies within reach.

    Truncation: D(2h) − D(h) is three times that of D(h). Rounding: two values of L, each wrong by
    k u Σ|terms| with the constants of `gradient_rounding`, over 2 h.
    """
    import torch

    arrays = network()
    W, a, b, X, y = arrays
    options: dict[str, Any] = {"activation": activation, "loss": loss, **EXTRAS["centred"]}
    h = 1e-6
    # Weights move by 2h: projections by 2h |x|, outputs by at most |a σ'| times that (σ' ≤ 30).
    assert distance_to_kinks(arrays, **options) > 2 * h * np.abs(X).max() * 30 * np.abs(a).max()

    def difference(index: tuple[int, ...], step: float) -> float:
        sides = []
        for sign in (1, -1):
            moved = torch.tensor(W)
            moved[index] += sign * step
            sides.append(float(textbook_objective(moved, a, b, X, y, **options)))
        return (sides[0] - sides[1]) / (2 * step)

    result = gradient(arrays, "numpy", "float64", **options)
    sigma = get_activation(activation)
    value = np.maximum(1, np.abs(sigma.value(X @ W.T + b))) @ np.abs(a) + np.abs(y) + 1
    operations = sum(X.shape) + len(a) + 20
    rounding = operations * 2.0**-53 * float(np.mean(value**2)) / h  # l ≤ u²/2 or |u|: terms ≤ u²
    for index in np.ndindex(*W.shape):
        near, far = difference(index, h), difference(index, 2 * h)
        assert abs(result[index] - near) <= abs(far - near) + 2 * rounding


# --- the pass -------------------------------------------------------------------------


def test_blocks_do_not_matter(
    library: str, monkeypatch: pytest.MonkeyPatch, gradient_rounding: Callable[..., Array]
) -> None:
    """Uneven blocks change the order of summation and nothing else."""
    arrays = network(n=23)
    options: dict[str, Any] = {"activation": "gelu", "loss": "huber", **EXTRAS["linear"]}
    whole = gradient(arrays, library, "float64", **options)
    monkeypatch.setattr(base, "_CACHE_BYTES", 1)
    monkeypatch.setattr(base, "_BLOCK_BYTES", 1)
    monkeypatch.setattr(base, "_MIN_ROWS", 5)
    parts = gradient(arrays, library, "float64", **options)
    assert (np.abs(parts - whole) <= gradient_rounding(*arrays, **options)).all()
