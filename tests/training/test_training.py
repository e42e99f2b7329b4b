"""Tests of `mimverify.training`: centring, linear part, schedules, stage 1 and the trainer."""

from __future__ import annotations

import copy
import inspect
import math
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from sklearn.base import clone

from mimverify.backends import get_backend
from mimverify.designs import StoredDesign
from mimverify.network import (
    Loss,
    Network,
    get_activation,
    get_loss,
    symmetric_start,
)
from mimverify.problems import MultiIndexModel
from mimverify.support.errors import DivergenceError, InputError, MimverifyError
from mimverify.training import (
    Centring,
    ConstantRate,
    LayerwiseTrainer,
    Objective,
    ScaleFree,
    Schedule,
    default_samples,
    default_steps,
    fit_constant,
    fit_linear_part,
    numpy_trainer,
    torch_trainer,
    train_first_layer,
)
from mimverify.training.stage2 import unit_rows
from mimverify.trial import (
    accumulate,
    exact_trajectory,
    label_covariance,
    lipschitz,
    step_envelope,
    unit_roundoff,
)

Array = NDArray[Any]
U64 = 2.0**-53
EVEN = ("log-cosh", "quadratic", "pseudo-huber", "softplus-centred", "gelu-centred")
LOSSES = ("squared", "l1", "huber", "huber:0.3", "pseudo-huber", "pseudo-huber:2", "log-cosh")


def sample(
    n: int = 60, d: int = 6, dtype: str = "float64", link: str = "cos2z"
) -> tuple[Array, Array]:
    data = MultiIndexModel(link, d, noise=0.3, seed=11).sample(n, dtype=dtype)
    return data.X, data.y


def general_network(d: int = 6, m: int = 5, dtype: str = "float64") -> tuple[Array, Array, Array]:
    """W, a, b without symmetry, biases included."""
    rng = np.random.default_rng(12)
    W, a, b = 0.3 * rng.standard_normal((m, d)), rng.standard_normal(m) / m, rng.standard_normal(m)
    return W.astype(dtype), a.astype(dtype), b.astype(dtype)


# --- the constant output --------------------------------------------------------------


def labels(seed: int = 0, n: int = 201) -> Array:
    """Skewed labels with one far outlier."""
    rng = np.random.default_rng(seed)
    return np.append(rng.standard_gamma(1.5, n - 1), 40.0)


def test_squared_loss_fits_the_mean_and_l1_the_median() -> None:
    y = labels()
    assert fit_constant(get_loss("squared"), y).constant == pytest.approx(math.fsum(y) / len(y))
    assert fit_constant(get_loss("l1"), y).constant == np.sort(y)[100]
    assert fit_constant(get_loss("l1"), y).offset == 0  # as many above as below
    even = np.array([0.0, 1.0, 5.0, 9.0])
    assert fit_constant(get_loss("l1"), even) == Centring(3.0, 0.0)


@pytest.mark.parametrize("loss", LOSSES)
def test_the_centred_derivative_has_mean_zero(loss: str) -> None:
    """To the rounding of a mean of n terms of size ≤ max(1, |y|), and one of c, which l'' ≤ 1 and
    the root finder's 4 eps pass on."""
    y = labels()
    centring = fit_constant(get_loss(loss), y)
    terms = get_loss(loss).derivative(np.full_like(y, centring.constant), y) - centring.offset
    assert abs(math.fsum(terms) / len(y)) <= (len(y) + 20) * U64 * 40
    if get_loss(loss).smooth:
        assert abs(centring.offset) <= (len(y) + 20) * U64 * 40
    assert y.min() < centring.constant < y.max()


def test_huber_fits_the_m_estimate() -> None:
    """Between mean and median, found independently on a grid of sign changes."""
    y = labels()
    c = fit_constant(get_loss("huber"), y).constant
    grid = np.linspace(np.median(y), y.mean(), 2001)
    slopes = np.clip(grid[:, None] - y, -1, 1).mean(axis=1)
    assert slopes[0] < 0 < slopes[-1]
    k = int(np.searchsorted(slopes, 0))
    assert grid[k - 1] - 1e-12 <= c <= grid[k] + 1e-12


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("shift", [-7.0, 3.25, 1e6])
def test_constant_is_shift_equivariant(loss: str, shift: float) -> None:
    """c(y + s) = c(y) + s. Adding s rounds every label by u (|s| + 40), which moves the mean of l'
    by as much (l'' ≤ 1), and c by that over the curvature: at least 1/10 of the labels are in the
    curved part of every loss here. The mean's own rounding adds n u, relative to |y|."""
    y = labels()
    moved = fit_constant(get_loss(loss), y + shift)
    allowed = 10 * (len(y) + 10) * U64 * (abs(shift) + 40)
    assert abs(moved.constant - shift - fit_constant(get_loss(loss), y).constant) <= allowed


@pytest.mark.parametrize("loss", ["squared", "l1", "huber", "log-cosh"])
def test_constant_is_odd(loss: str) -> None:
    y = labels()
    one, other = (fit_constant(get_loss(loss), s * y) for s in (1, -1))
    allowed = 10 * (len(y) + 10) * U64 * 40  # as above
    assert other.constant == pytest.approx(-one.constant, abs=allowed)
    assert other.offset == pytest.approx(-one.offset, abs=allowed)


def test_l1_with_atoms_leaves_an_offset() -> None:
    """Labels ±1 and 0: no c balances them, and what remains is subtracted from l' itself."""
    y = np.array([0.0] * 5 + [1.0] * 4 + [-1.0])
    centring = fit_constant(get_loss("l1"), y)
    assert centring == Centring(0.0, (1 - 4) / 10)
    assert fit_constant(get_loss("l1"), np.array([1.0, 1.0, 1.0, -1.0])) == Centring(1.0, 1 / 4)


def quantile_loss(level: float) -> Loss:
    """A user's loss whose derivative jumps over zero."""
    return Loss(
        "quantile",
        lambda f, y: np.where(f > y, 1 - level, np.where(f < y, -level, 0.0)),
        smooth=False,
    )


