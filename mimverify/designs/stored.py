"""A design matrix held in memory, by either backend, on any device."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext
from typing import Any

from mimverify.backends import Backend
from mimverify.designs.base import Design, RowFunction, blocks_apart, project_block, rows_per_block
from mimverify.problems.streams import cut_rows
from mimverify.support.scratch import Pool, Scratch, library
from mimverify.support.threads import (
    current_threads,
    map_in_order,
    single_threaded_libraries,
    sum_in_order,
)

# Multiply-adds of a block's product that are done before another thread has been woken.
_SMALL = 1 << 19


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
        threads = self._threads(len(V))
        with single_threaded_libraries() if blocks_apart(self.backend) else nullcontext():
            return sum_in_order(part, blocks, threads, release=products.give)

    def projections(self, V: Any) -> Iterator[tuple[slice, Any]]:
        directions = V.T

        def part(rows: slice) -> Any:
            return project_block(self.X[rows], directions, self.backend)

        blocks, threads = list(self._blocks()), self._threads(len(V))
        for start in range(0, len(blocks), 2 * threads):
            some = blocks[start : start + 2 * threads]
            yield from zip(some, map_in_order(part, some, threads), strict=True)

    def _threads(self, directions: int) -> int:
        """How many threads are worth it; no result depends on it."""
        if not blocks_apart(self.backend) or self._rows * self.dim * directions < _SMALL:
            return 1
        return current_threads()
