"""Tests of the trial's independent oracle and of the rounding envelope built on it."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from mimverify.network import ACTIVATIONS, LOSSES, get_activation, get_loss
from mimverify.support.arrays import Float64Array, FloatArray
from mimverify.training import LayerwiseTrainer, numpy_trainer, torch_trainer
from mimverify.trial import (
    accumulate,
    exact_step,
    exact_trajectory,
    label_covariance,
    lipschitz,
    step_envelope,
    unit_roundoff,
)
from mimverify.trial.reference import oracle
from mimverify.trial.reference.envelope import FUNCTION_ULPS
from mimverify.trial.reference.oracle import ORACLE_ACTIVATIONS, ORACLE_LOSSES, Option, Options

Arrays = tuple[FloatArray, FloatArray, FloatArray, FloatArray, FloatArray]

SMOOTH = [
    (activation, loss)
    for activation in ACTIVATIONS
    for loss in LOSSES
    if ACTIVATIONS[activation].smooth and get_loss(loss).smooth
]
EVERY = [(activation, loss) for activation in ACTIVATIONS for loss in LOSSES]


def network(seed: int, n: int, d: int, m: int, dtype: str = "float64", norm: float = 1.0) -> Arrays:
    """W, a, b, X, y of a general network, as exact numbers of `dtype`."""
    rng = np.random.default_rng(seed)
    W = norm * rng.standard_normal((m, d)) / np.sqrt(d)
    arrays = (
        W,
        rng.standard_normal(m),
        0.5 * rng.standard_normal(m),
        rng.standard_normal((n, d)),
        rng.standard_normal(n),
    )
    W, a, b, X, y = (v.astype(dtype) for v in arrays)
    return W, a, b, X, y


#: Shapes on both sides of n = d, one neuron and many, tiny and large weights.
SHAPES = [
    {"n": 1, "d": 1, "m": 1, "norm": 1.0},
    {"n": 40, "d": 6, "m": 4, "norm": 0.01},
    {"n": 33, "d": 9, "m": 3, "norm": 3.0},
    {"n": 7, "d": 12, "m": 10, "norm": 0.5},
    {"n": 300, "d": 5, "m": 2, "norm": 1e-6},
]


def networks(dtype: str) -> Iterator[Arrays]:
    for seed, shape in enumerate(SHAPES):
        yield network(seed, dtype=dtype, **shape)  # type: ignore[arg-type]


# --- the oracle -----------------------------------------------------------------------


def test_the_oracle_is_independent() -> None:
    """It imports nothing from the code that it is compared with, only names of types."""
    tree = ast.parse(Path(oracle.__file__).read_text(encoding="utf-8"))
    modules = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    modules |= {a.name for n in ast.walk(tree) if isinstance(n, ast.Import) for a in n.names}
    ours = {name for name in modules if str(name).startswith("mimverify")}
    assert ours == {"mimverify.support.arrays"}


@pytest.mark.parametrize(("activation", "loss"), EVERY)
def test_exact_step_against_automatic_differentiation(
    activation: str,
    loss: str,
    autograd_gradient: Callable[..., Float64Array],
    gradient_rounding: Callable[..., Float64Array],
) -> None:
    eta, beta = 0.7, 0.3
    for arrays in networks("float64"):
        options: Options = {"activation": activation, "loss": loss}
        gradient = autograd_gradient(*arrays, **options)
        expected = arrays[0] - eta * (gradient + beta * arrays[0])
        step = exact_step(*arrays, eta=eta, beta=beta, **options)
        assert step.dtype == np.float64
        # Beside the gradient: four more roundings, of terms of the size of W and of the gradient.
        update = 8 * 2.0**-53 * (np.abs(arrays[0]) + np.abs(gradient))
        bound = eta * gradient_rounding(*arrays, **options) + update
        assert (np.abs(step - expected) <= bound).all()


def test_what_the_oracle_lacks() -> None:
    """Nothing today. What it lacks is tried by no exact claim, as every report of a trial says."""
    activations, losses = set(ACTIVATIONS), set(LOSSES)
    advice = "write its textbook formula in mimverify/trial/reference/oracle.py"
    assert activations - set(ORACLE_ACTIVATIONS) == set(), advice
    assert losses - set(ORACLE_LOSSES) == set(), advice
    assert set(ORACLE_ACTIVATIONS) <= activations
    assert set(ORACLE_LOSSES) <= losses


def test_functions_agree_with_the_network_s() -> None:
    """Both implementations are within FUNCTION_ULPS of max(1, |value|), as the envelope assumes."""
    z = np.concatenate([np.linspace(-12, 12, 4801), np.geomspace(1e-12, 1, 50), [0.0]])
    allowed = 2 * FUNCTION_ULPS * 2.0**-53
    for name, sigma in ORACLE_ACTIVATIONS.items():
        for ours, theirs in [
            (sigma.value, ACTIVATIONS[name].value),
            (sigma.first, ACTIVATIONS[name].first),
        ]:
            gap = np.abs(ours(z) - theirs(z)) / np.maximum(1, np.abs(theirs(z)))
            assert gap.max() <= allowed, name
    for name, psi in ORACLE_LOSSES.items():
        other = get_loss(name).derivative(z, 0 * z)
        assert (np.abs(psi.derivative(z) - other) <= allowed * np.maximum(1, np.abs(other))).all()


def test_declared_bounds_agree_with_the_network_s() -> None:
    for name, sigma in ORACLE_ACTIVATIONS.items():
        activation = get_activation(name)
        assert sigma.kink == (not activation.smooth)
        # Rounded up to two or three digits, never down.
        bound = activation.curvature_bound
        assert bound <= sigma.curvature <= 1.01 * bound or np.isinf(bound)
        assert np.isinf(sigma.curvature) == np.isinf(bound)
    for name, psi in ORACLE_LOSSES.items():
        assert psi.jump == (not get_loss(name).smooth)
        assert psi.curvature == get_loss(name).curvature_bound


def test_exact_trajectory_is_repeated_steps() -> None:
    W, a, b, X, y = network(0, 20, 4, 3)
    options: Options = {"eta": 0.5, "beta": 0.1, "activation": "gelu", "loss": "huber"}
    weights = exact_trajectory(W, a, b, X, y, steps=3, **options)
    assert weights.shape == (4, 3, 4)
    for t in range(3):
        np.testing.assert_array_equal(weights[t + 1], exact_step(weights[t], a, b, X, y, **options))
    np.testing.assert_array_equal(weights[0], W)


@pytest.mark.parametrize("loss", LOSSES)
def test_label_covariance(loss: str) -> None:
    _, _, _, X, y = network(1, 30, 4, 2)
    T = get_loss(loss).label_transform(y)
    expected = sum(T[i] * np.outer(X[i], X[i]) for i in range(30)) / 30
    # Sums of 30 products of three numbers, T known to 8 units: γ_40 Σ|T x x|/30, for both.
    bound = 2 * 40 * 2.0**-53 * (np.abs(X).T * np.abs(T)) @ np.abs(X) / 30
    assert (np.abs(label_covariance(X, y, loss=loss) - expected) <= bound).all()


# --- the envelope of one step ---------------------------------------------------------


def test_unit_roundoff() -> None:
    assert unit_roundoff("float32") == 2.0**-24
    assert unit_roundoff(np.float64) == 2.0**-53


def relative_to_envelope(step: FloatArray, arrays: Arrays, **options: Option) -> float:
    error = np.abs(step.astype(np.float64) - exact_step(*arrays, **options))
    return float((error / step_envelope(*arrays, dtype=step.dtype, **options)).max())


@pytest.mark.parametrize("make", [numpy_trainer, torch_trainer])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_correct_trainers_stay_within(
    make: Callable[[], LayerwiseTrainer], activation: str, dtype: str
) -> None:
    trainer = make()
    for loss in LOSSES:
        for arrays in networks(dtype):
            options: Options = {
                "eta": 0.9, "beta": 0.2, "activation": activation, "loss": loss,
            }  # fmt: skip
            step = trainer.step(*arrays, **options)
            assert step.dtype == np.dtype(dtype)
            assert relative_to_envelope(step, arrays, **options) <= 1


def test_the_most_naive_summation_stays_within() -> None:
    """Row after row in float32, equal terms whose roundings add up, is correct too."""
    n = 3000
    W, a, b = (np.ones(shape, np.float32) for shape in ((1, 1), 1, 1))
    X, y = np.full((n, 1), 0.1, np.float32), np.zeros(n, np.float32)
    options: Options = {"activation": "quadratic", "loss": "squared"}
    P = X[0] * W[0] + b
    term = (P * P / 2) * P * X[0]
    total = np.zeros(1, np.float32)
    for _ in range(n):
        total = total + term
    step = W - total / np.float32(n)
    assert step.dtype == np.float32
    ratio = relative_to_envelope(step, (W, a, b, X, y), eta=1.0, beta=0.0, **options)
    assert 0.1 < ratio <= 1  # and no other order comes as near


@pytest.mark.parametrize(("activation", "loss"), SMOOTH)
def test_a_biased_gradient_exceeds_it(activation: str, loss: str) -> None:
    """A gradient that is 1 % too large, in float64, in every network."""
    options: Options = {"beta": 0.2, "activation": activation, "loss": loss}
    for arrays in networks("float64"):
        biased = exact_step(*arrays, eta=0.9 * 1.01, **options)
        biased += 0.9 * 0.01 * 0.2 * arrays[0]  # the decay is left as it was
        assert relative_to_envelope(biased, arrays, eta=0.9, **options) > 1


@pytest.mark.parametrize("fault", ["no bias", "no decay", "no 1/n", "value for slope", "sign"])
def test_wrong_steps_exceed_it(fault: str, dtype: str) -> None:
    """Even in float32 the envelope is narrow against any of these."""
    arrays = W, a, b, X, y = network(3, 40, 6, 4, dtype)
    options: Options = {"eta": 0.5, "beta": 0.2, "activation": "log-cosh", "loss": "huber"}
    wrong = {
        "no bias": lambda: exact_step(W, a, 0 * b, X, y, **options),
        "no decay": lambda: exact_step(*arrays, **{**options, "beta": 0.0}),
        "no 1/n": lambda: exact_step(*arrays, **{**options, "eta": 0.5 * 40, "beta": 0.2 / 40}),
        "value for slope": lambda: exact_step(*arrays, **{**options, "activation": "quadratic"}),
        "sign": lambda: 2 * W * (1 - 0.5 * 0.2) - exact_step(*arrays, **options),
    }[fault]()
    assert relative_to_envelope(wrong.astype(dtype), arrays, **options) > 1


def float16_step(
    arrays: Arrays, *, eta: float, beta: float, activation: str, loss: str
) -> FloatArray:
    """A float32 step whose gradient is summed in float16, row by row."""
    W, a, b, X, y = arrays
    sigma = get_activation(activation)
    P = X @ W.T + b
    slope = get_loss(loss).derivative(sigma.value(P) @ a, y)
    terms = (slope[:, None] * sigma.first(P) * a)[:, :, None] * X[:, None, :]
    total = np.zeros_like(W, dtype=np.float16)
    for term in terms.astype(np.float16):
        total = total + term
    return np.asarray(W - eta * (total.astype(np.float32) / len(y) + beta * W))


@pytest.mark.parametrize(("activation", "loss"), SMOOTH)
def test_float16_accumulation_exceeds_the_float32_envelope(activation: str, loss: str) -> None:
    """Float16 rounds 2¹³ times more coarsely; the envelope's worst case of 40 + 6 + 4 operations
    costs less than that. One network would do; the worst entry of each must show it."""
    options: Options = {"eta": 1.0, "beta": 0.0, "activation": activation, "loss": loss}
    arrays = network(5, 40, 6, 4, "float32")
    assert relative_to_envelope(float16_step(arrays, **options), arrays, **options) > 1
    step = torch_trainer().step(*arrays, **options)
    assert relative_to_envelope(step, arrays, **options) <= 1


@pytest.mark.parametrize(("activation", "loss"), [("relu", "squared"), ("tanh", "l1")])
def test_jumps_within_rounding_may_fall_on_either_side(
    activation: str, loss: str, dtype: str
) -> None:
    """A projection (ReLU) or residual (l1) of exactly zero: σ' or l' may be either limit."""
    W = np.array([[1.0, -1.0]], dtype)
    X = np.array([[0.5, 0.5], [0.3, -0.2]], dtype)  # the first row projects to zero
    a, b, y = np.ones(1, dtype), np.zeros(1, dtype), np.array([0.0, 5.0], dtype)
    if activation == "relu":
        y = y + np.array([1, 0], dtype)
    options: Options = {"eta": 1.0, "beta": 0.0, "activation": activation, "loss": loss}
    tiny = np.finfo(dtype).eps
    for moved in (W * (1 + tiny), W, W * np.array([1 + tiny, 1], dtype)):
        step = exact_step(moved, a, b, X, y, **options).astype(dtype)
        assert relative_to_envelope(step, (W, a, b, X, y), **options) <= 1
    # Away from the jump by more than rounding nothing is forgiven: d + 3 = 5 units for projections,
    # 8 for functions, and so on, of terms of size ≤ 8: some hundreds of units.
    away = np.array([[1.1, -1.0]], dtype)
    at_jump, elsewhere = (
        step_envelope(w, a, b, X, y, dtype=dtype, **options).max() for w in (W, away)
    )
    assert elsewhere <= 1000 * unit_roundoff(dtype) < 0.1 < at_jump


def flushed(step: Callable[[], FloatArray]) -> FloatArray:
    """The step on a processor that takes subnormal numbers, given or computed, as zero."""
    if not torch.set_flush_denormal(True):
        pytest.skip("this processor cannot flush subnormal numbers")
    try:
        return step()
    finally:
        torch.set_flush_denormal(False)


@pytest.mark.parametrize("where", ["a", "X", "W", "y", "all"])
@pytest.mark.parametrize("loss", ["squared", "huber", "l1"])
def test_trainers_that_flush_subnormal_numbers_stay_within(
    where: str, loss: str, dtype: str
) -> None:
    """Factors of 10⁶ beside them make the loss far larger than the smallest normal number."""
    tiny = np.finfo(dtype).tiny
    for seed in range(5):
        W, a, b, X, y = network(seed, 12, 4, 3, dtype)
        y *= 1e6
        small = {"a": [a], "X": [X], "W": [W], "y": [y], "all": [a, X, W, y]}[where]
        for array in small:
            array[::2] = np.copysign(tiny / 16, array[::2])
        W[:1] = 0  # so that nothing else is forgiven to the first neuron
        options: Options = {"eta": 3.0, "beta": 0.2, "activation": "log-cosh", "loss": loss}
        arrays = W, a, b, X, y
        exact = exact_step(*arrays, **options)
        bound = step_envelope(*arrays, dtype=dtype, **options)
        for make in (numpy_trainer, torch_trainer):
            step = flushed(partial(make().step, *arrays, **options))
            assert (np.abs(step - exact) <= bound).all()
        if where == "a" and loss == "squared":
            assert np.abs(step - exact)[0].max() > 100 * tiny  # it is not nothing that is forgiven


# --- several steps --------------------------------------------------------------------


@pytest.mark.parametrize(("activation", "loss"), EVERY)
def test_lipschitz_constant_bounds_the_jacobian(activation: str, loss: str) -> None:
    """κ ≥ ‖∂(W − η (∇L + β W))/∂W‖₂, by central differences: good to 1e-9 of the step's scale
    away from kinks, over which these networks do not step."""
    h = 1e-6
    options: Options = {"eta": 0.8, "beta": 0.3, "activation": activation, "loss": loss}
    for seed, shape in enumerate(SHAPES[:3]):
        W, *rest = network(seed, **shape)  # type: ignore[arg-type]
        columns = []
        for index in np.ndindex(*W.shape):
            moved = np.zeros_like(W)
            moved[index] = h
            ahead, behind = (exact_step(W + s * moved, *rest, **options) for s in (1, -1))
            columns.append((ahead - behind).ravel() / (2 * h))
        kappa = lipschitz(W, *rest, **options)
        assert np.linalg.norm(columns, 2) <= kappa * (1 + 1e-6)
    assert lipschitz(W, *rest, **{**options, "eta": 0.0}) == 1


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("loss", LOSSES)
def test_accumulated_radius_bounds_trajectories(activation: str, loss: str, dtype: str) -> None:
    """Both backends stay within the radius of the exact trajectory, so within twice of another."""
    options: Options = {"eta": 0.4, "beta": 0.5, "activation": activation, "loss": loss}
    for arrays in (network(8, 30, 5, 4, dtype, 0.3), network(9, 9, 12, 2, dtype, 0.3)):
        W, a, b, X, y = arrays
        exact = exact_trajectory(*arrays, steps=5, **options)
        radius = accumulate(exact, a, b, X, y, dtype=dtype, **options)
        assert radius.shape == (6,)
        assert radius[0] == 0
        assert (np.diff(radius) > 0).all()
        runs = [
            make().trajectory(W, a, b, X, y, steps=5, **options).astype(np.float64)
            for make in (numpy_trainer, torch_trainer)
        ]
        for run in runs:
            assert (np.linalg.norm(run - exact, axis=(1, 2)) <= radius).all()
        if (activation, loss) in SMOOTH:  # the worst case of float32 is still far below a step
            assert radius[1] < 1e-2 * np.linalg.norm(exact[1] - exact[0])
        assert (np.linalg.norm(runs[0] - runs[1], axis=(1, 2)) <= 2 * radius).all()


def test_radius_grows_by_the_step_s_own_recursion() -> None:
    W, a, b, X, y = network(2, 30, 5, 4)
    options: Options = {"eta": 0.4, "beta": 0.5, "activation": "gelu", "loss": "huber"}
    weights = exact_trajectory(W, a, b, X, y, steps=2, **options)
    radius = accumulate(weights, a, b, X, y, dtype="float32", **options)
    local = [
        np.linalg.norm(step_envelope(w, a, b, X, y, dtype="float32", **options)) for w in weights
    ]
    assert radius[1] == pytest.approx(local[0], rel=1e-12)
    kappa = lipschitz(weights[1], a, b, X, y, **options)
    assert radius[2] == pytest.approx(kappa * radius[1] + local[1], rel=1e-12)