@pytest.mark.parametrize("atom", [0.0, 1.0, -3.5])
def test_jumps_of_a_user_s_loss(atom: float) -> None:
    """A third of the labels at one point, at zero too, where no relative tolerance is ever met."""
    rng = np.random.default_rng(1)
    y = atom + np.concatenate([np.zeros(20), rng.random(30), -rng.random(10)])
    centring = fit_constant(quantile_loss(0.3), y)
    # Below the atom: 10/60 of the labels < 0.3; up to and with it: 30/60 > 0.3.
    assert centring.constant == pytest.approx(atom, abs=1e-15)
    slopes = quantile_loss(0.3).derivative(np.full_like(y, centring.constant), y)
    assert slopes.mean() - centring.offset == pytest.approx(0, abs=60 * U64)
    assert abs(centring.offset) > 0.03  # at the atom (7 − 9)/60, else more


def test_constants_refused() -> None:
    with pytest.raises(InputError, match=r"y is constant \(2\)"):
        fit_constant(get_loss("squared"), np.full(5, 2.0))
    wrong_sign = Loss("mine", lambda f, y: y - f)
    with pytest.raises(InputError, match="expected a change from negative to positive"):
        fit_constant(wrong_sign, labels())
    no_root = Loss("mine", lambda f, y: np.exp(f - y))
    with pytest.raises(InputError, match="loss='mine': mean l'"):
        fit_constant(no_root, labels())
    broken = Loss("mine", lambda f, y: np.nan * f)
    with pytest.raises(InputError, match="is nan at c = "):
        fit_constant(broken, labels())


# --- the linear part ------------------------------------------------------------------


def regression_data(n: int = 300, d: int = 8, shift: float = 0.0) -> tuple[Array, Array]:
    """Labels with a linear part, a quadratic one and heavy-tailed noise; exact in float32."""
    rng = np.random.default_rng(5)
    X = rng.standard_normal((n, d))
    y = X[:, 0] - 2 * X[:, 1] + np.cos(2 * X[:, 2]) + 0.2 * rng.standard_t(2, n)
    X, y = X.astype(np.float32).astype(float), y.astype(np.float32).astype(float)
    return X, y + shift


def test_squared_linear_part_is_least_squares(library: str) -> None:
    X, y = regression_data()
    n, d = X.shape
    constant, theta = fit_linear_part(
        StoredDesign(X, get_backend(library, "float64")), y, get_loss("squared")
    )
    full = np.column_stack([np.ones(n), X])
    expected = np.linalg.lstsq(full, y, rcond=None)[0]
    # It stops at ‖(1/n) Xᵀ r‖ ≤ 1e-12 rms(r) + 8 u √d rms(y) ≤ 2e-12 rms(y), computed to γ_n.
    smallest = float(np.linalg.eigvalsh(full.T @ full / n)[0])
    allowed = (2e-12 + 4 * n * U64 * d) * float(np.sqrt(np.mean(y**2))) / smallest
    assert np.linalg.norm(np.append(constant, theta) - expected) <= allowed


@pytest.mark.parametrize("shift", [0.0, 1000.0])
@pytest.mark.parametrize("loss", [loss for loss in LOSSES if loss != "l1"])
def test_the_vector_vanishes(loss: str, shift: float, library: str, dtype: str) -> None:
    """(1/n) Σ l'(c + θ·x, y)(1, x) = 0, to the rounding of the passes' dtype.

    The stopping rule: max(8u√d, 1e-12) rms(l') + 8u√d rms(y). Computed with float32 passes, the
    vector is off by the rounding of predictions (γ_{d+2} Σ|x θ|, passed on with l'' ≤ 1) and of the
    sum (γ_n Σ|l' x|/n); recomputed here in float64.
    """
    X, y = regression_data(shift=shift)
    n, d = X.shape
    u = unit_roundoff(dtype)
    constant, theta = fit_linear_part(
        StoredDesign(X, get_backend(library, dtype)), y, get_loss(loss)
    )
    slope = get_loss(loss).derivative(constant + X @ theta, y)
    vector = np.append(slope.mean(), X.T @ slope / n)
    size = np.sqrt(1 + (X**2).sum(axis=1))
    stop = max(8 * u * np.sqrt(d), 1e-12) * np.sqrt(np.mean(slope**2))
    stop += 8 * u * np.sqrt(d) * np.std(y)
    predictions = (d + 4) * u * (np.abs(X) @ np.abs(theta) + np.abs(y - y.mean()))
    predictions += 4 * U64 * abs(shift)
    own = np.mean(predictions * size) + (n + 2) * u * np.mean(np.abs(slope) * size)
    assert np.linalg.norm(vector) <= stop + own
    # Without it, the vector is as long as the labels' linear part makes it.
    before = get_loss(loss).derivative(np.full(n, float(np.median(y))), y)
    assert np.linalg.norm(X.T @ before / n) > 100 * (stop + own)


def test_linear_labels_are_recovered(library: str, dtype: str) -> None:
    """Noise-free labels: the residual reaches rounding, where no relative rule is ever met."""
    X, _ = regression_data()
    theta = np.arange(8.0) - 3
    y = X @ theta + 1.5
    u = unit_roundoff(dtype)
    for loss in ("squared", "huber"):
        constant, found = fit_linear_part(
            StoredDesign(X, get_backend(library, dtype)), y, get_loss(loss)
        )
        # As above, with l'' = 1 at zero residuals; the smallest eigenvalue of the moments is > 1/2.
        assert np.linalg.eigvalsh(X.T @ X / len(y))[0] > 0.5
        stop = (8 * u * np.sqrt(8) + 1e-12) * 2 * np.std(y)
        own = 12 * u * np.mean((np.abs(X) @ np.abs(theta)) * np.linalg.norm(X, axis=1))
        error = np.append(constant - 1.5, found - theta)
        assert np.linalg.norm(error) <= 4 * (stop + own)


def test_linear_part_refused(library: str) -> None:
    X, y = regression_data(n=9)
    design = StoredDesign(X, get_backend(library, "float64"))
    with pytest.raises(InputError, match="more samples than inputs: n=9, d=8"):
        fit_linear_part(design, y, get_loss("squared"))
    X, y = regression_data(n=30)
    design = StoredDesign(X, get_backend(library, "float64"))
    with pytest.raises(InputError, match=r"loss='l1'.*use a smooth loss such as 'huber'"):
        fit_linear_part(design, y, get_loss("l1"))
    with pytest.raises(MimverifyError, match="did not converge"):
        fit_linear_part(design, y, Loss("mine", lambda f, y: 1.0 + 0 * (f - y)))


