"""The JAX backend: compiled passes agree with NumPy's, and leave JAX as it was."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mimverify.backends import Backend, get_backend, jax_backend
from mimverify.designs import LazyGaussianDesign, StoredDesign
from mimverify.designs.file_rows import NpyRows
from mimverify.designs.streamed import StreamedDesign
from mimverify.network import Loss, get_activation, get_loss
from mimverify.network.activations import Activation
from mimverify.support.errors import InputError
from mimverify.training import LayerwiseTrainer, Objective
from mimverify.training.residuals import Residuals

jax = pytest.importorskip("jax", reason="the JAX backend needs jax: pip install 'mimverify[jax]'")

N, D, M = 700, 20, 6


@pytest.fixture(params=["whole", "padded", "small"])
def path(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """All ways of a pass on the same numbers: one program in a block's own shape, or in a padded
    one, or few programs for all small blocks; over several blocks."""
    most = 1 << 40
    monkeypatch.setattr(jax_backend, "_SMALL_PRODUCT", most if request.param == "small" else 0)
    monkeypatch.setattr(jax_backend, "_SMALL_BLOCK", 0 if request.param == "whole" else most)
    monkeypatch.setattr(jax_backend, "_BLOCK_BYTES", 1)
    monkeypatch.setattr(jax_backend, "_MIN_ROWS", 128)


def arrays(dtype: str) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(3)
    shapes: dict[str, Any] = {"X": (N, D), "y": N, "W": (M, D), "a": M, "b": M, "theta": D}
    return {name: rng.standard_normal(shape).astype(dtype) for name, shape in shapes.items()}


def result(
    name: str,
    dtype: str,
    activation: Activation | str,
    loss: Loss | str,
    *,
    cancelling: bool = False,
    linear: bool = False,
) -> np.ndarray:
    """Σ_i ρ_i x_iᵀ of a network by that backend."""
    backend, given = get_backend(name, dtype), arrays(dtype)
    y, W, a, b, theta = (backend.asarray(given[key]) for key in ("y", "W", "a", "b", "theta"))
    objective = Objective(get_loss(loss), y, 0.3, 0.1, theta if linear else None)
    rho = Residuals(objective, a, b, get_activation(activation), backend, cancelling=cancelling)
    V = backend.asarray(np.vstack([given["W"], given["theta"]])) if linear else W
    return backend.to_numpy(StoredDesign(given["X"], backend).one_pass(V, rho))


def agree(dtype: str, activation: Any, loss: Any, **options: bool) -> None:
    expected, found = (
        result(name, dtype, activation, loss, **options) for name in ("numpy", "jax")
    )
    assert found.dtype == dtype
    # Sums of N terms of the size of the largest, rounded to u each.
    tolerance = N**0.5 * 4 * np.finfo(dtype).eps * np.abs(expected).max()
    np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance)


@pytest.mark.usefixtures("path")
@pytest.mark.parametrize(
    ("options", "activation", "loss"),
    [
        ({}, "log-cosh", "huber"),
        ({"cancelling": True}, "pseudo-huber", "squared"),
        ({"linear": True}, "gelu", "log-cosh"),
        ({"linear": True, "cancelling": True}, "gelu-centred", "pseudo-huber:0.5"),
    ],
)
def test_a_pass_is_that_of_numpy(
    options: dict[str, bool], activation: str, loss: str, dtype: str
) -> None:
    agree(dtype, activation, loss, **options)


OWN = Activation("own", "1/z", lambda z: 1 / z, lambda z: -1 / (z * z), lambda z: z,
                 "odd", False, 0.0, 0.0, 0.0, None)  # fmt: skip


@pytest.mark.usefixtures("path")
def test_what_is_padded_may_be_infinite() -> None:
    """σ(0) is no number of the problem, nor l'(f, 0): no row or neuron there has them."""
    agree("float64", OWN, Loss("own", lambda f, y: (f - y) / y))


def _in_place(f: Any, y: Any) -> Any:
    u = f - y
    u[u > 1] = 1
    return u


@pytest.mark.usefixtures("path")
@pytest.mark.parametrize("wrong", [lambda f, y: f - y if f.max() > 0 else y, np.hypot, _in_place])
def test_a_function_that_cannot_be_compiled_is_refused(wrong: Any) -> None:
    with pytest.raises(InputError, match="JAX cannot compile one of these functions"):
        result("jax", "float64", "tanh", Loss("own", wrong))


