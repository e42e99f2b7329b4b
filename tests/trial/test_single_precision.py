"""float32 arithmetic is named where it is, and only there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from mimverify.support.arrays import Float64Array
from mimverify.trial import Session, load_claims
from mimverify.trial.diagnosis.catalogue import RULES
from mimverify.trial.diagnosis.matching import match
from mimverify.trial.diagnosis.rules.single_precision import FLOAT32
from mimverify.trial.diagnosis.trainer_step import Step
from mimverify.trial.reference.oracle import exact_step
from mimverify.zoo import Correct

RUNS = 60  # problems for each way to compute
Arrays = dict[str, Float64Array]


def problem(seed: int, least: int = 1) -> tuple[Arrays, dict[str, float]]:
    """Arrays of several sizes and scales; m d is at least `least`."""
    rng = np.random.default_rng(seed)
    n, d, m = int(rng.integers(5, 200)), int(rng.integers(3, 30)), int(rng.integers(2, 12))
    while m * d < least:
        d, m = d + 5, m + 2
    shapes = {"W": (m, d), "a": (m,), "b": (m,), "X": (n, d), "y": (n,)}
    arrays = {name: rng.standard_normal(shape) for name, shape in shapes.items()}
    arrays["W"] *= 10.0 ** rng.uniform(-2, 0) / np.sqrt(d)
    arrays["a"] /= m
    return arrays, {"eta": float(rng.uniform(0.2, 3)), "beta": float(rng.uniform(0, 0.5))}


def named(arrays: Arrays, rates: dict[str, float], got: Any) -> bool:
    fields: dict[str, Any] = {**arrays, **rates, "activation": "log-cosh", "loss": "squared"}
    step = Step(**fields, got=np.asarray(got, dtype=np.float64), dtype="float64")
    found = match([step], [RULES[FLOAT32]])
    return found is not None and bool(found.matches)


def single(arrays: Arrays) -> dict[str, Any]:
    return {name: value.astype(np.float32) for name, value in arrays.items()}


def gradient(W, a, b, X, y):
    P = X @ W.T + b
    residual = np.log(np.cosh(P)) @ a - y
    return (residual[:, None] * np.tanh(P) * a).T @ X / np.asarray(len(y), dtype=X.dtype)


def all_in_numpy(arrays, eta, beta):
    W, eta, beta = single(arrays)["W"], np.float32(eta), np.float32(beta)
    return W - eta * (gradient(**single(arrays)) + beta * W)


def backwards(arrays, eta, beta):
    """Another order of summation, row by row."""
    s = single(arrays)
    total = np.zeros_like(s["W"])
    for i in reversed(range(len(s["y"]))):
        total += gradient(**s | {"X": s["X"][i : i + 1], "y": s["y"][i : i + 1]})
    return s["W"] - np.float32(eta) * (total / np.float32(len(s["y"])) + np.float32(beta) * s["W"])


def all_in_torch(arrays, eta, beta):
    s = {name: torch.tensor(value) for name, value in single(arrays).items()}
    W = s["W"].requires_grad_()
    f = torch.log(torch.cosh(s["X"] @ W.T + s["b"])) @ s["a"]
    ((f - s["y"]).square().mean() / 2).backward()
    torch.optim.SGD([W], lr=eta, weight_decay=beta).step()
    return W.detach().numpy()


def gradient_alone(arrays, eta, beta):
    """The weights and the update are in float64."""
    W = arrays["W"]
    return W - eta * (gradient(**single(arrays)).astype(np.float64) + beta * W)


SINGLE = (all_in_numpy, backwards, all_in_torch, gradient_alone)


@pytest.mark.parametrize("compute", SINGLE)
def test_float32_is_recognised_in_any_order_of_summation(compute: Callable[..., Any]) -> None:
    """Of arrays that are all rounded: 240 computations, all of them."""
    missed = [
        seed for seed in range(RUNS) if not named(*(p := problem(seed)), compute(p[0], **p[1]))
    ]
    assert missed == []


def products_alone(arrays, eta, beta):
    """X Wᵀ in float32, the rest in float64: no number returned is a float32 one."""
    W, a, b, X, y = (arrays[name] for name in ("W", "a", "b", "X", "y"))
    P = (X.astype(np.float32) @ W.astype(np.float32).T).astype(np.float64) + b
    residual = np.log(np.cosh(P)) @ a - y
    return W - eta * ((residual[:, None] * np.tanh(P) * a).T @ X / len(y) + beta * W)


def test_float32_products_are_recognised_by_their_errors() -> None:
    """With many entries; with few the errors are too few to tell, and nothing is said."""
    found = [
        named(*(p := problem(seed, 100)), products_alone(p[0], **p[1])) for seed in range(RUNS)
    ]
    assert np.mean(found) >= 0.8


def longer(arrays, eta, beta, size):
    return (1 + size) * right(arrays, eta, beta) - size * arrays["W"]


def right(arrays, eta, beta):
    return exact_step(**arrays, eta=eta, beta=beta, activation="log-cosh", loss="squared")


def noisy(arrays, eta, beta, size):
    rng = np.random.default_rng(7)
    W = right(arrays, eta, beta)
    return W * (1 + size * rng.uniform(-1, 1, W.shape))


def shifted_labels(arrays, eta, beta, size):
    return right(arrays | {"y": arrays["y"] * (1 + size)}, eta, beta)


def clipped_preactivations(arrays, eta, beta, size):
    W, a, X, y = (arrays[name] for name in ("W", "a", "X", "y"))
    P = X @ W.T + arrays["b"]
    P = np.where(P > 1, P * (1 + size), P)
    residual = np.log(np.cosh(P)) @ a - y
    return W - eta * ((residual[:, None] * np.tanh(P) * a).T @ X / len(y) + beta * W)


def one_large_row(arrays, eta, beta, size):
    """One label dominates the gradient: all errors have the shape of its term."""
    arrays["y"][0] = 1e3
    return longer(arrays, eta, beta, size)


@pytest.mark.parametrize(
    "trainer", [longer, noisy, shifted_labels, clipped_preactivations, one_large_row]
)
def test_small_errors_of_another_origin_are_not_called_float32(
    trainer: Callable[..., Float64Array],
) -> None:
    """600 of them, of relative size 1e-9 and 3e-8, within the bound of float32."""
    called = [
        (seed, size)
        for seed in range(RUNS)
        for size in (1e-9, 3e-8)
        if named(*(p := problem(seed)), trainer(p[0], **p[1], size=size))
    ]
    assert called == []


def test_a_wrong_step_in_float32_is_not_called_float32() -> None:
    """Results beyond the bound of float32 would fail as float32 as well."""
    for seed in range(RUNS):
        arrays, rates = problem(seed)
        assert not named(arrays, rates, all_in_numpy(arrays, 1.01 * rates["eta"], rates["beta"]))


def test_right_weights_that_are_rounded_are_not_called_float32_arithmetic() -> None:
    for seed in range(RUNS):
        arrays, rates = problem(seed, 20)
        assert not named(arrays, rates, right(arrays, **rates).astype(np.float32))


class Single(Correct):
    """It holds everything in float32, the start included."""

    def trajectory(self, W0, a, b, X, y, **options):
        arrays = (array.astype(np.float32) for array in (W0, a, b, X, y))
        return super().trajectory(*arrays, **options)


class Rounds(Correct):
    """It computes in float64 and returns float32."""

    def trajectory(self, *arrays, **options):
        return super().trajectory(*arrays, **options).astype(np.float32)


class WrongInSingle(Single):
    """Declared or not, its gradient is too long."""

    def update(self, t, W, G, task):
        return super().update(t, W, np.float32(1.01) * G, task)


@pytest.mark.parametrize(
    ("trainer", "named", "advised"),
    [
        (Single, "behaves like: float32 arithmetic; if it is meant, declare", True),
        (Rounds, "behaves like: every weight rounded to float32", False),
        (WrongInSingle, "behaves like: every weight rounded to float32", False),
    ],
)
def test_a_trainer_that_rounds_the_start_is_told_so(
    trainer: type[Correct], named: str, advised: bool
) -> None:
    with Session(trainer, claims=["trajectory"], profile="quick") as session:
        verdict = session.verdict(load_claims()["trajectory"])
    assert named in verdict.message
    assert ("declare dtypes" in verdict.message) is advised
