"""Memory that passes reuse, for arrays of any library whose arrays can be written to.

Allocating a block costs more than the arithmetic on it: large ones are mapped by the system page
by page, and threads wait for one another in the allocator.
"""

from __future__ import annotations

import math
import sys
import threading
from collections.abc import Sequence
from types import ModuleType

import numpy as np

from mimverify.support.arrays import Array, NumpyArray

__all__ = ["Pool", "Scratch", "library"]

_LINE = 64  # bytes of a cache line


def library(array: Array) -> ModuleType:
    """The array's library, NumPy or Torch: its functions take `out`, unlike the array API's."""
    if isinstance(array, np.ndarray):
        return np
    return sys.modules[type(array).__module__.partition(".")[0]]


class Scratch(threading.local):
    """Returns the same blocks for every request of one shape; each thread has its own.

    The next request of the same thread overwrites them.
    """

    def __init__(self) -> None:
        self._blocks: dict[tuple[object, ...], list[Array]] = {}

    def like(self, block: Array, count: int) -> list[Array]:
        """`count` arrays with the library, dtype, shape `(k, m)` and memory order of `block`."""
        k, m = block.shape
        if _by_columns(block):
            return [block.T for block in self.blocks((m, k), block, count)]
        return self.blocks((k, m), block, count)

    def blocks(self, shape: Sequence[int], like: Array, count: int = 1) -> list[Array]:
        """`count` arrays of this shape, rows contiguous, with the library and dtype of `like`."""
        key = (*shape, like.dtype, str(getattr(like, "device", "cpu")))
        blocks = self._blocks.setdefault(key, [])
        while len(blocks) < count:
            blocks.append(_empty(shape, like))
        return blocks[:count]


class Pool:
    """Arrays of one shape that threads take, and give back after use."""

    def __init__(self) -> None:
        self._free: list[Array] = []

    def take(self, shape: Sequence[int], like: Array, beside: Array | None = None) -> Array:
        """A free array, or a new one with the library and dtype of `like`.

        A new one starts at the same place of a cache line as `beside`, if that is NumPy's:
        columns that are read and written together then cross the lines' boundaries together.
        """
        try:
            return self._free.pop()
        except IndexError:
            if isinstance(beside, np.ndarray):
                return _empty_beside(shape, like, beside)
            return _empty(shape, like)

    def give(self, array: Array) -> None:
        """Return an array to the pool."""
        self._free.append(array)


def _by_columns(block: Array) -> bool:
    if isinstance(block, np.ndarray):
        return block.flags.f_contiguous and not block.flags.c_contiguous
    return bool(block.T.is_contiguous() and not block.is_contiguous())


def _empty(shape: Sequence[int], like: Array) -> Array:
    if isinstance(like, np.ndarray):
        return np.empty(tuple(shape), dtype=like.dtype)
    return like.new_empty(tuple(shape))


def _empty_beside(shape: Sequence[int], like: NumpyArray, beside: NumpyArray) -> NumpyArray:
    size = math.prod(shape) * like.itemsize
    memory = np.empty(size + _LINE, np.uint8)
    start = (beside.ctypes.data - memory.ctypes.data) % _LINE // like.itemsize * like.itemsize
    return memory[start : start + size].view(like.dtype).reshape(tuple(shape))
