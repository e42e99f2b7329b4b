"""Blocks of memory that a pass uses again and again, each thread its own."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np

__all__ = ["Scratch"]


class Scratch(threading.local):
    """Hands out the same blocks for every request of one shape; a fresh block costs more than
    its arithmetic. What they held is lost at the next request of the same thread."""

    def __init__(self) -> None:
        self._blocks: dict[tuple[Any, ...], list[Any]] = {}

    def like(self, block: Any, count: int) -> list[Any]:
        """`count` arrays with the library, shape, dtype and memory order of `block` `(k, m)`."""
        transposed = (
            block.T.is_contiguous()
            if not isinstance(block, np.ndarray)
            else (block.flags.f_contiguous)
        )
        held = self._blocks.setdefault((tuple(block.shape), bool(transposed)), [])
        while len(held) < count:
            held.append(_like(block))
        return held[:count]


def _like(block: Any) -> Any:
    if isinstance(block, np.ndarray):
        return np.empty_like(block)
    import torch  # only reached with a Torch tensor in hand

    return torch.empty_like(block)