# --- schedules ------------------------------------------------------------------------


def test_constant_rate() -> None:
    W, G = np.array([[1.0, -2.0]]), np.array([[4.0, 8.0]])
    np.testing.assert_array_equal(ConstantRate(0.5, 0.25).update(W, G), [[-1.125, -5.75]])
    np.testing.assert_array_equal(ConstantRate(0.0).update(W, G), W)
    for eta, beta, message in [(-1.0, 0.0, "eta=-1"), (np.inf, 0, "eta=inf"), (1, -1.0, "beta=-1")]:
        with pytest.raises(InputError, match=message):
            ConstantRate(eta, beta)
    with pytest.raises(TypeError, match="abstract"):
        Schedule()  # type: ignore[abstract]


@pytest.mark.parametrize("size", [1.0, 1e-30, 1e30, 1e-44])
def test_scale_free_rate(size: float, library: str, dtype: str) -> None:
    """−ε0 G/max‖G_j‖, whatever the scale of G: squares of tiny gradients would underflow."""
    backend = get_backend(library, dtype)
    G = backend.asarray(np.array([[3.0, 4.0], [0.0, -1.0]]) * size)
    updated = backend.to_numpy(ScaleFree(0.1).update(0 * G, G))
    # 1e-44 is subnormal in float32, known to the spacing 2⁻¹⁴⁹ only.
    relative = 8 * unit_roundoff(dtype)
    if size == 1e-44 and dtype == "float32":
        relative = 2.0**-149 / 1e-44
    error = np.abs(updated - np.array([[-0.06, -0.08], [0, 0.02]]))
    assert error.max() <= 0.1 * relative
    with pytest.raises(InputError, match="norm=0"):
        ScaleFree(0)


@pytest.mark.parametrize(
    ("n", "d", "steps"),
    [
        (1000, 100, math.ceil(2 / 1) + 2),
        (64, 8, math.ceil(1) + 2),
        (10, 1, 2),  # log 1 = 0
        (4096, 2, math.ceil(1 / 11) + 2),
        (101, 100, math.ceil(math.log(100) / math.log(1.01)) + 2),
    ],
)
def test_default_steps(n: int, d: int, steps: int) -> None:
    assert default_steps(n, d) == steps


def test_default_steps_needs_more_samples_than_inputs() -> None:
    for n in (99, 100):
        with pytest.raises(InputError, match=f"n={n}, d=100: .* give the steps explicitly"):
            default_steps(n, 100)


def test_default_samples() -> None:
    for d in (3, 64, 1000):
        assert default_samples(d) == math.floor(d * math.log(d) ** 2)
    for d in (1, 2):  # 2 log² 2 = 0.96
        with pytest.raises(InputError, match=f"dim={d}: .* give the samples explicitly"):
            default_samples(d)


# --- stage 1: exact statements --------------------------------------------------------


def scale_free_options(a: Array, X: Array, y: Array, activation: str, loss: str) -> dict[str, Any]:
    """β = 1/η with η |a| = 1/‖H‖, so that weights neither grow nor shrink."""
    eta = float(1 / (abs(a[0]) * np.linalg.norm(label_covariance(X, y, loss=loss), 2)))
    return {"eta": eta, "beta": 1 / eta, "activation": activation, "loss": loss}


@pytest.mark.parametrize("activation", EVEN)
@pytest.mark.parametrize("loss", ["squared", "l1", "huber"])
def test_antisymmetry(activation: str, loss: str, library: str, dtype: str) -> None:
    """E1: w_{j+m/2}(t) = (−1)ᵗ w_j(t) and f ≡ 0. Partners differ by their rounding only: at most
    the envelope for each at every step, magnified by κ."""
    X, y = sample(dtype=dtype)
    start = symmetric_start(6, 6, np.random.default_rng(0), norm=0.5, dtype=dtype)
    sigma = get_activation(activation)
    options = scale_free_options(start.a, X, y, activation, loss)
    options["eta"] /= sigma.curvature_at_zero
    options["beta"] = 1 / options["eta"]
    trainer = LayerwiseTrainer(backend=library)
    weights = trainer.trajectory(start.W, start.a, start.b, X, y, steps=5, **options)
    W = weights.astype(np.float64)
    allowed = 0.0
    for t in range(6):
        assert allowed < 0.5 * np.linalg.norm(W[t])  # it could fail
        defect = np.linalg.norm(W[t, 3:] - (-1.0) ** t * W[t, :3])
        assert defect <= allowed
        output = sigma.value(X.astype(float) @ W[t].T) @ start.a.astype(float)
        reach = np.linalg.norm(X, axis=1).max() * np.abs(sigma.first(X @ W[t].T)).max()
        assert np.abs(output).max() <= np.abs(start.a).max() * 3 * (reach * allowed + 1e-13)
        local = step_envelope(W[t], start.a, start.b, X, y, dtype=dtype, reach=allowed, **options)
        kappa = lipschitz(W[t], start.a, start.b, X, y, **options)
        allowed = kappa * allowed + 2 * float(np.linalg.norm(local))


@pytest.mark.parametrize("loss", ["squared", "l1", "huber", "pseudo-huber", "log-cosh"])
def test_quadratic_activation_is_power_iteration(loss: str, library: str, dtype: str) -> None:
    """E2: w_j(T) = (η a_j H)ᵀ w_j(0), within the radius (twice: the powers round too)."""
    X, y = sample(dtype=dtype)
    start = symmetric_start(4, 6, np.random.default_rng(0), norm=0.5, dtype=dtype)
    options = scale_free_options(start.a, X, y, "quadratic", loss)
    H = label_covariance(X, y, loss=loss)
    powers = [start.W.astype(np.float64)]
    for _ in range(4):
        powers.append(options["eta"] * start.a.astype(float)[:, None] * (powers[-1] @ H))
    weights = LayerwiseTrainer(backend=library).trajectory(
        start.W, start.a, start.b, X, y, steps=4, **options
    )
    radius = 2 * accumulate(powers, start.a, start.b, X, y, dtype=dtype, **options)
    assert (np.linalg.norm(weights - np.array(powers), axis=(1, 2)) <= radius).all()
    assert np.linalg.norm(powers[-1]) > 10 * radius[-1]


