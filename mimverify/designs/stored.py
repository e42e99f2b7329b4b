"""A design matrix held in memory, by either backend, on any device."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from mimverify.backends import Backend
from mimverify.designs.base import Design, RowFunction, blocks_apart, project_block, rows_per_block
from mimverify.problems.streams import cut_rows
from mimverify.scratch import Pool, Scratch, library
from mimverify.threads import single_threaded_libraries, sum_in_order, threads_in_force


class StoredDesign(Design):
    """Row blocks of one stored array.

    **Arguments**

    - `X`: inputs `(n, d)`, a NumPy array (or an array of the backend already).
    - `backend`: where to hold it.
    """

    def __init__(self, X: Any, backend: Backend) -> None:
        self.backend = backend
        self.X = backend.asarray(X)
        self.n_samples, self.dim = (int(k) for k in self.X.shape)
        self._rows = rows_per_block(self.dim, backend)

    def _blocks(self) -> Iterator[slice]:
        return cut_rows(slice(0, self.n_samples), self._rows)

    def one_pass(self, V: Any, rho: RowFunction) -> Any:
        directions = V.T
        projected, products = Scratch(), Pool()
        matmul = library(V).matmul

        def part(rows: slice) -> Any:
            block = self.X[rows]
            (P,) = projected.blocks((len(block), len(V)), like=V)
            residuals = rho(matmul(block, directions, out=P), rows)
            return matmul(
                residuals.T, block, out=products.take((residuals.shape[1], self.dim), like=V)
            )

        blocks = list(self._blocks())
        if not blocks_apart(self.dim, self.backend):
            return sum_in_order(part, blocks, threads=1, release=products.give)
        threads = threads_in_force()
        with single_threaded_libraries():
            return sum_in_order(part, blocks, threads, release=products.give)

    def projections(self, V: Any) -> Iterator[tuple[slice, Any]]:
        directions = V.T
        for rows in self._blocks():
            yield rows, project_block(self.X[rows], directions, self.backend)
