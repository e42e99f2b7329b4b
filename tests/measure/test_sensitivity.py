"""Gradients of a black box: they lie where the function varies, however it is computed."""

from __future__ import annotations

import numpy as np
import pytest

from mimverify import alignment
from mimverify.measure.sensitivity import average_gradients, directions_along

DIM, RANK = 12, 2
V = np.linalg.qr(np.random.default_rng(0).standard_normal((DIM, RANK)))[0].T


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(1)


def hidden(X):
    Z = X @ V.T
    return np.sin(Z[:, 0]) * Z[:, 1]


def test_gradients_are_those_of_a_linear_function(rng: np.random.Generator) -> None:
    slope = rng.standard_normal(DIM)
    found = average_gradients(lambda X: X @ slope + 5, DIM, points=4, rng=rng)
    assert found is not None
    assert found == pytest.approx(np.tile(slope, (4, 1)), rel=1e-12)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_gradients_are_of_the_dtype_asked_for_and_in_few_rows(
    dtype: str, rng: np.random.Generator
) -> None:
    rows: list[int] = []

    def predict(X):
        assert X.dtype == dtype
        rows.append(len(X))
        return X @ V[0].astype(dtype)

    found = average_gradients(predict, DIM, points=400, rng=rng, dtype=dtype)
    assert found is not None
    assert alignment(found, V[:1]) == pytest.approx(1, abs=1e-5)
    assert sum(rows) == 2 * DIM * 400
    assert max(rows) <= 4096


def test_directions_are_as_aligned_as_the_gradients(rng: np.random.Generator) -> None:
    """Differences over a finite width leave the span only as far as the function is curved."""
    inside = average_gradients(hidden, DIM, rng=rng)
    noise = rng.standard_normal(DIM)
    outside = average_gradients(lambda X: hidden(X) + 0.3 * X @ noise, DIM, rng=rng)
    assert inside is not None
    assert outside is not None
    assert alignment(inside, V) > 0.99
    assert alignment(outside, V) < 0.8
    for gradients in (inside, outside):
        drawn = directions_along(gradients, 20_000, rng)
        wanted = gradients.T @ gradients / len(gradients)
        assert drawn.T @ drawn / len(drawn) == pytest.approx(wanted, abs=0.1 * wanted.max())


@pytest.mark.parametrize("scale", [0.0, 1e-17])
def test_a_constant_has_no_directions(scale: float, rng: np.random.Generator) -> None:
    assert average_gradients(lambda X: 1 + scale * X[:, 0], DIM, rng=rng) is None