def made(design: str, backend: Backend, X: np.ndarray, folder: Path) -> Any:
    if design == "lazy":
        return LazyGaussianDesign(len(X), X.shape[1], backend, seed=5)
    if design == "streamed":
        np.save(folder / "X.npy", X)
        return StreamedDesign(NpyRows(folder / "X.npy"), backend, threads=2)
    return StoredDesign(X, backend)


@pytest.mark.parametrize("design", ["stored", "streamed", "lazy"])
def test_both_stages_on_each_design(design: str, dtype: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(8)
    X = rng.standard_normal((2000, 16)).astype(dtype)
    y = (X[:, 0] ** 2 + X[:, 1]).astype(dtype)
    predictions = []
    for name in ("numpy", "jax"):
        trainer = LayerwiseTrainer(
            backend=name, steps=3, neurons=8, readout_neurons=16, remove_linear_part=True
        )
        inputs = made(design, get_backend(name, dtype), X, tmp_path)
        trainer.fit_first_layer(inputs, y).fit_readout(inputs, y)
        predictions.append(trainer.predict(X))
    expected, found = predictions
    # Two stages multiply the roundings: of √eps nothing is left of a wrong term.
    tolerance = np.finfo(dtype).eps ** 0.5 * np.abs(expected).max()
    np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance)


def test_streamed_and_stored_rows_give_the_same_bits(
    dtype: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jax_backend, "_BLOCK_BYTES", 1)  # several blocks, the last one short
    given, backend = arrays(dtype), get_backend("jax", dtype)
    rho = Residuals(
        Objective(get_loss("huber"), given["y"]), given["a"], given["b"],
        get_activation("tanh"), backend, cancelling=False,
    )  # fmt: skip
    stored, streamed = (
        made(design, backend, given["X"], tmp_path).one_pass(given["W"], rho)
        for design in ("stored", "streamed")
    )
    np.testing.assert_array_equal(stored, streamed)


def test_rows_in_memory_of_the_backend_are_held_once(
    dtype: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jax_backend, "_BLOCK_BYTES", 1)  # several blocks, the last one short
    backend, given = get_backend("jax", dtype), np.ones((1000, 2100), "float16")
    drawn = backend.memory_of_rows(given.shape)
    drawn[...] = given
    for X in (drawn, given):  # those of another dtype are copied anyway
        design = StoredDesign(X, backend)
        start, step = design.X.ctypes.data, design.X.strides[0]
        assert len(design._blocks) == 8
        for rows, placed in design._blocks:
            assert placed.array.unsafe_buffer_pointer() == start + rows.start * step


@pytest.mark.parametrize("before", [False, True])
def test_the_users_setting_of_float64_stays_and_does_not_count(before: bool, dtype: str) -> None:
    was = jax.config.jax_enable_x64
    jax.config.update("jax_enable_x64", before)
    try:
        found = result("jax", dtype, "tanh", "huber")
        assert jax.config.jax_enable_x64 == before
        usual = result("numpy", dtype, "tanh", "huber")
    finally:
        jax.config.update("jax_enable_x64", was)
    assert found.dtype == dtype
    assert np.abs(found - usual).max() <= 1e3 * np.finfo(dtype).eps * np.abs(usual).max()


@pytest.mark.parametrize("device", ["nothing", "cpu:99", "cpu:x", "cpu:-1", ""])
def test_a_device_that_is_not_there_is_refused_with_those_that_are(device: str) -> None:
    with pytest.raises(InputError, match=f"device={device!r}: JAX has no such device here, only"):
        get_backend("jax", "float32", device)


def test_few_programs_serve_many_small_shapes() -> None:
    """XLA would take longer than the steps to compile one for each."""
    programs = jax_backend._programs()
    rng = np.random.default_rng(1)

    def run(n: int, d: int, m: int) -> None:
        trainer = LayerwiseTrainer(backend="jax")
        X, W = rng.standard_normal((n, d)), rng.standard_normal((m, d))
        trainer.step(W, np.ones(m), np.ones(m), X, X[:, 0], eta=0.1, activation="softplus")

    run(60, 5, 3)
    before = [each._cache_size() for each in (programs.product, programs.elementwise)]
    for n, d, m in ((33, 3, 2), (64, 8, 8), (40, 7, 5), (50, 2, 1)):
        run(n, d, m)
    assert [each._cache_size() for each in (programs.product, programs.elementwise)] == before
