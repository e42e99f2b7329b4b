"""Tests of the named activations, against 70-digit arithmetic and their declarations."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import mpmath  # type: ignore[import-untyped]
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from mimverify.network import ACTIVATIONS, Activation, get_activation
from mimverify.support.errors import InputError
from mimverify.training import LayerwiseTrainer
from mimverify.trial import STANDARD_ACTIVATIONS

Array = NDArray[Any]
mp = mpmath.mp.clone()
mp.dps = 70

#: σ in the textbook's words; its derivatives are taken numerically, in 70 digits.
TEXTBOOK: dict[str, Callable[[Any], Any]] = {
    "log-cosh": lambda z: mp.log(mp.cosh(z)),
    "quadratic": lambda z: z**2 / 2,
    "pseudo-huber": lambda z: mp.sqrt(1 + z**2) - 1,
    "relu": lambda z: (abs(z) + z) / 2,
    "softplus": lambda z: mp.log(1 + mp.exp(z)),
    "gelu": lambda z: z * mp.ncdf(z),
    "tanh": mp.tanh,
    "softplus-centred": lambda z: mp.log(1 + mp.exp(z)) - z / 2 - mp.log(2),
    "gelu-centred": lambda z: z * mp.ncdf(z) - z / 2,
    "exp-centred": lambda z: mp.exp(z) - 1 - z,
}
SMALL = np.geomspace(1e-8, 1, 33)
NEAR_ZERO = np.concatenate([-SMALL, SMALL, [0.49, 0.51, -0.49, -0.51, 0.99, 1.01]])

#: Roundings allowed, each of one unit: the longest formula has seven operations that can lose one,
#: library functions counted twice. The condition number of the function multiplies it.
UNITS = 9


@pytest.fixture(params=ACTIVATIONS.values(), ids=lambda activation: activation.name)
def activation(request: pytest.FixtureRequest) -> Activation:
    result = request.param
    assert isinstance(result, Activation)
    return result


def evaluate(function: Callable[[Any], Any], z: Array, library: str) -> Array:
    """`function` of z by either library, checked to keep library, shape and dtype."""
    if library == "numpy":
        result = function(z)
        assert isinstance(result, np.ndarray)
    else:
        tensor = function(torch.tensor(z))
        assert isinstance(tensor, torch.Tensor)
        result = tensor.numpy()
    assert result.dtype == z.dtype
    assert result.shape == z.shape
    return np.asarray(result)


def roundoff(dtype: str) -> float:
    return float(np.finfo(dtype).eps) / 2


@cache
def exact(name: str, order: int, z: float) -> Any:
    """σ, σ', σ'' or σ''' at the float64 z. Away from kinks, central differences with a step of
    1e-15 are good to 1e-30 (truncation) and 1e-70/1e-45 (rounding of the third) of the scale."""
    sigma, at, h = TEXTBOOK[name], mp.mpf(z), mp.mpf(10) ** -15
    if order == 0:
        return sigma(at)
    offsets, weights = {
        1: ((-1, 1), (-0.5, 0.5)),
        2: ((-1, 0, 1), (1, -2, 1)),
        3: ((-2, -1, 1, 2), (-0.5, 1, -1, 0.5)),
    }[order]
    return sum(w * sigma(at + k * h) for k, w in zip(offsets, weights, strict=True)) / h**order


def exact_array(name: str, order: int, z: Array) -> tuple[Array, Array]:
    """The exact derivative rounded to float64, and how it moves under a relative change of z."""
    value = [exact(name, order, float(v)) for v in z]
    slope = [float(abs(v * exact(name, order + 1, float(v)))) for v in z]
    return np.array([float(v) for v in value]), np.array(slope)


def test_relative_accuracy_near_zero(activation: Activation, library: str, dtype: str) -> None:
    """|error| ≤ UNITS · u · (|σ⁽ᵏ⁾(z)| + |z σ⁽ᵏ⁺¹⁾(z)|): what rounding z itself would do.

    Stage 1 operates at |z| ~ 1e-2 and below, where σ ~ z²: formulas that are only accurate
    absolutely, such as log(cosh z), fail here by many orders.
    """
    z = NEAR_ZERO.astype(dtype)
    for order, function in enumerate((activation.value, activation.first, activation.second)):
        if activation.name == "relu" and order == 2:
            continue  # its curvature is the kink's
        want, conditioning = exact_array(activation.name, order, z)
        got = evaluate(function, z, library)
        allowed = UNITS * roundoff(dtype) * (np.abs(want) + conditioning) + 1e-29  # `exact`'s own
        worst = int(np.argmax(np.abs(got - want) - allowed))
        assert abs(got[worst] - want[worst]) <= allowed[worst], (order, z[worst], got[worst])


@pytest.mark.parametrize("far", [-1e4, -30.0, 30.0, 1e4])
def test_far_out(activation: Activation, library: str, dtype: str, far: float) -> None:
    """No overflow on the way to a finite result, in no operation (warnings are errors)."""
    z = np.full(3, far, dtype=dtype)
    infinite = activation.name == "exp-centred" and far == 1e4
    for order, function in enumerate((activation.value, activation.first, activation.second)):
        with np.errstate(over="ignore" if infinite else "raise"):
            got = evaluate(function, z, library)
        want = float(exact(activation.name, order, far)) if not infinite else np.inf
        if infinite:
            assert (got == np.inf).all()
        else:
            # e^30 is the only function here that a relative change of z moves by more than 2·30.
            units = UNITS * (2 + (30 if activation.name == "exp-centred" else 0))
            allowed = units * roundoff(dtype) * max(1, abs(want))
            assert np.abs(got - want).max() <= allowed, order


def test_numpy_and_torch_agree(activation: Activation, dtype: str) -> None:
    """Both are within UNITS of the exact value, for terms of the formula of size ≤ max(1, |z|)."""
    z = np.random.default_rng(0).standard_normal(500).reshape(5, 100).astype(dtype) * 2
    for function in (activation.value, activation.first, activation.second):
        one, other = (evaluate(function, z, library) for library in ("numpy", "torch"))
        scale = np.maximum(1, np.maximum(np.abs(one), np.abs(z)))
        assert (np.abs(one - other) <= 2 * UNITS * roundoff(dtype) * scale).all()


def test_edge_cases(activation: Activation, library: str, dtype: str) -> None:
    for function in (activation.value, activation.first, activation.second):
        assert evaluate(function, np.zeros((0, 3), dtype), library).shape == (0, 3)
        z = np.array([1.5, -0.5], dtype)
        before = z.copy()
        evaluate(function, z, library)
        np.testing.assert_array_equal(z, before)
    assert np.isnan(evaluate(activation.value, np.array([np.nan], dtype), library)).all()


def test_derivatives_by_automatic_differentiation(activation: Activation) -> None:
    """Torch differentiates `value` and `first`; tolerance: UNITS for each, terms of size ≤ 4."""
    z = torch.linspace(-3, 3, 601, dtype=torch.float64)[::7].clone().requires_grad_()
    z = z if activation.smooth else (z + 1e-3).detach().requires_grad_()
    for function, derivative in [
        (activation.value, activation.first),
        (activation.first, activation.second),
    ]:
        output = function(z)
        grad = torch.zeros_like(z)
        if output.requires_grad:
            (grad,) = torch.autograd.grad(output.sum(), z)
        expected = derivative(z).detach()
        scale = 4 * torch.clamp(expected.abs(), min=1)
        assert ((grad - expected).abs() <= 2 * UNITS * 2.0**-53 * scale).all()


def test_parity(activation: Activation, library: str) -> None:
    z = np.abs(np.random.default_rng(1).standard_normal(200)) * 3
    plus, minus = (evaluate(activation.value, s * z, library) for s in (1, -1))
    tolerance = 2 * UNITS * 2.0**-53 * np.maximum(1, z)
    even, odd = np.abs(plus - minus) <= tolerance, np.abs(plus + minus) <= tolerance
    assert activation.even == (activation.parity == "even") == bool(even.all())
    assert (activation.parity == "odd") == bool(odd.all())
    assert activation.parity in ("even", "odd", "none")


def test_declarations_at_zero(activation: Activation) -> None:
    zero = np.zeros(1)
    if activation.smooth:
        assert activation.first(zero)[0] == pytest.approx(activation.slope_at_zero, abs=2.0**-52)
        assert activation.second(zero)[0] == pytest.approx(
            activation.curvature_at_zero, abs=2.0**-52
        )
    else:
        sides = activation.first(np.array([-1e-300, 1e-300]))
        assert sides.mean() == activation.slope_at_zero
        assert np.ptp(sides) > 0  # else it would be smooth


def test_curvature_bound_is_the_supremum(activation: Activation) -> None:
    step = 1e-3
    z = np.arange(-12, 12 + step, step)
    largest = float(np.abs(activation.second(z)).max())
    if np.isinf(activation.curvature_bound):
        assert float(activation.second(np.array([300.0]))[0]) > 1e100
        return
    assert largest <= activation.curvature_bound * (1 + UNITS * 2.0**-53)
    # At the maximum σ''' = 0: the nearest grid point misses it by at most h²/8 sup|σ''''|, and the
    # fourth derivatives of all functions here are below 10.
    assert largest >= activation.curvature_bound - step**2 / 8 * 10


def test_gap_order(activation: Activation) -> None:
    """σ'(z)/(σ''(0) z) − 1 = O(zᵏ) with k = `gap_order` (theory.md E3).

    The local slope between 2⁻⁶ and 2⁻⁷ is k up to the next order, O(2⁻⁶) ≪ 1/2.
    """
    if activation.gap_order is None:
        assert activation.slope_at_zero != 0 or activation.curvature_at_zero == 0
        return
    z = np.array([2.0**-6, 2.0**-7])
    gaps = np.abs(activation.first(z) / (activation.curvature_at_zero * z) - 1)
    if np.isinf(activation.gap_order):
        assert (gaps == 0).all()
    else:
        assert round(float(np.log2(gaps[0] / gaps[1]))) == activation.gap_order


def test_which_are_inside_the_theorem() -> None:
    inside = {name for name, activation in ACTIVATIONS.items() if activation.inside_theorem}
    assert inside == {"log-cosh", "quadratic", "pseudo-huber", "exp-centred"}
    assert ACTIVATIONS["relu"].assumptions == {
        "smooth": False,
        "no slope at zero": False,
        "unit curvature at zero": False,
    }
    assert not ACTIVATIONS["softplus-centred"].assumptions["unit curvature at zero"]


def test_names() -> None:
    assert all(name == activation.name for name, activation in ACTIVATIONS.items())
    assert set(ACTIVATIONS) == set(LayerwiseTrainer.activations)
    assert set(ACTIVATIONS) == set(TEXTBOOK), "each is compared with its textbook formula"
    assert set(STANDARD_ACTIVATIONS) <= set(ACTIVATIONS)
    assert get_activation("LogCosh") is ACTIVATIONS["log-cosh"]
    assert get_activation(ACTIVATIONS["relu"]) is ACTIVATIONS["relu"]
    with pytest.raises(InputError, match=r"activation='rellu': .* .did you mean 'relu'"):
        get_activation("rellu")
    with pytest.raises(InputError, match="expected an Activation or a name"):
        get_activation(np.tanh)  # type: ignore[arg-type]
