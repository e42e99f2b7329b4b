"""Tests of stage 2: ridge regression on frozen random features."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
import scipy.linalg
from numpy.typing import NDArray

from mimverify.backends import get_backend
from mimverify.designs import StoredDesign
from mimverify.network import get_activation
from mimverify.support.errors import InputError
from mimverify.support.scratch import Scratch
from mimverify.training import Readout, stage2, train_readout
from mimverify.training import features as features_module

Array = NDArray[Any]
N, D, P = 250, 6, 12


def problem() -> tuple[Array, Array, Array]:
    """X, y and four directions of different lengths; the labels have a mean."""
    rng = np.random.default_rng(3)
    X = rng.standard_normal((N, D))
    W = rng.standard_normal((4, D)) * np.array([[1e-3], [1.0], [50.0], [0.1]])
    return X, np.cos(2 * X[:, 0]) + 0.1 * rng.standard_normal(N) + 3, W


def fit(
    X: Array,
    y: Array,
    W: Array,
    library: str = "numpy",
    dtype: str = "float64",
    *,
    neurons: int = P,
    **options: Any,
) -> Readout:
    return train_readout(
        StoredDesign(X, get_backend(library, dtype)),
        y,
        W,
        activation=get_activation("log-cosh"),
        neurons=neurons,
        rng=np.random.default_rng(0),
        **options,
    )


def features(X: Array, W: Array) -> Array:
    """φ_k(x) = log cosh(ŵ_{k mod m}·x + b_k), b_k ~ N(0, 1), as the docstring has it."""
    biases = np.random.default_rng(0).standard_normal(P)
    units = W / np.linalg.norm(W, axis=1, keepdims=True)
    return np.stack([np.log(np.cosh(X @ units[k % len(W)] + biases[k])) for k in range(P)], axis=1)


def penalty_of(phi: Array, ridge: float) -> float:
    return float(ridge * phi.var(axis=0).mean())


def direct(phi: Array, y: Array, ridge: float) -> tuple[float, Array]:
    """The minimiser of (1/2n) Σ (c + φ·a − y)² + (penalty/2) ‖a‖² over c and a, c unpenalised."""
    full = np.column_stack([np.ones(len(y)), phi])
    matrix = full.T @ full / len(y)
    matrix[1:, 1:] += penalty_of(phi, ridge) * np.eye(phi.shape[1])
    solution = np.linalg.solve(matrix, full.T @ y / len(y))
    return float(solution[0]), solution[1:]


def tolerance(phi: Array, y: Array, ridge: float) -> float:
    """Relative error of a ridge solution: κ times the rounding of its matrix, γ_{n+p}, for the
    uncentred system of `direct`, whose entries are larger than those of the centred one."""
    full = np.column_stack([np.ones(len(y)), phi])
    condition = np.linalg.norm(full.T @ full / len(y), 2) / penalty_of(phi, ridge)
    return float(4 * condition * (len(y) + phi.shape[1] + 10) * 2.0**-53)


@pytest.mark.parametrize("clear", [0.0, np.inf], ids=["cholesky", "eigen"])
@pytest.mark.parametrize("ridge", [1e-3, 0.1, 10.0])
@pytest.mark.parametrize("rows", [10_000, 37])
def test_closed_form_is_the_ridge_solution(
    clear: float, ridge: float, rows: int, library: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In one block of rows, and in seven uneven ones, three to a chunk."""
    monkeypatch.setattr(stage2, "_DEFINITE", clear)
    # Nothing falls back on the other method unseen.
    unused = "eigh" if clear == 0 else "cho_factor"
    monkeypatch.setattr(scipy.linalg, unused, lambda *_, **__: pytest.fail(f"{unused} was called"))
    monkeypatch.setattr(features_module, "FEATURE_BLOCK_ROWS", rows)
    monkeypatch.setattr(features_module, "FEATURE_CHUNK_ROWS", 2 * rows + 1)
    X, y, W = problem()
    readout = fit(X, y, W, library, ridge=ridge)
    phi = features(X, W)
    constant, weights = direct(phi, y, ridge)
    relative = tolerance(phi, y, ridge)
    assert relative < 1e-6  # else agreement would mean little
    assert np.linalg.norm(readout.weights - weights) <= relative * np.linalg.norm(weights)
    allowed = relative * (
        abs(constant) + np.linalg.norm(phi.mean(axis=0)) * np.linalg.norm(weights)
    )
    assert abs(readout.constant - constant) <= allowed
    assert readout.iterations is None
    new = np.random.default_rng(9).standard_normal((100, D))
    error = np.abs(readout.predict(new) - (features(new, W) @ weights + constant))
    size = np.linalg.norm(np.column_stack([np.ones(100), features(new, W)]), axis=1)
    # Features: D + 10 roundings of projections and functions, in either implementation.
    own = 2 * (D + 10) * 2.0**-53 * np.abs(weights).sum() * (1 + np.linalg.norm(new, axis=1))
    assert (error <= size * (relative * np.linalg.norm(weights) + allowed) + own).all()


