"""The Torch backend on the device that MIMVERIFY_DEVICE names: under `make gpu` a card."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import pytest

from mimverify import InputError, LayerwiseTrainer, MultiIndexModel
from mimverify.backends import get_backend
from mimverify.designs import ModelRows, StoredDesign, StreamedDesign
from mimverify.trial import exact_step, step_envelope

pytestmark = pytest.mark.cuda
DEVICE = os.environ.get("MIMVERIFY_DEVICE", "cpu")


def problem(n: int, d: int, m: int, dtype: str) -> dict[str, Any]:
    """Arrays of one step: no special structure, so that nothing cancels."""
    rng = np.random.default_rng([n, d, m])
    X = rng.standard_normal((n, d))
    return {
        "W": (rng.standard_normal((m, d)) / np.sqrt(d)).astype(dtype),
        "a": (rng.choice([-1.0, 1.0], m) / m).astype(dtype),
        "b": (rng.standard_normal(m) / 4).astype(dtype),
        "X": X.astype(dtype),
        "y": (X[:, 0] ** 2 - X[:, 1]).astype(dtype),
    }


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("activation", ["log-cosh", "relu", "gelu"])
@pytest.mark.parametrize(("n", "d", "m"), [(700, 33, 6), (2500, 130, 16)])
def test_a_step_keeps_the_rounding_bound(
    n: int, d: int, m: int, activation: str, dtype: str
) -> None:
    arrays = problem(n, d, m, dtype)
    settings: dict[str, Any] = {"eta": 0.7, "beta": 0.1, "activation": activation, "loss": "huber"}
    trainer = LayerwiseTrainer(backend="torch", device=DEVICE, dtype=dtype)
    step = trainer.step(**arrays, **settings)
    exact = exact_step(**arrays, **settings)
    assert (np.abs(step - exact) <= step_envelope(**arrays, **settings, dtype=dtype)).all()


def test_a_fit_predicts_as_on_the_cpu() -> None:
    data = MultiIndexModel("cos2z", 48, seed=3).sample(3000)
    fits = [
        LayerwiseTrainer(backend="torch", device=device, dtype="float64", neurons=8, steps=3).fit(
            data.X, data.y
        )
        for device in ("cpu", DEVICE)
    ]
    here, there = (fit.predict(data.X) for fit in fits)
    np.testing.assert_allclose(there, here, rtol=1e-7, atol=1e-9)


def test_two_devices_share_a_process() -> None:
    """Memory that passes reuse is not handed from one device to the other."""
    arrays = problem(600, 20, 4, "float64")
    settings: dict[str, Any] = {
        "eta": 0.5,
        "beta": 0.0,
        "activation": "log-cosh",
        "loss": "squared",
    }
    results = [
        LayerwiseTrainer(backend="torch", device=device, dtype="float64").step(**arrays, **settings)
        for device in ("cpu", DEVICE, "cpu")
    ]
    for result in results[1:]:
        np.testing.assert_allclose(result, results[0], rtol=1e-11, atol=1e-13)


def test_a_streamed_design_is_the_stored_one() -> None:
    backend = get_backend("torch", "float64", DEVICE)
    model = MultiIndexModel("he2", 40, seed=5)
    stored = StoredDesign(model.sample(2100).X, backend)
    V = backend.asarray(np.random.default_rng(1).standard_normal((3, 40)))
    streamed = StreamedDesign(ModelRows(model, 2100), backend)
    np.testing.assert_allclose(
        backend.to_numpy(streamed.project(V)), backend.to_numpy(stored.project(V)), rtol=1e-12
    )


def test_a_device_that_is_not_there_is_refused() -> None:
    with pytest.raises(InputError, match="device='cuda:63'"):
        LayerwiseTrainer(backend="torch", device="cuda:63").fit(np.eye(8), np.arange(8.0))