def stage1(
    library: str, dtype: str, schedule: Schedule, *, steps: int, activation: str = "log-cosh",
    loss: str = "huber", norm: float = 0.05, observe: Any = None,
) -> tuple[Array, Network, Objective, StoredDesign]:  # fmt: skip
    """Centred stage 1 from the symmetric start: the weights at every step, and what made them."""
    X, y = sample(dtype=dtype)
    backend = get_backend(library, dtype)
    centring = fit_constant(get_loss(loss), y)
    start = symmetric_start(4, 6, np.random.default_rng(0), norm=norm, dtype=dtype)
    design = StoredDesign(X, backend)
    objective = Objective(get_loss(loss), backend.asarray(y), centring.constant, centring.offset)
    weights: list[Array] = []

    def record(t: int, W: Any) -> None:
        assert t == len(weights)
        weights.append(backend.to_numpy(W))
        if observe is not None:
            observe(t, W)

    W = train_first_layer(
        design, objective, *(backend.asarray(v) for v in (start.W, start.a, start.b)),
        activation=get_activation(activation), schedule=schedule, steps=steps, observe=record,
    )  # fmt: skip
    np.testing.assert_array_equal(weights[-1], backend.to_numpy(W))
    return np.array(weights), start, objective, design


def test_scale_free_keeps_the_largest_norm(library: str, dtype: str) -> None:
    weights, *_ = stage1(library, dtype, ScaleFree(0.05), steps=6)
    norms = np.linalg.norm(weights.astype(float), axis=2).max(axis=1)
    # A norm of 6 squares, a root, a quotient and products: some 10 units of the dtype.
    np.testing.assert_allclose(norms, 0.05, rtol=12 * unit_roundoff(dtype))


def test_scale_free_is_constant_rate_with_inverse_decay(library: str) -> None:
    """Every scale-free step is W − η (G + W/η) with η = ε0/max‖G_j‖."""
    weights, start, objective, design = stage1(library, "float64", ScaleFree(0.05), steps=4)
    backend = design.backend
    activation = get_activation("log-cosh")
    a, b = backend.asarray(start.a), backend.asarray(start.b)
    for t in range(4):
        W = backend.asarray(weights[t])
        common: dict[str, Any] = {"activation": activation, "steps": 1}
        moved = backend.to_numpy(
            train_first_layer(design, objective, W, a, b, schedule=ConstantRate(1.0), **common)
        )
        eta = float(0.05 / np.linalg.norm(moved - weights[t], axis=1).max())
        step = backend.to_numpy(
            train_first_layer(
                design, objective, W, a, b, schedule=ConstantRate(eta, 1 / eta), **common
            )
        )
        # G = W − W' loses what W' rounds: η (2 u |W|) relative to weights of 0.05, and 1 − η (1/η)
        # is at most u.
        allowed = 8 * U64 * (1 + eta) * 0.05
        assert np.abs(step - weights[t + 1]).max() <= allowed < 1e-4 * 0.05


def test_observers_see_every_step_and_change_nothing(library: str) -> None:
    seen: list[int] = []
    one = stage1(library, "float32", ScaleFree(), steps=3, observe=lambda t, W: seen.append(t))[0]
    np.testing.assert_array_equal(one, stage1(library, "float32", ScaleFree(), steps=3)[0])
    assert seen == [0, 1, 2, 3]
    X, y = sample()
    plain, observed = (LayerwiseTrainer(backend=library, neurons=4) for _ in range(2))
    plain.fit_first_layer(X, y)
    observed.fit_first_layer(X, y, observe=lambda t, W: None)
    np.testing.assert_array_equal(plain.network_.W, observed.network_.W)


def test_divergence_carries_the_step(library: str) -> None:
    """Quadratic activation and a large rate: W grows doubly exponentially until it overflows."""
    X, y = sample()
    W, a, b = general_network()
    trainer = LayerwiseTrainer(backend=library)
    options: dict[str, Any] = {"eta": 1e3, "activation": "quadratic", "loss": "squared"}
    with pytest.raises(DivergenceError, match="lower eta") as caught:
        trainer.trajectory(W, a, b, X, y, steps=50, **options)
    step = caught.value.step
    assert 1 < step < 50
    assert f"training diverged at step {step}: " in str(caught.value)
    # One step fewer is still finite.
    assert np.isfinite(trainer.trajectory(W, a, b, X, y, steps=step - 1, **options)).all()


def test_divergence_names_the_reason(library: str) -> None:
    X, y = sample()
    W, a, b = general_network()
    trainer = LayerwiseTrainer(backend=library)
    with pytest.raises(DivergenceError, match=r"step 1: the weights overflowed .*lower eta or"):
        trainer.step(W * 1e10, a, b, X, y, eta=1e308, beta=1.0, loss="l1")
    with pytest.raises(DivergenceError, match=r"step 1: the gradient is not finite"):
        trainer.step(W * 1e200, a, b, X, y, eta=1.0, activation="quadratic")
    # ReLU neurons that never fire have no gradient; with β = 1/η nothing is left. For plain
    # gradient descent that is the result; a fit could do nothing with it.
    silent: dict[str, Any] = {"eta": 1.0, "beta": 1.0, "activation": "relu"}
    assert not trainer.step(W, a, b - 100, X, y, **silent).any()
    with pytest.raises(DivergenceError, match=r"step 1: all weights vanished .*no signal"):
        LayerwiseTrainer(
            backend=library, start=Network(W, a, b - 100), schedule="constant", **silent
        ).fit_first_layer(X, y)
    # And underflow: the gradient is of the order of |a W| = 1e-400.
    start = Network(W * 1e-200, a * 1e-200, 0 * b)
    with pytest.raises(DivergenceError, match=r"step 1: all weights vanished"):
        LayerwiseTrainer(backend=library, start=start).fit_first_layer(X, y)


# --- stage 1: plain gradient descent --------------------------------------------------