def test_optimality_of_the_solution() -> None:
    """Independent of any solver: the objective's gradient vanishes, in c and in a."""
    X, y, W = problem()
    ridge = 1e-3
    readout = fit(X, y, W, ridge=ridge)
    phi = features(X, W)
    residual = phi @ readout.weights + readout.constant - y
    penalty = penalty_of(phi, ridge)
    # Σ of n terms of the sizes below, each formed with p + 10 roundings.
    scale = np.abs(phi) @ np.abs(readout.weights) + abs(readout.constant) + np.abs(y)
    unit = 8 * (N + P + 10) * 2.0**-53
    assert abs(residual.mean()) <= unit * scale.mean()
    gradient = phi.T @ residual / N + penalty * readout.weights
    assert (np.abs(gradient) <= unit * (np.abs(phi).T @ scale / N + scale.mean())).all()


@pytest.mark.parametrize("goal", [1e-2, 1e-6])
def test_gradient_descent_converges_to_the_closed_form(goal: float, library: str) -> None:
    """It stops at ‖∇‖ ≤ goal · ‖∇ at 0‖; the objective is `penalty`-strongly convex, hence
    ‖a − a*‖ ≤ ‖∇‖/penalty."""
    X, y, W = problem()
    ridge = 0.05
    limit = fit(X, y, W, library, ridge=ridge)
    descent = fit(X, y, W, library, ridge=ridge, method="gradient-descent", tolerance=goal)
    assert descent.iterations is not None
    assert 0 < descent.iterations < 100_000
    phi = features(X, W)
    centred = phi - phi.mean(axis=0)
    first = float(np.linalg.norm(centred.T @ (y - y.mean()) / N))
    gradient = centred.T @ (centred @ descent.weights - (y - y.mean())) / N
    gradient = gradient + penalty_of(phi, ridge) * descent.weights
    rounding = tolerance(phi, y, ridge)
    assert np.linalg.norm(gradient) <= goal * first * (1 + 1e-6)  # 1e-6: rounding, at 1e-13/1e-7
    distance = np.linalg.norm(descent.weights - limit.weights)
    bound = goal * first / penalty_of(phi, ridge)
    assert distance <= bound + rounding * np.linalg.norm(limit.weights)
    # The intercept follows from the weights in the same way.
    mean_output = float(phi.mean(axis=0) @ descent.weights) + descent.constant
    assert mean_output == pytest.approx(y.mean(), rel=1e-12)


def test_gradient_descent_stops_at_its_limit() -> None:
    X, y, W = problem()
    short = fit(X, y, W, method="gradient-descent", max_iterations=3)
    assert short.iterations == 3
    phi = features(X, W)
    centred = phi - phi.mean(axis=0)
    matrix = centred.T @ centred / N + penalty_of(phi, 1e-3) * np.eye(P)
    weights = np.zeros(P)
    for _ in range(3):
        gradient = matrix @ weights - centred.T @ (y - y.mean()) / N
        weights = weights - gradient / np.linalg.norm(matrix, 2)
    # Three contractions, each a product with a matrix known to γ_{n+p} of its norm.
    error = np.linalg.norm(short.weights - weights)
    assert error <= 3 * 8 * (N + P) * 2.0**-53 * max(1.0, float(np.linalg.norm(weights))) * P


