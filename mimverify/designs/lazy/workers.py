"""The same work on every slab, by several threads, with sums in a fixed order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mimverify.backends import Backend
from mimverify.support.threads import current_threads, map_in_order
from mimverify.support.validation import integer

#: What a task adds up: float64 arrays of fixed shapes.
Sums = Sequence[NDArray[np.float64]]


class Workers:
    """Runs a task for each slab. Results do not depend on the number of threads.

    One thread works on one slab alone: products of a few rows are too small to share, and
    drawing normals cannot be shared within a call. The caller keeps the libraries to one
    thread each (`single_threaded_libraries`).

    **Arguments**

    - `backend`: whose arrays the tasks work on.
    - `threads`: None for as many as the libraries' pools have; one on a device other than
      a CPU, which has its own parallelism.
    """

    def __init__(self, backend: Backend, threads: int | None = None) -> None:
        if threads is not None:
            threads = integer("threads", threads, minimum=1)
        self.threads = current_threads() if threads is None else threads
        if backend.device != "cpu":
            self.threads = 1

    def run(self, task: Callable[[int], Any], slabs: Sequence[int]) -> list[Any]:
        """The results of task(i) for each slab i, in order. What a task raises is raised."""
        if self.threads == 1 or len(slabs) < 2:
            return [task(i) for i in slabs]
        return map_in_order(task, slabs, self.threads)

    def total(self, task: Callable[[int], Sums], slabs: Sequence[int]) -> Sums:
        """The sums of the arrays that task(i) returns, added in the order of the slabs."""
        parts = self.run(task, slabs)
        return [np.sum(column, axis=0) for column in zip(*parts, strict=True)]
