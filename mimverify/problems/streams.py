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
    return cut_rows(slice(0, n), BLOCK_ROWS)


def cut_rows(rows: slice, size: int) -> Iterator[slice]:
    """A range of rows, `size` at a time; the last part may be shorter."""
    for start in range(rows.start, rows.stop, size):
        yield slice(start, min(start + size, rows.stop))
