"""Rows of a long matrix, stored in blocks of columns that fit a core's cache."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mimverify.backends import Backend
from mimverify.support.arrays import Array, FloatArray

if TYPE_CHECKING:
    from jaxtyping import Float


class ColumnBlocks:
    """Memory for `capacity` rows of `length` columns, in blocks of `width` columns.

    A block holds its columns of all rows contiguously, so that an operation on many rows reads
    memory in order, block by block.

    **Arguments**

    - `length`: columns of the matrix; `width`: columns of a block, the last may have fewer.
    - `capacity`: rows to allocate. `reserve` allocates more.
    """

    def __init__(self, length: int, capacity: int, width: int, backend: Backend) -> None:
        self.length = length
        self.width = min(width, length)
        self.backend = backend
        self.blocks = range(-(-length // self.width))
        self._data = backend.empty((len(self.blocks), capacity, self.width))

    @property
    def capacity(self) -> int:
        """Rows that are allocated."""
        return int(self._data.shape[1])

    def reserve(self, capacity: int) -> None:
        """Allocate `capacity` rows and keep the present ones."""
        if capacity > self.capacity:
            grown = self.backend.empty((len(self.blocks), capacity, self.width))
            grown[:, : self.capacity] = self._data
            self._data = grown

    def columns(self, block: int) -> slice:
        """The columns of the matrix that a block holds."""
        start = block * self.width
        return slice(start, min(start + self.width, self.length))

    def view(self, block: int, first: int, last: int) -> Float[Array, "k w"]:
        """Rows first … last − 1 of a block, shape `(last − first, ≤ width)`: a view."""
        columns = self.columns(block)
        return self._data[block, first:last, : columns.stop - columns.start]

    def dense(self, first: int, last: int) -> Float[FloatArray, "k length"]:
        """Rows first … last − 1 as one NumPy array `(last − first, length)`: a copy."""
        parts = [self.backend.to_numpy(self.view(i, first, last)) for i in self.blocks]
        return np.concatenate(parts, axis=1)


def block_width(rows: int, backend: Backend) -> int:
    """Columns of a block of so many rows.

    On a CPU few enough for one core's cache and for dot products in the
    backend's dtype; many enough that the interpreter's overhead does not count.
    """
    if not backend.on_host:
        return 1 << 22
    itemsize = 4 if backend.dtype == "float32" else 8
    fitting = (1 << 23) // (max(rows, 1) * itemsize)
    return min(max(1 << (max(fitting, 1).bit_length() - 1), 1 << 12), 1 << 16)
