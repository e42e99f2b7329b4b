"""Tests of the native library's activations and losses, against 50-digit arithmetic."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import mpmath  # type: ignore[import-untyped]
import numpy as np
import pytest
from numpy.typing import NDArray

from mimverify.native import (
    NATIVE_ACTIVATIONS,
    NATIVE_LOSSES,
    NetworkPass,
    loadable_levels,
    native_library,
    network_features,
    using,
)
from mimverify.network import ACTIVATIONS, LOSSES, get_loss

Array = NDArray[Any]
mp = mpmath.mp.clone()
mp.dps = 50

if not loadable_levels():
    pytest.skip("there is no native library here (no C compiler)", allow_module_level=True)

#: Units of roundoff: each function within 4, and the products and sums around it.
UNITS = 8


def _sigmoid(z: Any) -> Any:
    return 1 / (1 + mp.exp(-z))


def _density(z: Any) -> Any:
    return mp.exp(-(z**2) / 2) / mp.sqrt(2 * mp.pi)


#: σ and σ' in the textbook's words.
TEXTBOOK: dict[str, tuple[Callable[[Any], Any], Callable[[Any], Any]]] = {
    "log-cosh": (lambda z: mp.log(mp.cosh(z)), mp.tanh),
    "quadratic": (lambda z: z**2 / 2, lambda z: z),
    "pseudo-huber": (lambda z: mp.sqrt(1 + z**2) - 1, lambda z: z / mp.sqrt(1 + z**2)),
    "relu": (lambda z: max(z, 0), lambda z: float(z > 0)),
    "softplus": (lambda z: mp.log(1 + mp.exp(z)), _sigmoid),
    "gelu": (lambda z: z * mp.ncdf(z), lambda z: mp.ncdf(z) + z * _density(z)),
    "tanh": (mp.tanh, lambda z: mp.sech(z) ** 2),
    "softplus-centred": (lambda z: mp.log(mp.cosh(z / 2)), lambda z: mp.tanh(z / 2) / 2),
    "gelu-centred": (
        lambda z: z * mp.erf(z / mp.sqrt(2)) / 2,
        lambda z: mp.erf(z / mp.sqrt(2)) / 2 + z * _density(z),
    ),
    "exp-centred": (lambda z: mp.exp(z) - 1 - z, mp.expm1),
}

SIZES = np.concatenate([np.geomspace(1e-8, 30, 120), [0.3465, 0.3467, 0.9999, 1.0, 1.0001, 80.0]])


def arguments(dtype: str) -> Array:
    return np.concatenate([-SIZES, SIZES, [0.0]]).astype(dtype)


@pytest.fixture(params=loadable_levels())
def level(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def slopes(z: Array, activation: str, loss: str, y: Array, **options: Any) -> Array:
    """z_k σ'(z_k) l'(0, y_k): the gradient of a neuron (1, …, 1) on the rows of diag(z)."""
    native = native_library()
    assert native is not None
    one = np.ones(1, z.dtype)
    network = NetworkPass(
        native, np.ones((1, len(z)), z.dtype), one, None,
        activation=activation, loss=loss, cancelling=True, **options,
    )  # fmt: skip
    out = np.empty((1, len(z)), z.dtype)
    network(np.diag(z), y, out)
    return out[0]


@pytest.mark.parametrize("name", NATIVE_ACTIVATIONS)
def test_values(name: str, dtype: str, level: str) -> None:
    z, u = arguments(dtype), float(np.finfo(dtype).eps) / 2
    out = np.empty((len(z), 1))
    with using(level):
        native = native_library()
        assert native is not None
        network_features(native, name, z[:, None], 1, np.zeros(1, dtype), out)
    want = np.array([float(TEXTBOOK[name][0](mp.mpf(float(v)))) for v in z])
    # e^z moves by z units with its argument; beside it, only sizes as in f − y matter.
    near_argument = 1 + (np.abs(z) if name == "exp-centred" else 0)
    assert (
        np.abs(out[:, 0] - want) <= UNITS * u * np.maximum(1, np.abs(want) * near_argument)
    ).all()


@pytest.mark.parametrize("name", NATIVE_ACTIVATIONS)
def test_derivatives_keep_their_relative_accuracy(name: str, dtype: str, level: str) -> None:
    """|error| ≤ UNITS u (|σ'| + |z σ''|), what rounding z would do; absolutely where |z| > 1."""
    z, u = arguments(dtype), float(np.finfo(dtype).eps) / 2
    with using(level):
        got = slopes(z, name, "squared", -np.ones(len(z), dtype))
    exact = np.array([float(TEXTBOOK[name][1](mp.mpf(float(v)))) for v in z])
    second = np.abs(ACTIVATIONS[name].second(z.astype(float)))
    scale = np.where(np.abs(z) > 1, np.maximum(1, np.abs(exact)), np.abs(exact))
    allowed = UNITS * u * np.abs(z) * (scale + np.abs(z) * second) + np.finfo(dtype).tiny
    wrong = np.abs(got - z * exact) > allowed
    assert not wrong.any(), (z[wrong], got[wrong] / z[wrong], exact[wrong])


@pytest.mark.parametrize("delta", [1.0, 0.3, 7.0])
@pytest.mark.parametrize("name", NATIVE_LOSSES)
def test_losses(name: str, delta: float, dtype: str, level: str) -> None:
    if delta != 1.0 and name not in ("huber", "pseudo-huber"):
        pytest.skip("this loss has no δ")
    y = np.concatenate([arguments(dtype), np.array([1e15, -1e25, 0.3, -7.0], dtype)])
    eye = np.ones(len(y), dtype)
    with using(level):
        got = slopes(eye, "quadratic", name, y, delta=delta)
    bound = np.asarray(delta, dtype).astype(float)
    formula: dict[str, Callable[[Any], Any]] = {
        "squared": lambda v: v,
        "l1": mp.sign,
        "huber": lambda v: min(max(v, -bound), bound),
        "pseudo-huber": lambda v: v / mp.sqrt(1 + (v / bound) ** 2),
        "log-cosh": mp.tanh,
    }
    want = np.array([float(formula[name](mp.mpf(-float(v)))) for v in y])
    u = float(np.finfo(dtype).eps) / 2
    assert (np.abs(got - want) <= UNITS * u * np.abs(want)).all()


def test_what_is_not_a_number_stays_so(dtype: str, level: str) -> None:
    bad = np.array([np.nan, np.inf, -np.inf, 1.0], dtype)
    with using(level):
        for name in NATIVE_LOSSES:
            one = np.ones(1, dtype)
            for k in range(4):
                got = slopes(one, "quadratic", name, bad[k : k + 1])
                with np.errstate(all="ignore"):
                    want = get_loss(name).derivative(np.zeros(1, dtype), bad[k : k + 1])
                np.testing.assert_array_equal(np.isnan(got), np.isnan(want), name)
                np.testing.assert_array_equal(np.isinf(got), np.isinf(want), name)
        for name in NATIVE_ACTIVATIONS:
            native, out = native_library(), np.empty((4, 1))
            assert native is not None
            network_features(native, name, bad[:, None], 1, np.zeros(1, dtype), out)
            with np.errstate(all="ignore"):
                want = ACTIVATIONS[name].value(bad)
            np.testing.assert_array_equal(np.isfinite(out[:, 0]), np.isfinite(want), name)
            assert np.isnan(out[0, 0]), name


def test_no_other_names_are_in_c() -> None:
    assert set(NATIVE_ACTIVATIONS) <= set(ACTIVATIONS)
    assert set(NATIVE_LOSSES) <= set(LOSSES)
