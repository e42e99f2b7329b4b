"""A design matrix held in memory, by either backend, on any device."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from mimverify.backends import Backend
from mimverify.designs.base import Design, RowFunction

# A block should stay in a core's second-level cache between its two products, and be
# tall enough for the products to run at full speed.
_CACHE_BYTES = 1 << 20
_MIN_ROWS = 128


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
        itemsize = 4 if backend.dtype == "float32" else 8
        on_cpu = backend.device == "cpu"
        fitting = max(_MIN_ROWS, _CACHE_BYTES // (self.dim * itemsize))
        self._rows = fitting if on_cpu else self.n_samples

    def _blocks(self) -> Iterator[slice]:
        for start in range(0, self.n_samples, self._rows):
            yield slice(start, min(start + self._rows, self.n_samples))

    def one_pass(self, V: Any, rho: RowFunction) -> Any:
        total = None
        directions = V.T
        for rows in self._blocks():
            block = self.X[rows]
            part = rho(block @ directions, rows).T @ block
            total = part if total is None else total + part
        return total

    def project(self, V: Any) -> Any:
        return self.X @ V.T