@pytest.mark.parametrize("beta", [0.0, 0.3])
@pytest.mark.parametrize(
    ("activation", "loss"),
    [("softplus", "squared"), ("gelu", "huber"), ("tanh", "log-cosh"), ("relu", "pseudo-huber")],
)
def test_features_are_torch_s_own_gradient_descent(
    activation: str, loss: str, beta: float, library: str, textbook_objective: Callable[..., Any]
) -> None:
    """torch.optim.SGD with automatic differentiation, weight decay as its own option."""
    X, y = sample()
    W, a, b = general_network()
    eta, steps = 0.5, 6
    parameter = torch.nn.Parameter(torch.tensor(W))
    optimiser = torch.optim.SGD([parameter], lr=eta, weight_decay=beta)
    expected = [W]
    for _ in range(steps):
        optimiser.zero_grad()
        textbook_objective(parameter, a, b, X, y, activation=activation, loss=loss).backward()
        optimiser.step()
        expected.append(parameter.detach().numpy().copy())
    options: dict[str, Any] = {"eta": eta, "beta": beta, "activation": activation, "loss": loss}
    weights = LayerwiseTrainer(backend=library).trajectory(W, a, b, X, y, steps=steps, **options)
    # Each is within the radius of the exact trajectory.
    exact = exact_trajectory(W, a, b, X, y, steps=steps, **options)
    radius = accumulate(exact, a, b, X, y, dtype="float64", **options)
    distance = np.linalg.norm(weights - np.array(expected), axis=(1, 2))
    assert (distance <= 2 * radius).all()
    assert np.linalg.norm(weights[-1] - W) > 1e6 * radius[-1]


@pytest.mark.parametrize("activation", ["log-cosh", "relu", "exp-centred"])
@pytest.mark.parametrize("loss", ["squared", "l1", "huber"])
def test_backends_follow_one_trajectory(activation: str, loss: str, dtype: str) -> None:
    X, y = sample(dtype=dtype)
    W, a, b = general_network(dtype=dtype)
    options: dict[str, Any] = {"eta": 0.3, "beta": 0.1, "activation": activation, "loss": loss}
    runs = [
        LayerwiseTrainer(backend=name).trajectory(W, a, b, X, y, steps=6, **options)
        for name in ("numpy", "torch")
    ]
    exact = exact_trajectory(W, a, b, X, y, steps=6, **options)
    radius = accumulate(exact, a, b, X, y, dtype=dtype, **options)
    gap = np.linalg.norm(runs[0].astype(float) - runs[1].astype(float), axis=(1, 2))
    assert (gap <= 2 * radius).all()


def test_features_split_into_parts(library: str, dtype: str) -> None:
    """T steps, then T' steps, are T + T' steps, bit for bit; `step` is the first of them."""
    X, y = sample(dtype=dtype)
    W, a, b = general_network(dtype=dtype)
    trainer = LayerwiseTrainer(backend=library)
    options: dict[str, Any] = {"eta": 0.5, "beta": 0.1, "activation": "gelu", "loss": "huber"}
    whole = trainer.trajectory(W, a, b, X, y, steps=5, **options)
    assert whole.shape == (6, 5, 6)
    assert whole.dtype == np.dtype(dtype)
    first = trainer.trajectory(W, a, b, X, y, steps=2, **options)
    second = trainer.trajectory(first[-1], a, b, X, y, steps=3, **options)
    np.testing.assert_array_equal(np.concatenate([first, second[1:]]), whole)
    np.testing.assert_array_equal(trainer.step(W, a, b, X, y, **options), whole[1])
    np.testing.assert_array_equal(trainer.trajectory(W, a, b, X, y, steps=0, **options), W[None])


def test_features_ignore_the_trainer_s_arguments(library: str) -> None:
    X, y = sample()
    W, a, b = general_network()
    plain = LayerwiseTrainer(backend=library).step(W, a, b, X, y, eta=0.5)
    unlike: dict[str, Any] = {"activation": "relu", "loss": "l1", "steps": 9, "dtype": "float32"}
    other = LayerwiseTrainer(backend=library, remove_linear_part=True, **unlike)
    np.testing.assert_array_equal(plain, other.step(W, a, b, X, y, eta=0.5))
    defaults: dict[str, Any] = {"beta": 0.0, "activation": "log-cosh", "loss": "huber"}
    np.testing.assert_array_equal(plain, other.step(W, a, b, X, y, eta=0.5, **defaults))


def test_arguments_are_not_written_to(library: str) -> None:
    X, y = sample()
    W, a, b = general_network()
    before = [v.copy() for v in (X, y, W, a, b)]
    for v in (X, y, W, a, b):
        v.setflags(write=False)
    trainer = LayerwiseTrainer(backend=library, neurons=4, readout_neurons=8)
    trainer.trajectory(W, a, b, X, y, steps=2, eta=0.5)
    trainer.fit(X, y).predict(X)
    for v, kept in zip((X, y, W, a, b), before, strict=True):
        np.testing.assert_array_equal(v, kept)


# --- the trainer ----------------------------------------------------------------------

SMALL: dict[str, Any] = {"neurons": 6, "readout_neurons": 12, "ridge": 0.1}


