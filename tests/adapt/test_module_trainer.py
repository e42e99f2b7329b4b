"""Torch modules as trainers."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import mimverify
from mimverify import InputError, adapt
from mimverify.network import ACTIVATIONS, LOSSES
from mimverify.trial.reference.oracle import exact_step

OPTIONS: dict[str, Any] = {"eta": 0.5, "beta": 0.25, "activation": "tanh", "loss": "huber"}


def make_module(d: int, m: int, activation: nn.Module) -> nn.Module:
    return nn.Sequential(nn.Linear(d, m), activation, nn.Linear(m, 1))


def problem(dtype: str = "float64", n: int = 20, d: int = 5, m: int = 4) -> list[np.ndarray]:
    rng = np.random.default_rng(3)
    shapes = ((m, d), (m,), (m,), (n, d), (n,))
    return [rng.standard_normal(shape).astype(dtype) for shape in shapes]


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_a_step_is_that_of_gradient_descent(activation: str, loss: str, dtype: str) -> None:
    arrays = problem(dtype)
    before = copy.deepcopy(arrays)
    options = OPTIONS | {"activation": activation, "loss": loss}
    stepped = adapt.torch(make_module).step(*arrays, **options)
    exact = exact_step(*[array.astype("float64") for array in arrays], **options)
    assert stepped.dtype == dtype
    near = 1e-5 if dtype == "float32" else 1e-12  # some roundings of numbers of order one
    np.testing.assert_allclose(stepped, exact, rtol=near, atol=near)
    assert all(np.array_equal(*pair) for pair in zip(arrays, before, strict=True))


def test_a_trajectory_keeps_the_state_of_its_optimiser_and_steps_do_not() -> None:
    def momentum(parameters: list[nn.Parameter], lr: float, weight_decay: float) -> object:
        return torch.optim.SGD(parameters, lr=lr, weight_decay=weight_decay, momentum=0.9)

    trainer = adapt.torch(make_module, momentum)  # type: ignore[arg-type]
    W, *others = problem()
    path = trainer.trajectory(W, *others, steps=3, **OPTIONS)
    assert np.array_equal(path[0], W)
    assert np.array_equal(path[1], trainer.step(path[0], *others, **OPTIONS))
    assert not np.allclose(path[2], trainer.step(path[1], *others, **OPTIONS))
    assert np.array_equal(path, trainer.trajectory(W, *others, steps=3, **OPTIONS))


class Transposed(nn.Module):
    """Without `nn.Linear`, its weights the other way round."""

    def __init__(self, d: int, m: int) -> None:
        super().__init__()
        self.U = nn.Parameter(torch.zeros(d, m))
        self.shift = nn.Parameter(torch.zeros(m))
        self.head = nn.Parameter(torch.zeros(m, 1))

    def forward(self, X: torch.Tensor) -> torch.Tensor:
        return torch.tanh(X @ self.U + self.shift) @ self.head / len(self.head)


@pytest.mark.parametrize("names", [None, {"W": "U", "b": "shift", "a": "head"}])
def test_layers_are_found_by_shape_or_name_and_scales_are_undone(
    names: dict[str, str] | None,
) -> None:
    options: dict[str, Any] = {"activations": {"tanh": torch.tanh}, "parameters": names}
    with pytest.raises(InputError, match=r"0\.25 times"):
        adapt.torch(Transposed, **options).step(*problem(), **OPTIONS)
    trainer = adapt.torch(Transposed, output_scale=lambda m: 1 / m, **options)
    exact = exact_step(*problem(), **OPTIONS)
    np.testing.assert_allclose(trainer.step(*problem(), **OPTIONS), exact, rtol=1e-12)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda d, m, s: nn.Linear(d, 1), "two linear layers"),
        (lambda d, m, s: nn.Sequential(nn.Linear(d, m, bias=False), s, nn.Linear(m, 1)), "no bias"),
        (
            lambda d, m, s: nn.Sequential(nn.Linear(d, m), nn.PReLU(), nn.Linear(m, 1)),
            "in neither of the two layers",
        ),
        (lambda d, m, s: nn.Sequential(nn.Linear(d, 2 * m), s, nn.Linear(2 * m, 1)), "expected"),
        (lambda d, m, s: nn.Sequential(nn.Linear(d, m), s, nn.Linear(m, 1), nn.Flatten(0)), ""),
        (lambda d, m, s: "no module", "expected an nn.Module"),
    ],
)
def test_a_module_of_another_form_is_refused(make: Callable[..., nn.Module], words: str) -> None:
    trainer = adapt.torch(make)
    if not words:
        assert trainer.step(*problem(), **OPTIONS).shape == (4, 5)
        return
    with pytest.raises(InputError, match=words):
        trainer.step(*problem(), **OPTIONS)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"make_module": 3}, "expected a function"),
        ({"make_module": Transposed}, "takes no third argument"),
        ({"activations": "relu"}, "expected names"),
        ({"activations": ["rely"]}, "did you mean 'relu'"),
        ({"losses": {"huber": 1}}, "expected a function"),
        ({"device": "nowhere"}, "Torch cannot use it"),
    ],
)
def test_wrong_arguments_are_refused(given: dict[str, object], words: str) -> None:
    with pytest.raises(InputError, match=words):
        adapt.torch(**({"make_module": make_module} | given))  # type: ignore[arg-type]


def test_a_loss_of_another_scale_is_refused() -> None:
    trainer = adapt.torch(make_module, losses={"squared": nn.MSELoss()})
    with pytest.raises(InputError, match="2 times"):
        trainer.step(*problem(), **OPTIONS | {"loss": "squared"})


def test_adamw_fails_by_its_name_and_gradient_descent_passes() -> None:
    for optimiser, status in ((torch.optim.SGD, "passed"), (torch.optim.AdamW, "failed")):
        trainer = adapt.torch(make_module, optimiser)
        (verdict,) = mimverify.check(trainer, claims=["gradient-step"]).trainers[0].verdicts
        assert verdict.status == status
    assert "AdamW in place of gradient descent" in str(verdict.to_json())
