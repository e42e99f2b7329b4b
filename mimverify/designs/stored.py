"""A design matrix held in memory, by either backend, on any device."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from mimverify.backends import Backend
from mimverify.designs.base import (
    Design,
    RowFunction,
    block_per_thread,
    project_block,
    rows_per_block,
)
from mimverify.designs.block_products import BlockProducts
from mimverify.problems.streams import cut_rows
from mimverify.support.arrays import Array, FloatArray
from mimverify.support.threads import current_threads, map_in_order, sum_in_order

if TYPE_CHECKING:
    from jaxtyping import Float

# Multiply-adds of a block's product that take as long as waking another thread.
_SMALL = 1 << 19


class StoredDesign(Design):
    """Row blocks of one stored array.

    **Arguments**

    - `X`: inputs `(n, d)`, a NumPy array (or an array of the backend already).
    - `backend`: where to hold it.
    """

    def __init__(self, X: Float[Array, "n d"], backend: Backend) -> None:
        self.backend = backend
        self.X = backend.asarray(X)
        self.n_samples, self.dim = (int(k) for k in self.X.shape)
        self._rows = rows_per_block(self.dim, backend)

    def _blocks(self) -> Iterator[slice]:
        return cut_rows(slice(0, self.n_samples), self._rows)

    def one_pass(self, V: Float[Array, "q d"], rho: RowFunction) -> Float[Array, "p d"]:
        products = BlockProducts(V, rho, self.backend)
        with products.limits():
            return sum_in_order(
                lambda rows: products(self.X[rows], rows),
                list(self._blocks()),
                self._threads(len(V)),
                release=products.release,
            )

    def projections(self, V: Float[Array, "q d"]) -> Iterator[tuple[slice, Float[Array, "k q"]]]:
        directions = V.T

        def of_block(rows: slice) -> Array:
            return project_block(self.X[rows], directions, self.backend)

        blocks, threads = list(self._blocks()), self._threads(len(V))
        for start in range(0, len(blocks), 2 * threads):
            batch = blocks[start : start + 2 * threads]
            yield from zip(batch, map_in_order(of_block, batch, threads), strict=True)

    def stored_inputs(self) -> Float[FloatArray, "n d"]:
        # Not a copy where it is one of NumPy's already.
        return self.X if isinstance(self.X, np.ndarray) else self.backend.to_numpy(self.X)

    def _threads(self, directions: int) -> int:
        """How many threads to use; no result depends on it."""
        if not block_per_thread(self.backend) or self._rows * self.dim * directions < _SMALL:
            return 1
        return current_threads()
