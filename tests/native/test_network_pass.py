"""Tests of the native pass: against the oracle, over shapes, strides, threads and designs."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from mimverify.backends import get_backend
from mimverify.designs import Design, ModelRows, StoredDesign, StreamedDesign
from mimverify.designs.block_products import BlockProducts, ShiftedRows
from mimverify.native import (
    NATIVE_ACTIVATIONS,
    NATIVE_LOSSES,
    NetworkPass,
    loadable_levels,
    native_library,
    network_features,
    using,
)
from mimverify.network import ACTIVATIONS, LOSSES, get_activation, get_loss
from mimverify.problems import MultiIndexModel
from mimverify.support.threads import thread_limit
from mimverify.training import LayerwiseTrainer, Objective, first_layer_gradient
from mimverify.training.residuals import Residuals
from mimverify.trial.reference.oracle import functions_of

Array = NDArray[Any]

if not loadable_levels():
    pytest.skip("there is no native library here (no C compiler)", allow_module_level=True)

LARGEST = 70
#: `make fuzz` and CI's step with sanitisers take more.
EXAMPLES = int(os.environ.get("MIMVERIFY_FUZZ_EXAMPLES", "60"))
CANARY = 12345.0


@pytest.fixture(params=loadable_levels())
def level(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def between(rng: np.random.Generator, most: int) -> int:
    """Mostly small, and the sizes around vectors and tiles as often as others."""
    return int(rng.integers(1, most + 1) if rng.random() < 0.7 else rng.integers(1, 10))


def placed(rng: np.random.Generator, values: Array) -> Array:
    """The matrix somewhere in larger memory: other alignments, gaps between its rows."""
    n, d = values.shape
    gap, start = int(rng.integers(0, 20)), int(rng.integers(0, 20))
    if rng.random() < 0.3:
        return np.ascontiguousarray(values)  # so that a sanitiser sees what lies beyond
    memory = np.full(start + n * (d + gap), CANARY, values.dtype)
    block = memory[start:].reshape(n, d + gap)[:, :d]
    block[...] = values
    return block


def oracle(
    arrays: tuple[Array, ...], activation: str, loss: str, constant: float, offset: float,
    linear: Array | None,
) -> Array:  # fmt: skip
    """The gradient `(m, d)` in float64 by the oracle's functions."""
    W, a, b, X, y = (np.asarray(v, np.float64) for v in arrays)
    sigma, psi = functions_of(activation, loss)
    P = X @ W.T + b
    output = sigma.value(P) @ a + constant
    if linear is not None:
        output = output + X @ np.asarray(linear, np.float64)
    slope = psi.derivative(output - y) - offset
    return np.asarray((slope[:, None] * a * sigma.first(P)).T @ X / len(y))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_against_the_oracle(
    dtype: str, level: str, gradient_rounding: Callable[..., Array]
) -> None:
    for seed in range(EXAMPLES):
        rng = np.random.default_rng([seed, dtype == "float32"])
        n, d, m = between(rng, 4 * LARGEST), between(rng, LARGEST), between(rng, LARGEST)
        activation, loss = str(rng.choice(NATIVE_ACTIVATIONS)), str(rng.choice(NATIVE_LOSSES))
        scale = 10.0 ** rng.uniform(-4, 0.3)
        # Multiples of powers of two, so that products and sums of them are exact: at a kink
        # the value does not decide, and none of them meets one (an odd sixteenth in b).
        grid = activation == "relu"
        X, W = rng.standard_normal((n, d)), scale * rng.standard_normal((m, d)) / np.sqrt(d)
        b = 0.5 * rng.standard_normal(m) if rng.random() < 0.5 else np.zeros(m)
        if grid:
            X, W, b = np.round(4 * X) / 4, np.round(2 * W) / 2, np.round(4 * b) / 4 + 1 / 16
        a, y = rng.standard_normal(m) / m, rng.standard_normal(n)
        linear = rng.standard_normal(d) / np.sqrt(d) if rng.random() < 0.4 else None
        constant, offset = (0.25, 0.125) if rng.random() < 0.5 else (0.0, 0.0)
        W, a, b, X, y = (np.asarray(v, dtype) for v in (W, a, b, X, y))
        linear = None if linear is None else linear.astype(dtype)
        sigma, _ = functions_of(activation, loss)
        output = sigma.value(X.astype(float) @ W.T.astype(float) + b) @ a + constant
        output = output if linear is None else output + X.astype(float) @ linear
        # Away from the jump of l1.
        y = np.where(np.abs(output - y) < 1e-3, y + np.asarray(0.01, dtype), y).astype(dtype)
        arrays = (W, a, b, X, y)
        extra: dict[str, Any] = {"constant": constant, "offset": offset, "linear": linear}
        expected = oracle(arrays, activation, loss, **extra)
        bound = gradient_rounding(*arrays, activation=activation, loss=loss, dtype=dtype, **extra)
        V = W if linear is None else np.vstack([W, linear])
        with using(level):
            native = native_library()
            assert native is not None
            network = NetworkPass(
                native, placed(rng, V), a, b if b.any() else None,
                activation=activation, loss=loss, constant=constant, offset=offset,
            )  # fmt: skip
            memory = np.full(m * d + 32, CANARY, dtype)
            out = memory[16:-16].reshape(m, d)
            network(placed(rng, X), y, out)
        assert (memory[:16] == CANARY).all()
        assert (memory[-16:] == CANARY).all()
        error = np.abs(out.astype(float) * a[:, None] / n - expected)
        case = (seed, n, d, m, activation, loss)
        assert (error <= bound + np.finfo(dtype).tiny).all(), (case, float((error / bound).max()))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_features_against_the_formula(dtype: str, level: str) -> None:
    u = float(np.finfo(dtype).eps) / 2
    for seed in range(EXAMPLES):
        rng = np.random.default_rng([seed, 7])
        n, k, p = between(rng, LARGEST), between(rng, LARGEST), between(rng, LARGEST)
        name = str(rng.choice(NATIVE_ACTIVATIONS))
        P = placed(rng, rng.standard_normal((n, k + int(rng.integers(0, 2)))).astype(dtype))
        b = rng.standard_normal(p).astype(dtype)
        memory = np.full(n * p + 16, CANARY)
        out = memory[8:-8].reshape(n, p)
        with using(level):
            native = native_library()
            assert native is not None
            network_features(native, name, P, k, b, out)
        assert (memory[:8] == CANARY).all()
        assert (memory[-8:] == CANARY).all()
        z = (P[:, np.arange(p) % k] + b).astype(float)
        want = ACTIVATIONS[name].value(z)
        assert (np.abs(out - want) <= 8 * u * np.maximum(1, np.abs(want) * (1 + np.abs(z)))).all()


