"""A network's forward pass."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from mimverify import ACTIVATIONS, InputError, Network, get_activation, symmetric_start


@pytest.mark.parametrize("activation", ["relu", "tanh", "quadratic"])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_the_output_is_the_sum_over_neurons(activation: str, dtype: str) -> None:
    rng = np.random.default_rng(0)
    W, a, b, X = (rng.standard_normal(shape) for shape in ((6, 4), 6, 6, (9, 4)))
    network = Network.check(W, a, b, dim=4, dtype=dtype)
    sigma: Callable[[float], float] = {
        "relu": lambda z: max(z, 0.0), "tanh": math.tanh, "quadratic": lambda z: z * z / 2
    }[activation]  # fmt: skip
    values = [[sigma(float(W[j] @ x + b[j])) for j in range(6)] for x in X]
    expected: NDArray[np.float64] = np.array(values) @ a
    got = network.output(X.astype(dtype), activation)
    assert got.shape == (9,)
    assert got.dtype == dtype
    np.testing.assert_allclose(got, expected, rtol=0, atol=200 * float(np.finfo(dtype).eps))
    by_object = network.output(X.astype(dtype), get_activation(activation))
    np.testing.assert_array_equal(got, by_object)


def test_a_symmetric_start_has_no_output() -> None:
    rng = np.random.default_rng(1)
    start, X = symmetric_start(8, 5, rng), rng.standard_normal((7, 5))
    for activation in ACTIVATIONS:
        np.testing.assert_allclose(start.output(X, activation), 0.0, atol=1e-12)


def test_inputs_of_another_dimension_are_refused() -> None:
    start = symmetric_start(8, 5, np.random.default_rng(1))
    with pytest.raises(InputError, match="X"):
        start.output(np.ones((7, 4)), "relu")
    with pytest.raises(InputError, match="activation='rely'"):
        start.output(np.ones((7, 5)), "rely")
