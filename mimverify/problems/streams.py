"""Random streams with counted blocks: every block of rows can be drawn alone.

Block k of a stream is a generator seeded with (seed, purpose, k) by NumPy's SeedSequence, so that
none depends on another having been drawn. A block's rows are drawn in order, so a short block is
a prefix of the full one, and a data set of n rows is a prefix of any larger one.

The generator is SFC64, NumPy's fastest; two of N blocks start alike with probability N²/2¹²⁹.
Gaussian inputs and noise, the bulk of all that is drawn, come from `NormalStream` instead.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from mimverify.support.validation import integer

#: Rows of one block. Part of the definition of every data set: changing it changes them all.
BLOCK_ROWS = 1024

#: Number of the definition of data sets: what a seed draws. Whatever changes it raises the number,
#: which is in the keys of trials that draw data; `tests/problems/test_problems.py` says when.
DATA_DEFINITION = 2  # 1: normals by SFC64; 2: by counter (`NormalStream`)


class Stream:
    """A reproducible family of independent generators, one per block of rows."""

    def __init__(self, seed: int, *purpose: int) -> None:
        # One word, as wherever seeds are taken.
        self._seed = integer("seed", seed, minimum=0, maximum=2**32 - 1)
        self._purpose = purpose

    def block(self, index: int) -> np.random.Generator:
        """The generator of block `index`, always from its start."""
        # A spawn key, unlike further entropy, distinguishes (1,) from (1, 0). With its length in
        # front no index of two words, of 2³² or more, can pass for a word of the purpose.
        words = (len(self._purpose), *self._purpose, index)
        key = np.random.SeedSequence(self._seed, spawn_key=words)
        return np.random.Generator(np.random.SFC64(key))


def row_blocks(n: int) -> Iterator[slice]:
    """The row ranges of the blocks of a data set of n rows."""
    return cut_rows(slice(0, n), BLOCK_ROWS)


def block_parts(rows: slice) -> Iterator[tuple[int, int, slice]]:
    """The blocks that a range of rows overlaps.

    For each its index, how many of its rows come before the range, and which rows of the range
    it holds, counted from the range's start.
    """
    row = rows.start
    while row < rows.stop:
        index, skip = divmod(row, BLOCK_ROWS)
        stop = min((index + 1) * BLOCK_ROWS, rows.stop)
        yield index, skip, slice(row - rows.start, stop - rows.start)
        row = stop


def cut_rows(rows: slice, size: int) -> Iterator[slice]:
    """A range of rows, `size` at a time; the last chunk may be shorter."""
    for start in range(rows.start, rows.stop, size):
        yield slice(start, min(start + size, rows.stop))