# -- through the designs ---------------------------------------------------------------------------


def network(m: int, d: int, dtype: str, *, symmetric: bool = False) -> tuple[Array, Array, Array]:
    rng = np.random.default_rng(3)
    W = 0.1 * rng.standard_normal((m, d))
    a = rng.choice([-1.0, 1.0], m) / m
    b = np.zeros(m) if symmetric else 0.1 * rng.standard_normal(m)
    if symmetric:
        W[m // 2 :], a[m // 2 :] = W[: m // 2], -a[: m // 2]
    return W.astype(dtype), a.astype(dtype), b.astype(dtype)


def gradient(design: Design, y: Array, net: tuple[Array, Array, Array], **extra: Any) -> Array:
    objective = Objective(get_loss("huber"), y, **extra)
    result = first_layer_gradient(design, objective, *net, get_activation("log-cosh"))
    return np.asarray(result)


MODEL = MultiIndexModel("cos2z", dim=90, seed=1)
SAMPLES = 5000


@pytest.mark.parametrize("symmetric", [False, True])
def test_no_bit_depends_on_threads(dtype: str, level: str, symmetric: bool) -> None:
    data = MODEL.sample(SAMPLES, dtype=dtype)
    design, net = (
        StoredDesign(data.X, get_backend("numpy", dtype)),
        network(12, 90, dtype, symmetric=symmetric),
    )
    linear = np.linspace(-0.1, 0.1, 90).astype(dtype)
    results = []
    with using(level):
        for threads in (1, 2, 3, 7):
            with thread_limit(threads):
                results.append(gradient(design, data.y, net, linear=linear, constant=0.1))
    assert np.isfinite(results[0]).all()
    for other in results[1:]:
        np.testing.assert_array_equal(results[0], other)


def test_designs_of_the_same_rows_agree_bit_for_bit(dtype: str, level: str) -> None:
    backend, data = get_backend("numpy", dtype), MODEL.sample(SAMPLES, dtype=dtype)
    net = network(10, 90, dtype)
    with using(level):
        stored = gradient(StoredDesign(data.X, backend), data.y, net)
        for threads in (1, 2):
            streamed = StreamedDesign(ModelRows(MODEL, SAMPLES), backend, threads=threads)
            np.testing.assert_array_equal(stored, gradient(streamed, data.y, net))


def test_alignment_does_not_matter(dtype: str, level: str) -> None:
    """Rows a multiple of a vector apart, from every place in a cache line."""
    backend, d = get_backend("numpy", dtype), 64
    rng = np.random.default_rng(0)
    X, y, net = rng.standard_normal((200, d)), rng.standard_normal(200), network(9, d, dtype)
    results = []
    for start in range(16):
        memory = np.empty(200 * d + 16, dtype)
        block = memory[start : start + 200 * d].reshape(200, d)
        block[...] = X
        with using(level):
            results.append(gradient(StoredDesign(block, backend), y.astype(dtype), net))
    for other in results[1:]:
        np.testing.assert_array_equal(results[0], other)


def test_a_neurons_gradient_does_not_depend_on_its_place(dtype: str, level: str) -> None:
    """Nor on how many there are beside it, where outputs cancel."""
    backend, data = get_backend("numpy", dtype), MODEL.sample(700, dtype=dtype)
    design = StoredDesign(data.X, backend)
    W, a, _ = network(2 * 67, 90, dtype, symmetric=True)
    with using(level):
        whole = gradient(design, data.y, (W, a, 0 * a))
        for kept in ([0], [66], [3, 40], list(range(20))):
            pairs = np.array(kept + [j + 67 for j in kept])
            part = gradient(design, data.y, (W[pairs], a[pairs], 0 * a[pairs]))
            np.testing.assert_array_equal(part, whole[pairs])


def test_shards_know_their_labels(level: str) -> None:
    backend, data = get_backend("numpy", "float64"), MODEL.sample(1000)
    W, a, b = network(6, 90, "float64")
    rho = Residuals(
        Objective(get_loss("huber"), data.y),
        a,
        b,
        get_activation("gelu"),
        backend,
        cancelling=False,
    )
    with using(level):
        whole = StoredDesign(data.X, backend).one_pass(W, rho)
        parts = [
            StoredDesign(data.X[part], backend).one_pass(W, ShiftedRows(rho, part.start))
            for part in (slice(0, 300), slice(300, 1000))
        ]
        assert BlockProducts(W, ShiftedRows(rho, 0), backend).native
    np.testing.assert_allclose(parts[0] + parts[1], whole, rtol=0, atol=1e-12 * abs(whole).max())


# -- what takes the path of NumPy ------------------------------------------------------------------


def in_c(activation: Any, loss: Any, library_name: str = "numpy") -> bool:
    backend = get_backend(library_name, "float64")
    W, a, b = (backend.asarray(v) for v in network(4, 5, "float64"))
    rho = Residuals(Objective(loss, b), a, b, activation, backend, cancelling=False)
    return BlockProducts(W, rho, backend).native


def test_only_the_librarys_own_functions_are_computed_in_c() -> None:
    tanh, huber = get_activation("tanh"), get_loss("huber:0.5")
    assert in_c(tanh, huber)
    for sigma in ACTIVATIONS.values():
        for name in LOSSES:
            in_both = sigma.name in NATIVE_ACTIVATIONS and name in NATIVE_LOSSES
            assert in_c(sigma, get_loss(name)) == in_both, (sigma.name, name)
    assert not in_c(replace(tanh, value=np.cos, first=np.sin), huber)
    assert not in_c(tanh, replace(huber, derivative=lambda f, y: f + y))
    assert not in_c(tanh, huber, "torch")
    with using("0"):
        assert not in_c(tanh, huber)


def test_a_users_function_is_not_taken_for_ours() -> None:
    """A δ that is ten times smaller, under the name of the default."""
    mine = replace(get_loss("huber"), derivative=lambda f, y: np.clip(f - y, -0.1, 0.1))
    data = MODEL.sample(500)
    trained = [
        LayerwiseTrainer(
            loss=loss, neurons=4, steps=2, schedule="constant", eta=1.0, random_state=0
        )
        .fit_first_layer(data.X, data.y).network_.W
        for loss in (mine, "huber", "huber:0.1")
    ]  # fmt: skip
    assert np.abs(trained[0] - trained[1]).max() > 1e-6
    np.testing.assert_allclose(trained[0], trained[2], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("activation", NATIVE_ACTIVATIONS)
def test_divergence_shows_as_it_does_in_numpy(activation: str, dtype: str, level: str) -> None:
    backend, data = get_backend("numpy", dtype), MODEL.sample(60, dtype=dtype)
    W, a, b = network(7, 90, dtype)
    huge = np.asarray(0.9 * np.finfo(dtype).max, dtype)
    for change in ("W", "nan in X", "inf in X", "nan in y"):
        V, X, y = W.copy(), data.X.copy(), data.y.copy()
        if change == "W":
            V[:, 0], V[:, 1:] = huge, 0  # no infinity less another, whatever the order
        elif change.endswith("X"):
            X[13, 5] = np.nan if change.startswith("nan") else np.inf
        else:
            y[59] = np.nan
        finite = []
        for chosen in (level, "0"):
            with using(chosen), np.errstate(all="ignore"):
                objective = Objective(get_loss("squared"), y)
                G = first_layer_gradient(
                    StoredDesign(X, backend), objective, V, a, b, get_activation(activation)
                )
            finite.append(bool(np.isfinite(G).all()))
        assert finite[0] == finite[1], (change, finite)


def test_tiny_numbers(level: str) -> None:
    """Weights below the smallest normal number: taken as they are, or as zero."""
    data = MODEL.sample(300, dtype="float32")
    W, a, b = network(5, 90, "float32")
    small = (W * np.float32(1e-39)).astype("float32")
    design = StoredDesign(data.X, get_backend("numpy", "float32"))
    with using(level):
        G = gradient(design, data.y, (small, a, 0 * b))
    assert np.isfinite(G).all()
    assert np.abs(G).max() <= 1e-36


def test_no_other_memory_is_written_than_that_which_fits(level: str) -> None:
    """C takes any address for granted: what is not as long as it writes is refused before."""
    with using(level):
        native = native_library()
        assert native is not None
        V, a = np.ones((3, 5), np.float32), np.ones(3, np.float32)
        network = NetworkPass(native, V, a, None, activation="relu", loss="squared")
        X, y = np.ones((7, 5), np.float32), np.zeros(7, np.float32)
        good = np.zeros((3, 5), np.float32)
        locked = good.copy()
        locked.flags.writeable = False
        for out in (
            np.zeros((3, 4), np.float32), np.zeros((2, 5), np.float32), np.zeros((3, 5)),
            np.zeros((3, 10), np.float32)[:, ::2], np.zeros((5, 3), np.float32).T, locked,
        ):  # fmt: skip
            with pytest.raises(ValueError, match=r"out: .* expected contiguous and writeable"):
                network(X, y, out)
            assert not out.any()
        with pytest.raises(ValueError, match="6 columns: expected 5"):
            network(np.ones((7, 6), np.float32), y, np.zeros((3, 6), np.float32))
        network(X, y, good)
        assert good.all()
        P, phi = np.ones((4, 2)), np.zeros((4, 6))
        for directions, where, message in (
            (3, phi, "3 directions: expected 1 to 2"), (0, phi, "0 directions"),
            (2, np.zeros((4, 12))[:, ::2], "out: "), (2, np.zeros((6, 4)).T, "out: "),
        ):  # fmt: skip
            with pytest.raises(ValueError, match=message):
                network_features(native, "tanh", P, directions, np.zeros(6), where)
        assert not phi.any()