def test_only_directions_of_neurons_count(library: str) -> None:
    """Lengths do not matter (exactly, for powers of two), and dead neurons are dropped."""
    X, y, W = problem()
    base = fit(X, y, W, library)
    assert base.directions.shape == (4, D)
    dead = np.insert(W * np.array([[2.0], [0.5], [4.0], [1.0]]), 2, 0.0, axis=0)
    other = fit(X, y, dead, library)
    np.testing.assert_array_equal(other.directions, base.directions)
    np.testing.assert_array_equal(other.weights, base.weights)
    assert other.constant == base.constant
    # Squares of these leave the range of float64.
    np.testing.assert_array_equal(fit(X, y, W * 2.0**-700, library).weights, base.weights)
    tiny = fit(X, y, (W * 1e-30).astype(np.float32), library)  # squares underflow in float32
    # float32 rounds each entry of a unit row by 2⁻²⁴ of itself.
    assert np.abs(tiny.directions - base.directions).max() <= 2 * 2.0**-24
    with pytest.raises(InputError, match="W is zero"):
        fit(X, y, 0 * W, library)


def test_duplicate_neurons_differ_by_their_biases(library: str) -> None:
    X, y, W = problem()
    twice = fit(X, y, np.concatenate([W[:1]] * 4), library)
    phi = features(X, np.concatenate([W[:1]] * 4))
    _, weights = direct(phi, y, 1e-3)
    assert len(np.unique(twice.biases)) == P
    relative = tolerance(phi, y, 1e-3)
    assert np.linalg.norm(twice.weights - weights) <= relative * np.linalg.norm(weights)


def test_constant_features_do_no_harm(library: str) -> None:
    """ReLU neurons that never fire: the readout is the mean, without a division by zero."""
    X, y, _ = problem()
    X = -np.abs(X)
    for method in ("closed-form", "gradient-descent"):
        readout = train_readout(
            StoredDesign(X, get_backend(library, "float64")), y, np.full((1, D), 1e3),
            activation=get_activation("relu"), neurons=3, method=method,
            rng=_ConstantRng(-5.0),  # type: ignore[arg-type]
        )  # fmt: skip
        np.testing.assert_array_equal(readout.weights, np.zeros(3))
        assert readout.constant == y.mean()


class _ConstantRng:
    def __init__(self, value: float) -> None:
        self.value = value

    def standard_normal(self, size: int) -> Array:
        return np.full(size, self.value)


def test_linear_part_is_added_back(library: str) -> None:
    """Labels y + θ·x with linear part θ: the same readout, and θ·x beside it."""
    X, y, W = problem()
    theta = np.array([1.0, -2.0, 0.0, 0.5, 0.0, 3.0])
    plain = fit(X, y, W, library)
    both = fit(X, y + X @ theta, W, library, linear=theta)
    phi = features(X, W)
    # y is known to a few units of |y| + |θ||x| ≤ 40 after the subtraction; the solution is linear
    # in y with norm ≤ ‖φ‖/penalty.
    sensitivity = np.linalg.norm(phi, 2) / np.sqrt(N) / penalty_of(phi, 1e-3)
    allowed = 40 * 10 * 2.0**-53 * sensitivity
    assert np.linalg.norm(both.weights - plain.weights) <= allowed
    new = np.random.default_rng(1).standard_normal((50, D))
    gap = np.abs(both.predict(new) - plain.predict(new) - new @ theta)
    assert gap.max() <= allowed * 10 * P
    assert np.abs(new @ theta).max() > 1


def test_projections_are_all_that_prediction_needs(library: str) -> None:
    X, y, W = problem()
    theta = np.arange(D, dtype=float)
    for linear in (None, theta):
        readout = fit(X, y, W, library, linear=linear)
        rows = readout.directions if linear is None else np.vstack([readout.directions, theta])
        np.testing.assert_array_equal(readout.predict_projected(X @ rows.T), readout.predict(X))
    blocks = readout.predict(np.concatenate([X] * 40))  # more rows than one block
    assert len(blocks) == 40 * N > features_module.FEATURE_BLOCK_ROWS
    # Another number of rows may change the order of summation in the product: d + p roundings.
    size = np.abs(readout.weights).sum() * 20 + 100
    assert np.abs(blocks.reshape(40, N) - readout.predict(X)).max() <= 4 * (D + P) * 2.0**-53 * size


def test_shift_and_scale_of_labels(library: str) -> None:
    """Doubling is exact; a shift moves the intercept only."""
    X, y, W = problem()
    base = fit(X, y, W, library)
    double = fit(X, 2 * y, W, library)
    np.testing.assert_array_equal(double.weights, 2 * base.weights)
    assert double.constant == 2 * base.constant
    shifted = fit(X, y + 1000, W, library)
    phi = features(X, W)
    sensitivity = np.linalg.norm(phi, 2) / np.sqrt(N) / penalty_of(phi, 1e-3)
    allowed = 4 * 1004 * 2.0**-53 * sensitivity  # what adding and subtracting 1000 does to y
    assert np.linalg.norm(shifted.weights - base.weights) <= allowed
    limit = allowed * np.linalg.norm(phi.mean(axis=0)) + 1004 * 8 * 2.0**-53
    assert abs(shifted.constant - base.constant - 1000) <= limit