def small(library: str = "numpy", **options: Any) -> LayerwiseTrainer:
    return LayerwiseTrainer(**{"backend": library, **SMALL, **options})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"backend": "cupy"}, "backend='cupy': expected one of numpy, torch"),
        ({"device": "moon"}, "device='moon'"),
        ({"dtype": "float16"}, "dtype='float16'"),
        ({"neurons": 5}, "neurons=5: the symmetric start needs an even number"),
        ({"neurons": 0}, "neurons=0"),
        ({"neurons": 4.0}, "neurons=4.0"),
        ({"readout_neurons": 0}, "readout_neurons=0"),
        ({"steps": -1}, "steps=-1"),
        ({"steps": 2.0}, "steps=2.0"),
        ({"activation": "relus"}, "did you mean 'relu'"),
        ({"loss": "hubre"}, "did you mean 'huber'"),
        ({"schedule": "cosine"}, "schedule='cosine': expected one of scale-free, constant"),
        ({"schedule": "constant"}, "schedule='constant': needs eta"),
        ({"schedule": "constant", "eta": -1.0}, "eta=-1"),
        ({"schedule": "constant", "eta": 1.0, "beta": np.nan}, "beta=nan"),
        ({"eta": 1.0}, "the scale-free schedule sets both itself"),
        ({"beta": 1.0}, "the scale-free schedule sets both itself"),
        ({"init_norm": 0.0}, "init_norm=0"),
        ({"output_scale": -1.0}, "output_scale=-1"),
        ({"start": Network(np.ones((2, 5)), np.ones(2), np.ones(2))}, "W has shape (2, 5)"),
        ({"start": (1, 2, 3)}, "start=tuple: expected a Network or None"),
        ({"loss": "l1", "remove_linear_part": True}, "use a smooth loss"),
        ({"ridge": 0.0}, "ridge=0"),
        ({"readout": "lasso"}, "readout='lasso'"),
        ({"random_state": -1}, "=-1"),
        ({"random_state": None}, "=None"),
    ],
)
def test_parameters_are_checked_when_used(options: dict[str, Any], message: str) -> None:
    trainer = small(**options)  # as scikit-learn requires, construction checks nothing
    with pytest.raises(InputError, match=re.escape(message)):
        trainer.fit(*sample())


@pytest.mark.parametrize(
    ("X", "y", "message"),
    [
        (np.ones((4, 2, 2)), np.arange(4.0), "X has shape (4, 2, 2): expected (*, *)"),
        (np.ones(4), np.arange(4.0), "X has shape (4,): expected (*, *)"),
        (np.ones((4, 2)), np.arange(3.0), "y has shape (3,): expected (4)"),
        (np.ones((4, 2)), np.ones((4, 1)), "y has shape (4, 1): expected (4)"),
        ([[1.0, np.nan], [1, 1]], [1, 2], "X[0, 1]=nan"),
        (np.ones((4, 2)), [1, 2, np.inf, 4], "y[2]=inf"),
        (np.ones((1, 2)), [1.0], "n=1: expected at least one sample for each of two stages"),
        (np.ones((0, 2)), [], "expected at least one entry"),
        (np.random.default_rng(0).random((8, 2)), np.ones(8), "y is constant (1)"),
        (np.ones((8, 2)), [1.0] * 4 + [1, 2, 3, 4], "y is constant (1)"),  # stage 1's half
        (np.ones((4, 4)), np.arange(4.0), "n=2, d=4: the default number of steps needs n > d"),
        (np.full((4, 1), "a"), np.arange(4.0), "expected real numbers"),
    ],
)
def test_data_are_checked(X: Any, y: Any, message: str) -> None:
    with pytest.raises(InputError, match=re.escape(message)):
        small().fit(X, y)


def test_prediction_is_checked() -> None:
    trainer = small()
    with pytest.raises(InputError, match="this trainer is not fitted; call fit first"):
        trainer.predict(np.ones((2, 6)))
    X, y = sample()
    with pytest.raises(InputError, match="there is no first layer yet"):
        trainer.fit_readout(X, y)
    trainer.fit_first_layer(X, y)
    with pytest.raises(InputError, match="not fitted"):
        trainer.predict(X)
    trainer.fit(X, y)
    with pytest.raises(InputError, match="not fitted"):  # the readout was another first layer's
        copy.copy(trainer).fit_first_layer(X, -y).predict(X)
    cases = [(X[:, :5], "expected (*, 6)"), (X[0], "(6,)"), (X * np.nan, "X[0, 0]=nan")]
    for wrong, message in cases:
        with pytest.raises(InputError, match=re.escape(message)):
            trainer.predict(wrong)
    with pytest.raises(InputError, match="X has 5 columns: expected d=6"):
        trainer.fit_stages(X, y, X[:, :5], y)


@pytest.mark.parametrize("remove", [False, True])
def test_a_reduced_readout_is_the_readout(remove: bool, library: str, dtype: str) -> None:
    """Coordinates in another orthonormal basis, of the whole space here, change nothing."""
    X, y = sample(dtype=dtype)
    trainer = small(library, activation="softplus", remove_linear_part=remove)
    with pytest.raises(InputError, match="fit_reduced_readout: there is no first layer yet"):
        trainer.fit_reduced_readout(X, y, np.eye(6))
    trainer.fit_first_layer(X, y)
    rows = [unit_rows(trainer.network_.W)]
    rows += [] if trainer.linear_part_ is None else [trainer.linear_part_[None]]
    basis, _ = np.linalg.qr(np.random.default_rng(5).standard_normal((6, 6)))
    Z, coordinates = X @ basis.astype(dtype), np.vstack(rows) @ basis
    counts = trainer.operation_counts()
    reduced = trainer.fit_reduced_readout(Z, y, coordinates)
    assert trainer.operation_counts() == counts
    lifted, rounding = trainer.predict(X), 1e4 * float(np.finfo(dtype).eps)
    np.testing.assert_allclose(reduced.predict(Z), lifted, rtol=rounding, atol=rounding)
    np.testing.assert_array_equal(trainer.readout_.directions, rows[0])
    direct = trainer.fit_readout(X, y).predict(X)
    np.testing.assert_allclose(direct, lifted, rtol=rounding, atol=rounding)
    with pytest.raises(InputError, match=re.escape(f"expected ({len(coordinates)}, 6)")):
        trainer.fit_reduced_readout(Z, y, coordinates[:-1])


def test_fit_uses_one_half_for_each_stage(library: str) -> None:
    X, y = sample(n=81)
    trainer = small(library).fit(X, y)
    stages = small(library).fit_stages(X[:40], y[:40], X[40:], y[40:])
    np.testing.assert_array_equal(trainer.predict(X), stages.predict(X))
    assert trainer.steps_ == default_steps(40, 6)
    assert trainer.n_features_in_ == 6
    assert trainer.centring_ == fit_constant(get_loss("huber"), y[:40])
    assert trainer.linear_part_ is None
    # The first layer never sees the second half, whatever it holds.
    other = small(library).fit(
        np.concatenate([X[:40], -2 * X[40:]]), np.concatenate([y[:40], y[40:] ** 2])
    )
    np.testing.assert_array_equal(other.network_.W, trainer.network_.W)
    assert np.abs(other.readout_.weights - trainer.readout_.weights).max() > 0
    # The output weights of stage 1 are not trained.
    np.testing.assert_array_equal(np.abs(trainer.network_.a), np.full(6, 1 / 6))


