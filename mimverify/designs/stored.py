"""A design matrix held in memory, by any backend, on any device."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from mimverify.backends import Backend
from mimverify.designs.base import Design, RowFunction, project_block
from mimverify.designs.block_products import BlockProducts
from mimverify.problems.streams import cut_rows
from mimverify.support.arrays import Array
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
        self._rows = backend.rows_per_block(self.dim)
        # The backend keeps the blocks where its passes read them; most keep X as it is.
        self._blocks = [
            (rows, backend.place(self.X[rows]))
            for rows in cut_rows(slice(0, self.n_samples), self._rows)
        ]

    def one_pass(self, V: Float[Array, "q d"], rho: RowFunction) -> Float[Array, "p d"]:
        products = BlockProducts(V, rho, self.backend)
        with products.limits():
            return sum_in_order(
                lambda block: products(block[1], block[0]),
                self._blocks,
                self._threads(len(V)),
                release=products.release,
            )

    def projections(self, V: Float[Array, "q d"]) -> Iterator[tuple[slice, Float[Array, "k q"]]]:
        directions = V.T

        def of_block(block: tuple[slice, Array]) -> tuple[slice, Array]:
            return block[0], project_block(block[1], directions, self.backend)

        threads = self._threads(len(V))
        for start in range(0, len(self._blocks), 2 * threads):
            batch = self._blocks[start : start + 2 * threads]
            yield from map_in_order(of_block, batch, threads)

    def _threads(self, directions: int) -> int:
        """How many threads to use; no result depends on it."""
        if not self.backend.block_per_thread or self._rows * self.dim * directions < _SMALL:
            return 1
        return current_threads()