def test_float32_inputs(library: str) -> None:
    """Projections in float32, the regression in float64."""
    X, y, W = (v.astype(np.float32) for v in problem())
    readout = fit(X, y, W, library, "float32", ridge=0.1)
    assert readout.weights.dtype == readout.directions.dtype == np.float64
    assert readout.predict(X).dtype == np.float64
    wide = fit(X.astype(float), y.astype(float), W, library, ridge=0.1)
    # A feature errs by ε = (d + 2) u ‖x‖ (σ is 1-Lipschitz), the Gram matrix by 2 ‖φ‖ √p ε/√n, the
    # solution by that times ‖a‖/penalty, twice for the right-hand side.
    phi = features(X.astype(float), W.astype(float))
    eps = (D + 2) * 2.0**-24 * np.linalg.norm(X, axis=1).max()
    allowed = 4 * np.linalg.norm(phi, 2) / np.sqrt(N) * np.sqrt(P) * eps
    allowed *= max(float(np.linalg.norm(wide.weights)), float(np.std(y))) / penalty_of(phi, 0.1)
    gap = np.linalg.norm(readout.weights - wide.weights)
    assert gap <= allowed < 0.1 * np.linalg.norm(wide.weights)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"ridge": 0.0}, "ridge=0.0: expected a finite number above 0"),
        ({"ridge": -1}, "ridge=-1"),
        ({"ridge": np.nan}, "ridge=nan"),
        ({"neurons": 0}, "readout_neurons=0"),
        ({"neurons": 2.5}, "readout_neurons=2.5"),
        ({"method": "closed"}, "readout='closed': expected one of closed-form, gradient-descent"),
    ],
)
def test_arguments_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=re.escape(message)):
        fit(*problem(), **options)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("rows", [1, 127, 128, 129, 300])
def test_features_are_what_they_are_called(rows: int, dtype: str) -> None:
    """As many rows as are evaluated at a time, and more and fewer; from either dtype."""
    rng = np.random.default_rng(rows)
    P, biases = rng.standard_normal((rows, 3)).astype(dtype), rng.standard_normal(8)
    for name in ("log-cosh", "quadratic", "softplus"):
        activation = get_activation(name)
        made = features_module.Features(3, biases, activation)
        expected = activation.value(P.astype(np.float64)[:, np.arange(8) % 3] + biases)
        scratch = Scratch()
        for _ in range(2):  # memory is used again
            got = made.of(P, scratch)
            assert got.dtype == np.float64
            # z is rounded once as a projection and once as a sum, σ' is at most max(1, |z|)
            size = 1 + (np.abs(P).max() + np.abs(biases).max()) ** 2
            assert np.abs(got - expected).max() <= 8 * np.finfo(dtype).eps * size


def test_whole_numbers_as_projections_leave_the_biases_whole() -> None:
    X, y, W = problem()
    readout = fit(X, y, W)
    P = np.rint(X @ readout.directions.T)
    expected = readout.predict_projected(P)
    accepted: list[Any] = [P.astype(np.int64), P.tolist(), P.astype(np.float16)]
    for same in accepted:
        np.testing.assert_array_equal(readout.predict_projected(same), expected)


def test_hardly_any_ridge_on_features_that_repeat() -> None:
    """More features than directions determine: a Gram matrix that rounding makes indefinite."""
    X, y, W = problem()
    readout = fit(X, y, W[:1], neurons=64, ridge=1e-14)
    assert np.isfinite(readout.weights).all()
    error = np.mean((readout.predict(X) - y) ** 2)
    assert error <= np.var(y)


@pytest.mark.parametrize("rows", [1, 1000])
def test_features_that_are_nothing_but_rounding_do_no_harm(rows: int) -> None:
    """All rows equal: a Gram matrix of any sign."""
    X = np.full((rows, D), 0.3)
    readout = fit(X, np.linspace(0, 1, rows), problem()[2])
    assert np.isfinite(readout.weights).all()
    assert abs(readout.predict(X) - np.linspace(0, 1, rows).mean()).max() < 1e-6