@pytest.mark.parametrize("remove", [False, True])
def test_fit_is_its_documented_parts(remove: bool, library: str) -> None:
    """Stage 1 of `fit` is `train_first_layer` with the documented parts, bit for bit."""
    X, y = sample(link="relu-sum")
    start = Network(*general_network())
    trainer = small(
        library, start=start, activation="softplus", remove_linear_part=remove,
        schedule="constant", eta=0.3, beta=0.2, steps=3,
    ).fit_first_layer(X, y)  # fmt: skip
    backend = get_backend(library, "float64")
    design, loss = StoredDesign(X, backend), get_loss("huber")
    if remove:
        constant, theta = fit_linear_part(design, y, loss)
        objective = Objective(loss, backend.asarray(y), constant, 0.0, backend.asarray(theta))
        np.testing.assert_array_equal(trainer.linear_part_, theta)
        assert trainer.centring_ == Centring(constant, 0.0)
    else:
        centring = fit_constant(loss, y)
        objective = Objective(loss, backend.asarray(y), centring.constant, centring.offset)
    W = train_first_layer(
        design, objective, *(backend.asarray(v) for v in (start.W, start.a, start.b)),
        activation=get_activation("softplus"), schedule=ConstantRate(0.3, 0.2), steps=3,
    )  # fmt: skip
    np.testing.assert_array_equal(trainer.network_.W, backend.to_numpy(W))


def test_centring_can_be_switched_off(library: str) -> None:
    X, y = sample()
    y = y + 5
    off = small(library, centre=False, steps=2).fit_first_layer(X, y)
    assert off.centring_ == Centring(0.0, 0.0)
    on = small(library, steps=2).fit_first_layer(X, y)
    assert on.centring_.constant > 4
    assert np.abs(on.network_.W - off.network_.W).max() > 0


def test_linear_part_is_predicted_too(library: str) -> None:
    """Labels that are linear and nothing else: a readout without features would be exact."""
    X, _ = sample(n=400)
    theta = np.arange(6.0)
    y = X @ theta + 0.01 * np.cos(2 * X[:, 0])
    with_part, without = (
        small(library, remove_linear_part=remove).fit(X, y) for remove in (True, False)
    )
    error = [float(np.mean((t.predict(X) - y) ** 2)) for t in (with_part, without)]
    # The remainder is at most 0.01 in size, and Huber's regression finds θ to its own 0.01-scale.
    assert error[0] <= 4 * 0.01**2
    assert error[1] > 100 * error[0]


def test_start_and_seed(library: str) -> None:
    X, y = sample()
    one, again, other = (small(library, random_state=s, steps=0).fit(X, y) for s in (1, 1, 2))
    np.testing.assert_array_equal(one.network_.W, again.network_.W)
    assert np.abs(one.network_.W - other.network_.W).max() > 0
    assert np.abs(one.readout_.biases - other.readout_.biases).max() > 0
    np.testing.assert_array_equal(one.network_.W[:3], one.network_.W[3:])
    np.testing.assert_allclose(np.linalg.norm(one.network_.W, axis=1), 1e-2, rtol=10 * U64)
    scaled = small(library, init_norm=0.5, output_scale=2.0, steps=0).fit(X, y)
    np.testing.assert_allclose(np.linalg.norm(scaled.network_.W, axis=1), 0.5, rtol=10 * U64)
    np.testing.assert_array_equal(np.abs(scaled.network_.a), 2.0)
    start = Network(*general_network())
    given = small(library, start=start, steps=0).fit(X, y)  # 5 neurons: no symmetry is needed
    np.testing.assert_array_equal(given.network_.W, start.W)


def test_reruns_are_bit_identical(library: str, dtype: str) -> None:
    X, y = sample(n=300, d=20, dtype=dtype)
    for options in ({}, {"remove_linear_part": True}, {"readout": "gradient-descent"}):
        one, other = (small(library, **options).fit(X, y) for _ in range(2))
        refitted = one.predict(X)
        np.testing.assert_array_equal(other.predict(X), refitted)
        np.testing.assert_array_equal(one.fit(X, y).predict(X), refitted)  # no state is left over
        np.testing.assert_array_equal(one.network_.W, other.network_.W)


def test_float32_stays_float32(library: str) -> None:
    X, y = sample(dtype="float32")
    trainer = small(library).fit(X, y)
    assert trainer.network_.W.dtype == trainer.network_.a.dtype == np.float32
    assert small(library).fit(X, y.astype(float)).network_.W.dtype == np.float32
    assert small(library).fit(X.astype(float), y).network_.W.dtype == np.float64
    assert small(library, dtype="float32").fit(X.astype(float), y).network_.W.dtype == np.float32
    assert small(library, dtype="float64").fit(X, y).network_.W.dtype == np.float64


def test_lists_and_tensors_are_taken(library: str) -> None:
    X, y = sample()
    expected = small(library).fit(X, y).predict(X)
    lists = small(library).fit(X.tolist(), y.tolist())
    np.testing.assert_array_equal(lists.predict(X.tolist()), expected)
    tensors = small(library).fit(torch.tensor(X), torch.tensor(y))
    np.testing.assert_array_equal(tensors.predict(torch.tensor(X)), expected)
    narrow = small(library).fit(torch.tensor(X, dtype=torch.float32), y)
    assert narrow.network_.W.dtype == np.float32
    integers = small(library, steps=1).fit(np.arange(24).reshape(12, 2), np.arange(12))
    assert integers.network_.W.dtype == np.float64


def scale_free_radius(weights: Array, start: Network, X: Array, y: Array, dtype: str) -> float:
    """How far another correct run of a scale-free stage 1 can be from `weights` at its end.

    A step is W' = −ε0 G/max‖G_j‖ = S(W) with η = ε0/max‖G_j‖, β = 1/η: `accumulate`'s recursion,
    with twice its local error and slope, since the quotient's numerator and denominator both vary.
    """
    eps0, radius = float(np.linalg.norm(weights[0], axis=1).max()), 0.0
    for W in weights[:-1]:
        rate = exact_rate(W, start, X, y, eps0)
        options: dict[str, Any] = {
            "eta": rate, "beta": 1 / rate, "activation": "log-cosh", "loss": "huber",
        }  # fmt: skip
        arrays = (start.a, start.b, X, y)
        local = step_envelope(W, *arrays, dtype=dtype, reach=radius, **options)
        radius = 2 * (lipschitz(W, *arrays, **options) * radius + float(np.linalg.norm(local)))
    return radius


