"""Memory that passes use again, and the kernels that write into it."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest

from mimverify.backends import get_backend
from mimverify.network import ACTIVATIONS
from mimverify.support.scratch import Pool, Scratch

FUSED = [name for name, activation in ACTIVATIONS.items() if activation.fused is not None]


def test_blocks_are_the_same_for_one_shape_and_thread(library: str, dtype: str) -> None:
    backend, scratch = get_backend(library, dtype), Scratch()
    like = backend.empty((3, 2))
    first, second = scratch.blocks((5, 2), like, 2)
    assert first is not second
    assert first.dtype == like.dtype
    assert tuple(first.shape) == (5, 2)
    again = scratch.blocks((5, 2), like, 3)
    assert again[0] is first
    assert again[1] is second
    assert scratch.blocks((4, 2), like)[0] is not first
    others: list[Any] = []
    thread = threading.Thread(target=lambda: others.extend(scratch.blocks((5, 2), like, 2)))
    thread.start()
    thread.join()
    assert all(other is not block for other in others for block in again)


def test_blocks_keep_the_memory_order(library: str) -> None:
    backend, scratch = get_backend(library, "float64"), Scratch()
    rows, columns = backend.empty((6, 4)), backend.empty((4, 6)).T
    for block in (rows, columns):
        (like,) = scratch.like(block, 1)
        assert tuple(like.shape) == (6, 4)
        strides = [x.strides if library == "numpy" else x.stride() for x in (like, block)]
        assert strides[0] == strides[1]


def test_a_pool_hands_out_what_came_back(library: str) -> None:
    like = get_backend(library, "float32").empty((1, 1))
    pool = Pool()
    one, two = pool.take((2, 3), like), pool.take((2, 3), like)
    assert one is not two
    pool.give(two)
    assert pool.take((2, 3), like) is two


@pytest.mark.parametrize("name", FUSED)
def test_fused_kernels_are_the_activation(name: str, library: str, dtype: str) -> None:
    """σ to a few u max(1, |σ|), σ' to a few u |σ'|, near zero and far out."""
    activation, backend = ACTIVATIONS[name], get_backend(library, dtype)
    u = backend.unit_roundoff
    largest = 1e4 if name == "log-cosh" else 1e9
    sizes = np.concatenate([[0.0], np.geomspace(1e-9, largest, 1023)])
    exact = np.concatenate([-sizes, sizes]).reshape(-1, 8).astype(dtype)
    wide = exact.astype(np.float64)
    value, slope = activation.value(wide), activation.first(wide)

    z = backend.asarray(exact.copy())
    result = activation.to_both(z, *(backend.empty(exact.shape) for _ in range(2)))
    error = np.abs(backend.to_numpy(result).astype(float) - value)
    assert (error <= 8 * u * np.maximum(1, np.abs(value))).all()
    for first in (z, backend.asarray(exact.copy())):
        if first is not z:
            activation.to_first(first)
        error = np.abs(backend.to_numpy(first).astype(float) - slope)
        assert (error <= 8 * u * np.abs(slope)).all()


def test_activations_without_kernels_are_taken_as_they_are(library: str, dtype: str) -> None:
    backend, activation = get_backend(library, dtype), ACTIVATIONS["softplus"]
    exact = np.linspace(-3, 3, 32, dtype=dtype).reshape(8, 4)
    z = backend.asarray(exact.copy())
    value = activation.to_both(z, z, z)
    np.testing.assert_array_equal(
        backend.to_numpy(value), backend.to_numpy(activation.value(backend.asarray(exact)))
    )
    np.testing.assert_array_equal(
        backend.to_numpy(z), backend.to_numpy(activation.first(backend.asarray(exact)))
    )
