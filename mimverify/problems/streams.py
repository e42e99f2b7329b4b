"""Counter-based random streams: every block of rows can be drawn alone.

A stream is a Philox key derived from (seed, purpose); block k starts at counter
(0, 0, 0, k), so blocks never overlap and none depends on another having been drawn.
A block's rows are drawn in order, so a short block is a prefix of the full one, and a
data set of n rows is a prefix of any larger one.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from mimverify.validation import integer

#: Rows of one block. Part of the definition of every data set: changing it changes them all.
BLOCK_ROWS = 1024


class Stream:
    """A reproducible family of independent generators, one per block of rows."""

    def __init__(self, seed: int, *purpose: int) -> None:
        # A larger seed would be split into words and share keys with smaller ones.
        entropy = [integer("seed", seed, minimum=0, maximum=2**32 - 1), *purpose]
        self._key = np.random.SeedSequence(entropy).generate_state(2, np.uint64)

    def block(self, index: int) -> np.random.Generator:
        """The generator of block `index`, always from its start."""
        return np.random.Generator(np.random.Philox(key=self._key, counter=[0, 0, 0, index]))


def row_blocks(n: int) -> Iterator[slice]:
    """The row ranges of the blocks of a data set of n rows."""
    for start in range(0, n, BLOCK_ROWS):
        yield slice(start, min(start + BLOCK_ROWS, n))