def exact_rate(W: Array, start: Network, X: Array, y: Array, eps0: float) -> float:
    options: dict[str, Any] = {"eta": 1.0, "beta": 0.0, "activation": "log-cosh", "loss": "huber"}
    step = exact_trajectory(W, start.a, start.b, X, y, steps=1, **options)
    return float(eps0 / np.linalg.norm(step[1] - step[0], axis=1).max())


def test_backends_agree_on_fit_and_predict() -> None:
    """First layers within the accumulated radius R; predictions within what R can change.

    Features σ(ŵ·x + b) differ by ε = 2 (R/min‖w_j‖) max‖x‖ + rounding; the Gram matrix by
    2 ‖φ‖ √p ε and the right-hand side by std(y) √p ε, so the output weights by
    (2 ‖φ‖ ‖a‖ + std y) √p ε/penalty, and outputs by that times max‖φ(x)‖, and ‖a‖ √p ε.
    """
    X, y = sample(n=200)
    y = y - fit_constant(get_loss("huber"), y[:100]).constant  # so that c = 0 up to rounding
    trainers, trajectories = [], []
    for library in ("numpy", "torch"):
        weights: list[Array] = []
        trainer = small(library, steps=3, centre=False)

        def keep(t: int, W: Any, kept: list[Array] = weights) -> None:
            kept.append(np.asarray(W).copy())

        trainer.fit_stages(X[:100], y[:100], X[100:], y[100:], observe=keep)
        trainers.append(trainer)
        trajectories.append(np.array(weights))
    start = trainers[0].network_
    radius = 2 * scale_free_radius(trajectories[0], start, X[:100], y[:100], "float64")
    gap = np.linalg.norm(trajectories[0][-1] - trajectories[1][-1])
    smallest = np.linalg.norm(trajectories[0][-1], axis=1).min()
    assert gap <= radius < 1e-6 * smallest
    readout, p = trainers[0].readout_, 12
    phi = readout.activation.value((X @ readout.directions.T)[:, np.arange(p) % 6] + readout.biases)
    lengths = np.linalg.norm(X, axis=1)
    eps = (2 * radius / smallest + 30 * U64) * lengths.max()
    penalty = 0.1 * phi[100:].var(axis=0).mean()
    size = np.linalg.norm(phi[100:], 2) / 10
    a = np.linalg.norm(readout.weights)
    change = (2 * size * a + np.std(y)) * np.sqrt(p) * eps / penalty
    allowed = change * np.linalg.norm(phi, axis=1).max() * 2 + a * np.sqrt(p) * eps
    difference = np.abs(trainers[0].predict(X) - trainers[1].predict(X))
    assert difference.max() <= allowed < 1e-3 * np.std(y)


# --- scikit-learn's conventions -------------------------------------------------------


def test_get_and_set_params() -> None:
    trainer = small(loss="l1")
    names = set(inspect.signature(LayerwiseTrainer).parameters)
    assert set(trainer.get_params()) == names == set(trainer.get_params(deep=False))
    assert trainer.get_params()["loss"] == "l1"
    assert trainer.set_params(steps=3, loss="huber") is trainer
    assert (trainer.steps, trainer.loss) == (3, "huber")
    assert LayerwiseTrainer(**trainer.get_params()).get_params() == trainer.get_params()
    with pytest.raises(InputError, match=r"parameter='stepz': .*did you mean 'steps'"):
        trainer.set_params(stepz=3)
    # Another spelling of a parameter sets that parameter, as everywhere else.
    trainer.set_params(Random_State=7)
    assert trainer.random_state == 7
    assert not hasattr(trainer, "Random_State")


def test_repr_shows_what_differs_from_the_defaults() -> None:
    assert repr(LayerwiseTrainer()) == "LayerwiseTrainer()"
    assert repr(torch_trainer(steps=3)) == "LayerwiseTrainer(backend='torch', steps=3)"
    assert repr(numpy_trainer()) == "LayerwiseTrainer()"
    assert "start=Network(" in repr(small(start=Network(*general_network())))


def test_sklearn_clones() -> None:
    X, y = sample()
    fitted = small(loss="l1", steps=2, start=Network(*general_network())).fit(X, y)
    fresh = clone(fitted)
    assert type(fresh) is LayerwiseTrainer
    assert not hasattr(fresh, "readout_")
    for name, value in fitted.get_params().items():
        if name != "start":
            assert fresh.get_params()[name] == value
    np.testing.assert_array_equal(fresh.fit(X, y).predict(X), fitted.predict(X))


def test_declared_capabilities_work() -> None:
    """What the trial reads from the class, every entry of it, is accepted by `step`."""
    X, y = sample()
    W, a, b = general_network()
    for activation in LayerwiseTrainer.activations:
        for loss in LayerwiseTrainer.losses:
            for name in LayerwiseTrainer.dtypes:
                arrays = (v.astype(name) for v in (W, a, b, X, y))
                step = small().step(*arrays, eta=0.1, activation=activation, loss=loss)
                assert step.dtype == np.dtype(name)
                assert np.isfinite(step).all()


def test_the_first_layer_is_shown_after_fit() -> None:
    rng = np.random.default_rng(0)
    X = rng.standard_normal((400, 8))
    y = np.cos(2 * X[:, 0]) + X[:, 1]
    trainer = LayerwiseTrainer(neurons=6)
    assert not hasattr(trainer, "first_layer_")
    trainer.fit(X, y)
    np.testing.assert_array_equal(trainer.first_layer_, trainer.network_.W)
    with_linear = LayerwiseTrainer(neurons=6, remove_linear_part=True).fit(X, y)
    assert with_linear.first_layer_.shape == (7, 8)
    np.testing.assert_array_equal(with_linear.first_layer_[-1], with_linear.linear_part_)
