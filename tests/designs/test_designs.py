"""Tests of `mimverify.designs`: the pass over a stored matrix."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from mimverify.backends import base, get_backend
from mimverify.designs import Design, StoredDesign

Array = NDArray[Any]


def integers(shape: tuple[int, ...], seed: int) -> Array:
    """Small integers: every sum and product below stays exact in float32, in any order."""
    return np.random.default_rng(seed).integers(-4, 5, shape).astype(np.float64)


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(base, "_BLOCK_BYTES", 1)
    monkeypatch.setattr(base, "_MIN_ROWS", 8)


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("n", [1, 7, 8, 9, 16, 30])
def test_one_pass_is_the_dense_formula(n: int, library: str, dtype: str) -> None:
    """Σ ρ(X_b Vᵀ, rows_b)ᵀ X_b = ρ(X Vᵀ)ᵀ X exactly, for even and uneven last blocks.

    Entries reach 4·(5·16)²·30 < 2²⁴ at most.
    """
    d, q = 5, 3
    X, V, y = integers((n, d), 1), integers((q, d), 2), integers((n,), 3)
    backend = get_backend(library, dtype)
    design = StoredDesign(X, backend)
    assert (design.n_samples, design.dim) == (n, d)
    labels, seen = backend.asarray(y), []

    def rho(P: Any, rows: slice) -> Any:
        seen.append(rows)
        assert tuple(P.shape) == (rows.stop - rows.start, q)
        return (P * P)[:, :2] + labels[rows][:, None]

    result = backend.to_numpy(design.one_pass(backend.asarray(V), rho))
    P = X @ V.T
    np.testing.assert_array_equal(result, ((P * P)[:, :2] + y[:, None]).T @ X)
    assert result.dtype == np.dtype(dtype)
    np.testing.assert_array_equal(np.concatenate([np.arange(n)[r] for r in seen]), np.arange(n))
    assert [r.stop - r.start for r in seen[:-1]] == [8] * (len(seen) - 1)
    np.testing.assert_array_equal(backend.to_numpy(design.project(backend.asarray(V))), P)


def test_a_pass_is_bit_identical_on_repeat(library: str, dtype: str) -> None:
    rng = np.random.default_rng(0)
    X, V = rng.standard_normal((9000, 64)), rng.standard_normal((8, 64))
    backend = get_backend(library, dtype)
    design, directions = StoredDesign(X, backend), backend.asarray(V)
    blocks: list[slice] = []

    def once() -> Array:
        def rho(P: Any, rows: slice) -> Any:
            blocks.append(rows)
            return P**3

        return np.asarray(backend.to_numpy(design.one_pass(directions, rho)))

    first = once()
    assert len(blocks) > 1
    for result in (once(), once()):
        np.testing.assert_array_equal(result, first)


@pytest.mark.parametrize("d", [1, 64, 1000, 10**5])
def test_blocks_and_their_parts_are_as_large_as_they_may_be(d: int, dtype: str) -> None:
    """Unless that would leave too few rows for the products to run at full speed."""
    backend = get_backend("numpy", dtype)
    row_bytes = d * np.dtype(dtype).itemsize
    block, part = backend.rows_per_block(d), backend.rows_in_cache(d)
    for rows, most in ((block, base._BLOCK_BYTES), (part, base._CACHE_BYTES)):
        assert rows & (rows - 1) == 0
        assert base._MIN_ROWS <= rows <= base._MAX_ROWS
        assert rows == base._MIN_ROWS or rows * row_bytes <= most
        # And no smaller than it can be.
        assert rows == base._MAX_ROWS or 2 * rows * row_bytes > most
    assert block % part == 0


def test_a_design_needs_its_passes() -> None:
    class Half(Design):
        def project(self, V: Any) -> Any:
            return V

    with pytest.raises(TypeError, match="one_pass"):
        Half()  # type: ignore[abstract]
