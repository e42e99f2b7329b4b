"""Losses and updates written in JAX as trainers."""

from __future__ import annotations

import sys
from typing import Any, NamedTuple

import numpy as np
import pytest

from mimverify import InputError, adapt
from mimverify.network import ACTIVATIONS, LOSSES
from mimverify.trial.reference.oracle import exact_step

OPTIONS: dict[str, Any] = {"eta": 0.5, "beta": 0.25, "activation": "tanh", "loss": "huber"}


def loss_fn(W: Any, a: Any, b: Any, X: Any, y: Any, activation: Any, loss: Any) -> Any:
    return loss(activation(X @ W.T + b) @ a, y).mean()


def problem() -> list[np.ndarray]:
    rng = np.random.default_rng(3)
    return [rng.standard_normal(shape) for shape in ((4, 5), (4,), (4,), (20, 5), (20,))]


@pytest.mark.parametrize(
    ("activation", "loss"),
    [(name, "huber") for name in ACTIVATIONS] + [("tanh", name) for name in LOSSES],
)
def test_a_step_is_that_of_gradient_descent(activation: str, loss: str) -> None:
    pytest.importorskip("jax", reason="needs the extra jax")
    options = OPTIONS | {"activation": activation, "loss": loss}
    stepped = adapt.jax(loss_fn).step(*problem(), **options)
    np.testing.assert_allclose(stepped, exact_step(*problem(), **options), rtol=1e-11, atol=1e-13)


def test_a_step_is_compiled_once_for_each_shape() -> None:
    pytest.importorskip("jax", reason="needs the extra jax")
    traced = []

    def update(W, a, b, X, y, eta, beta, activation, loss):
        traced.append(X.shape)
        return (1 - eta * beta) * W

    trainer = adapt.jax(update=update)
    W, *others = problem()
    path = trainer.trajectory(W, *others, steps=3, **OPTIONS)
    np.testing.assert_allclose(path[3], (1 - 0.125) ** 3 * W)
    trainer.step(W, *others, **OPTIONS | {"eta": 0.1})
    assert traced == [(20, 5)]
    trainer.step(W.astype("float32"), *[each.astype("float32") for each in others], **OPTIONS)
    assert len(traced) == 2


class Doubling(NamedTuple):
    """The form of Optax: each step is twice as long as the one before."""

    eta: Any
    beta: Any

    def init(self, W: Any) -> Any:
        return self.eta

    def update(self, gradient: Any, state: Any, W: Any) -> tuple[Any, Any]:
        return -state * (gradient + self.beta * W), 2 * state


def test_an_optimiser_keeps_its_state_along_a_trajectory() -> None:
    pytest.importorskip("jax", reason="needs the extra jax")
    W, *others = problem()
    path = adapt.jax(loss_fn, make_optimiser=Doubling).trajectory(W, *others, steps=2, **OPTIONS)
    first = exact_step(W, *others, **OPTIONS)
    second = exact_step(first, *others, **OPTIONS | {"eta": 1.0})
    np.testing.assert_allclose(path[1:], [first, second], rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({}, "expected one of them"),
        ({"loss_fn": loss_fn, "update": loss_fn}, "expected one of them"),
        ({"update": loss_fn, "make_optimiser": Doubling}, "beside loss_fn"),
        ({"loss_fn": 3}, "expected a function"),
    ],
)
def test_wrong_arguments_are_refused(given: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        adapt.jax(**given)


def test_without_jax_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jax", None)
    with pytest.raises(InputError, match=r"mimverify\[jax\]"):
        adapt.jax(loss_fn)
