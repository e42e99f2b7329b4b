"""Tests of `mimverify.network.losses` and of the symmetric initialisation beside them."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from mimverify.network import (
    LOSSES,
    Loss,
    Network,
    get_loss,
    huber,
    pseudo_huber,
    symmetric_start,
)
from mimverify.support.errors import InputError
from mimverify.training import LayerwiseTrainer
from mimverify.trial import STANDARD_LOSSES
from mimverify.trial.reference.oracle import ORACLE_LOSSES

Array = NDArray[Any]
SPECS = ("squared", "l1", "huber", "huber:0.3", "pseudo-huber", "pseudo-huber:2.5", "log-cosh")

#: Units of roundoff for formulas of at most six operations, a library function counted twice.
UNITS = 8


def delta_of(spec: str) -> float:
    return float(spec.partition(":")[2] or 1)


def textbook(spec: str, u: Array) -> Array:
    """l as a function of u = f − y, in extended precision where rounding would matter."""
    u, delta = np.abs(u.astype(np.longdouble)), np.longdouble(delta_of(spec))
    name = spec.partition(":")[0]
    value = {
        "squared": u**2 / 2,
        "l1": u,
        "huber": np.where(u <= delta, u**2 / 2, delta * u - delta**2 / 2),
        "pseudo-huber": delta**2 * (np.sqrt(1 + (u / delta) ** 2) - 1),
        "log-cosh": np.logaddexp(u, -u) - np.log(np.longdouble(2)),
    }[name]
    return np.asarray(value, dtype=np.float64)


@pytest.fixture(params=SPECS)
def spec(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def points() -> tuple[Array, Array]:
    """Outputs and labels with differences of every size, none at the kinks of l1 and Huber."""
    rng = np.random.default_rng(0)
    f, y = rng.standard_normal((2, 400))
    f[:100] *= 30
    return f, y


def test_values_are_the_textbook_s(spec: str, library: str) -> None:
    f, y = points()
    loss = get_loss(spec)
    assert loss.value is not None
    arrays = (f, y) if library == "numpy" else (torch.tensor(f), torch.tensor(y))
    # u²/2 and its like double the relative error of u; below 1 the error is absolute.
    expected = textbook(spec, f - y)
    error = np.abs(np.asarray(loss.value(*arrays)) - expected)
    assert (error <= UNITS * 2.0**-53 * np.maximum(1, np.abs(expected))).all()


def test_derivative_of_the_value(spec: str) -> None:
    """Automatic differentiation of `value`; all derivatives here are O(max(1, |u|))."""
    f, y = (torch.tensor(v) for v in points())
    loss = get_loss(spec)
    assert loss.value is not None
    f.requires_grad_()
    (gradient,) = torch.autograd.grad(loss.value(f, y).sum(), f)
    derivative = loss.derivative(f, y).detach()
    scale = torch.clamp((f - y).abs().detach(), min=1)
    assert ((gradient - derivative).abs() <= 2 * UNITS * 2.0**-53 * scale).all()


def test_derivative_keeps_library_dtype_and_broadcasts(spec: str, library: str, dtype: str) -> None:
    f, y = (v.astype(dtype) for v in points())
    derivative = get_loss(spec).derivative
    if library == "torch":
        result = derivative(torch.tensor(f)[:, None], torch.tensor(y)[:3])
        assert result.dtype == getattr(torch, dtype)
        result = result.numpy()
    else:
        result = derivative(f[:, None], y[:3])
        assert result.dtype == np.dtype(dtype)
    assert result.shape == (400, 3)
    exact = get_loss(spec).derivative(f.astype(float)[:, None], y[:3].astype(float))
    # f − y rounds once, relative to |f − y|, which the slope (≤ 1) passes on.
    scale = np.maximum(1, np.abs(f[:, None] - y[:3]))
    assert (np.abs(result - exact) <= UNITS * np.finfo(dtype).eps / 2 * scale).all()


@pytest.mark.parametrize("name", LOSSES)
def test_the_oracle_s_derivative(name: str) -> None:
    u = np.concatenate([np.linspace(-3, 3, 601), [1e-9, -1e-9, 1e4, -1e4]])
    got, expected = get_loss(name).derivative(u, 0 * u), ORACLE_LOSSES[name].derivative(u)
    assert (np.abs(got - expected) <= UNITS * 2.0**-53 * np.abs(expected)).all()


def test_label_transform(spec: str, library: str, dtype: str) -> None:
    y = points()[1].astype(dtype)
    loss = get_loss(spec)
    labels: Any = y if library == "numpy" else torch.tensor(y)
    for constant in (0.0, 0.75):
        T = loss.label_transform(labels, constant)
        assert str(T.dtype).endswith(dtype)
        expected = -loss.derivative(np.full_like(y, constant), y)
        # Both are the same formula; the libraries' functions differ by UNITS of values near 1.
        tolerance = UNITS * np.finfo(dtype).eps / 2 * np.maximum(1, np.abs(expected))
        assert (np.abs(np.asarray(T) - expected) <= tolerance).all()
    if spec == "squared":
        np.testing.assert_array_equal(np.asarray(loss.label_transform(labels)), y)


# --- declared properties --------------------------------------------------------------


def test_lipschitz_flag(spec: str) -> None:
    """Bounded by δ (1 for l1, log cosh) and reaching it; squared grows without bound."""
    loss = get_loss(spec)
    far = np.array([-1e6, 1e6])
    slopes = loss.derivative(far, 0 * far)
    if not loss.lipschitz:
        assert spec == "squared"
        np.testing.assert_array_equal(slopes, far)
        return
    # Pseudo-Huber: |u|/√(1 + (u/δ)²) = δ (1 − (δ/u)²/2 + …), within 1e-11 of δ here.
    np.testing.assert_allclose(slopes, [-delta_of(spec), delta_of(spec)], rtol=1e-11)
    u = np.linspace(-50, 50, 10_001)
    assert np.abs(loss.derivative(u, 0 * u)).max() <= delta_of(spec) * (1 + UNITS * 2.0**-53)


def test_curvature_bound_smoothness_and_convexity(spec: str) -> None:
    loss = get_loss(spec)
    h = 2.0**-10
    u = np.arange(-4, 4 + h, h)
    slopes = loss.derivative(u, 0 * u)
    assert (np.diff(slopes) >= 0).all()
    quotients = np.diff(slopes) / h
    if loss.smooth:
        # Rounding of l' (≤ 4 here) over h; near 0 all but l1 have curvature 1, up to h²/2.
        rounding = 2 * UNITS * 2.0**-53 * 4 / h
        assert quotients.max() <= loss.curvature_bound + rounding
        assert quotients.max() >= loss.curvature_bound - 1e-4 - h**2 / delta_of(spec) ** 2
    else:
        assert spec == "l1"
        assert loss.curvature_bound == 0
        jump = loss.derivative(np.array([1e-300, -1e-300, 0.0]), np.zeros(3))
        assert jump.tolist() == [1.0, -1.0, 0.0]
        assert (quotients != 0).sum() == 2  # into zero and out of it


@given(st.floats(1e-6, 1e6), st.floats(-1e3, 1e3))
def test_delta_sets_the_scale(delta: float, u: float) -> None:
    """l_δ'(δ u) = δ l_1'(u), to a few units: u/δ and the product round once each."""
    for family in (huber, pseudo_huber):
        wide = family(delta).derivative(np.array([delta * u]), np.zeros(1))[0]
        unit = family().derivative(np.array([u]), np.zeros(1))[0]
        assert abs(wide - delta * unit) <= UNITS * 2.0**-53 * delta * max(abs(unit), 1e-300)


# --- names ----------------------------------------------------------------------------


@given(st.floats(1e-300, 1e300))
def test_the_name_gives_the_loss_back(delta: float) -> None:
    u = np.array([-3.0, 0.4, 1.0, 7.0]) * delta
    for name, family in (("huber", huber), ("pseudo-huber", pseudo_huber)):
        loss = get_loss(f"{name}:{delta!r}")
        assert loss.name == family(delta).name
        with np.errstate(over="ignore"):  # (u/δ)² of a u chosen for another δ
            np.testing.assert_array_equal(
                get_loss(loss.name).derivative(u, 0 * u), family(delta).derivative(u, 0 * u)
            )


def test_names() -> None:
    assert set(LOSSES) == set(LayerwiseTrainer.losses)
    assert set(LOSSES) == {spec.partition(":")[0] for spec in SPECS}, "tried by these tests"
    assert set(STANDARD_LOSSES) <= set(LOSSES)
    for name in SPECS:
        assert get_loss(name).name == name
    assert get_loss("huber:1.0").name == "huber"
    assert get_loss("Pseudo_Huber:0.5").name == "pseudo-huber:0.5"
    loss = get_loss("huber")
    assert get_loss(loss) is loss


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("hubber", "loss='hubber': expected one of squared, l1, huber, pseudo-huber, log-cosh "
         "(did you mean 'huber'?)"),
        ("", "loss=''"),
        ("huber:0", "expected a positive number after the colon"),
        ("huber:-1", "expected a positive number after the colon"),
        ("huber:nan", "expected a positive number after the colon"),
        ("pseudo-huber:inf", "expected a positive number after the colon"),
        ("huber:wide", "expected a positive number after the colon"),
        ("squared:2", "squared takes no parameter"),
        ("no_such_module:loss", "neither a named loss nor importable"),
        ("math:no_such_attribute", "neither a named loss nor importable"),
        ("..relative:loss", "neither a named loss nor importable"),
        ("math:pi", "expected a Loss or a callable"),
        (None, "expected a Loss or a name"),
        (np.sign, "expected a Loss or a name"),
    ],
)  # fmt: skip
def test_losses_refused(spec: Any, message: str) -> None:
    with pytest.raises(InputError, match=re.escape(message)) as caught:
        get_loss(spec)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("delta", [0, -1.0, np.nan, np.inf, "1", True])
def test_delta_refused(delta: Any) -> None:
    for family in (huber, pseudo_huber):
        with pytest.raises(InputError, match="delta="):
            family(delta)


USER_LOSSES = """
from mimverify import Loss

