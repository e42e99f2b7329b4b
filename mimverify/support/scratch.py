"""Memory that a pass uses again and again, for arrays of either library.

A fresh block costs more than the arithmetic on it: large ones come from the system page by page,
and threads wait for one another where it is asked for and given back.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

import numpy as np

__all__ = ["Pool", "Scratch", "library"]


def library(array: Any) -> Any:
    """NumPy or Torch, whose array it is: their functions take `out`, unlike the array API's."""
    if isinstance(array, np.ndarray):
        return np
    import torch  # only reached with a Torch tensor in hand

    return torch


class Scratch(threading.local):
    """Hands out the same blocks for every request of one shape, to each thread its own.

    What they held is lost at the next request of the same thread.
    """

    def __init__(self) -> None:
        self._blocks: dict[tuple[Any, ...], list[Any]] = {}

    def like(self, block: Any, count: int) -> list[Any]:
        """`count` arrays with the library, dtype, shape `(k, m)` and memory order of `block`."""
        k, m = block.shape
        if _by_columns(block):
            return [held.T for held in self.blocks((m, k), block, count)]
        return self.blocks((k, m), block, count)

    def blocks(self, shape: Sequence[int], like: Any, count: int = 1) -> list[Any]:
        """`count` arrays of this shape, rows contiguous, with the library and dtype of `like`."""
        held = self._blocks.setdefault((*shape, like.dtype), [])
        while len(held) < count:
            held.append(_empty(shape, like))
        return held[:count]


class Pool:
    """Arrays of one shape that pass from thread to thread: taken, and given back after use."""

    def __init__(self) -> None:
        self._free: list[Any] = []

    def take(self, shape: Sequence[int], like: Any) -> Any:
        """One that is free, or a new one with the library and dtype of `like`."""
        try:
            return self._free.pop()
        except IndexError:
            return _empty(shape, like)

    def give(self, array: Any) -> None:
        """Whoever took it needs it no more."""
        self._free.append(array)


def _by_columns(block: Any) -> bool:
    if isinstance(block, np.ndarray):
        return block.flags.f_contiguous and not block.flags.c_contiguous
    return bool(block.T.is_contiguous() and not block.is_contiguous())


def _empty(shape: Sequence[int], like: Any) -> Any:
    if isinstance(like, np.ndarray):
        return np.empty(tuple(shape), dtype=like.dtype)
    return like.new_empty(tuple(shape))
