"""Rows of a long matrix, kept in slabs of columns that fit a core's cache."""

from __future__ import annotations

from typing import Any

import numpy as np

from mimverify.backends import Backend


class Slabs:
    """Room for `capacity` rows of `length` columns, in slabs of `width` columns.

    One slab holds all rows of its columns side by side, so that an operation on many rows
    walks through contiguous memory slab by slab.

    **Arguments**

    - `length`: columns of the matrix; `width`: columns of a slab, the last may have fewer.
    - `capacity`: rows to reserve. Memory is taken once; `reserve` is for what nobody foresaw.
    """

    def __init__(self, length: int, capacity: int, width: int, backend: Backend) -> None:
        self.length = length
        self.width = min(width, length)
        self.backend = backend
        self.slabs = range(-(-length // self.width))
        self._data = backend.empty((len(self.slabs), capacity, self.width))

    @property
    def capacity(self) -> int:
        """Rows that there is room for."""
        return int(self._data.shape[1])

    def reserve(self, capacity: int) -> None:
        """Make room for `capacity` rows, keeping the present ones."""
        if capacity > self.capacity:
            grown = self.backend.empty((len(self.slabs), capacity, self.width))
            grown[:, : self.capacity] = self._data
            self._data = grown

    def columns(self, slab: int) -> slice:
        """The columns of the matrix that a slab holds."""
        start = slab * self.width
        return slice(start, min(start + self.width, self.length))

    def part(self, slab: int, first: int, last: int) -> Any:
        """Rows first … last − 1 of a slab, shape `(last − first, ≤ width)`: a view."""
        columns = self.columns(slab)
        return self._data[slab, first:last, : columns.stop - columns.start]

    def dense(self, first: int, last: int) -> np.ndarray[Any, Any]:
        """Rows first … last − 1 as one NumPy array `(last − first, length)`: a copy."""
        parts = [self.backend.to_numpy(self.part(i, first, last)) for i in self.slabs]
        return np.concatenate(parts, axis=1)


def slab_width(rows: int, backend: Backend) -> int:
    """Columns of a slab of so many rows.

    On a CPU few enough for a core's share of the cache, and for dot products in the
    backend's dtype; many enough for the interpreter's time not to count.
    """
    if backend.device != "cpu":
        return 1 << 22
    itemsize = 4 if backend.dtype == "float32" else 8
    fitting = (1 << 23) // (max(rows, 1) * itemsize)
    return min(max(1 << (max(fitting, 1).bit_length() - 1), 1 << 12), 1 << 16)