def quartic(f, y):
    return (f - y) ** 3

tilted = Loss("other name", lambda f, y: 2 * (f - y), lipschitz=False, curvature_bound=2.0)

class nested:
    inner = staticmethod(quartic)

number = 3
"""


def test_user_losses(user_module: Callable[[str], str]) -> None:
    module = user_module(USER_LOSSES)
    for attribute in ("quartic", "nested.inner"):
        loss = get_loss(f"{module}:{attribute}")
        assert loss.name == f"{module}:{attribute}"
        assert loss.derivative(np.array([3.0]), np.array([1.0])) == [8.0]
        assert (loss.value, loss.lipschitz, loss.curvature_bound) == (None, False, np.inf)
        np.testing.assert_array_equal(loss.label_transform(np.array([2.0, -1.0])), [8.0, -1.0])
    tilted = get_loss(f"{module}:tilted")
    assert tilted.name == f"{module}:tilted"  # its own name would not find it again
    assert tilted.curvature_bound == 2.0
    with pytest.raises(InputError, match="expected a Loss or a callable"):
        get_loss(f"{module}:number")
    assert isinstance(tilted, Loss)


# --- initialisation -------------------------------------------------------------------


@pytest.mark.parametrize("neurons", [2, 6])
def test_symmetric_start(neurons: int, dtype: str) -> None:
    network = symmetric_start(neurons, 5, np.random.default_rng(0), norm=0.3, dtype=dtype)
    half = neurons // 2
    assert {v.dtype.name for v in (network.W, network.a, network.b)} == {dtype}
    np.testing.assert_array_equal(network.W[:half], network.W[half:])
    np.testing.assert_array_equal(network.a[:half], -network.a[half:])
    np.testing.assert_array_equal(np.abs(network.a), np.full(neurons, 1 / neurons, dtype))
    np.testing.assert_array_equal(network.b, np.zeros(neurons))
    # Normalising costs d + 3 roundings, the cast one more of its dtype.
    norms = np.linalg.norm(network.W.astype(float), axis=1)
    np.testing.assert_allclose(norms, 0.3, rtol=10 * float(np.finfo(dtype).eps))
    assert len(np.unique(network.W, axis=0)) == half


def test_symmetric_start_scale_and_refusals() -> None:
    rng = np.random.default_rng(0)
    assert symmetric_start(4, 3, rng, output_scale=2.0).a.tolist() == [2, 2, -2, -2]
    cases: list[tuple[dict[str, Any], str]] = [
        ({"neurons": 3}, "neurons=3: the symmetric start needs an even number"),
        ({"neurons": 0}, "neurons=0"),
        ({"norm": 0.0}, "norm=0.0"),
        ({"norm": np.inf}, "norm=inf"),
        ({"output_scale": -1}, "output_scale=-1"),
    ]
    for options, message in cases:
        arguments = {"neurons": 4, **options}
        with pytest.raises(InputError, match=re.escape(message)):
            symmetric_start(arguments.pop("neurons"), 3, rng, **arguments)


def test_networks_are_checked() -> None:
    network = Network.check([[1, 2], [3, 4]], [1, 2], [0, 0], dim=2)
    assert network.W.dtype == network.a.dtype == np.float64
    narrow = Network.check(np.ones((2, 3), np.float32), np.ones(2), np.ones(2), dim=3)
    assert narrow.a.dtype == narrow.b.dtype == np.float32
    for W, a, b, message in [
        (np.ones((2, 2)), np.ones(2), np.ones(2), "W has shape (2, 2): expected (*, 3)"),
        (np.ones((2, 3)), np.ones(3), np.ones(2), "a has shape (3,): expected (2)"),
        (np.ones((2, 3)), np.ones(2), np.ones((2, 1)), "b has shape (2, 1): expected (2)"),
        (np.ones((2, 3)), [1, np.nan], np.ones(2), "a[1]=nan"),
    ]:
        with pytest.raises(InputError, match=re.escape(message)):
            Network.check(W, a, b, dim=3)
