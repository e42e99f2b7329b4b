"""The same work on every block, by several threads, with sums in a fixed order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np

from mimverify.backends import Backend
from mimverify.support.arrays import Float64Array
from mimverify.support.threads import current_threads, map_in_order
from mimverify.support.validation import parallel_count

_Result = TypeVar("_Result")

#: What a task contributes to sums: float64 arrays of fixed shapes.
Sums = Sequence[Float64Array]


class Workers:
    """Runs a task for each block. Results do not depend on the number of threads.

    Each thread works on whole blocks: products of a few rows are too small to share, and
    drawing normals cannot be shared within a call. The caller keeps the libraries to one
    thread each (`single_threaded_libraries`).

    **Arguments**

    - `backend`: whose arrays the tasks work on.
    - `threads`: None for as many as the libraries' pools have; one with a backend
      that has its own parallelism.
    """

    def __init__(self, backend: Backend, threads: int | None = None) -> None:
        if threads is not None:
            threads = parallel_count("threads", threads)
        self.threads = current_threads() if threads is None else threads
        if not backend.block_per_thread:
            self.threads = 1

    def run(self, task: Callable[[int], _Result], blocks: Sequence[int]) -> list[_Result]:
        """The results of task(i) for each block i, in order. What a task raises is raised."""
        if self.threads == 1 or len(blocks) < 2:
            return [task(i) for i in blocks]
        return map_in_order(task, blocks, self.threads)

    def total(self, task: Callable[[int], Sums], blocks: Sequence[int]) -> Sums:
        """The sums of the arrays that task(i) returns, added in the order of the blocks."""
        terms = self.run(task, blocks)
        return [np.sum(column, axis=0) for column in zip(*terms, strict=True)]
