"""A design matrix whose rows are read or drawn anew at every pass."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable, Generator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, nullcontext
from contextvars import copy_context
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mimverify.backends import Backend
from mimverify.designs.base import Design, RowFunction, blocks_apart, project_block, rows_per_block
from mimverify.designs.rows import RowSource
from mimverify.problems.streams import BLOCK_ROWS, cut_rows
from mimverify.support.errors import InputError
from mimverify.support.threads import available_cores, current_threads, single_threaded_libraries
from mimverify.support.validation import integer

#: Called after each block of a pass with the rows that are done, and all rows.
OnRows = Callable[[int, int], None]

# What becomes of a block `(k, d)` and its rows.
_Work = Callable[[Any, slice], Any]

_Memory = NDArray[np.floating[Any]]

# What one thread fills at a time, unless `BLOCK_ROWS` rows take more.
_PIECE_BYTES = 1 << 20
# All blocks that are being read, wait for their turn or are worked on, and their results.
_AHEAD_BYTES = 1 << 30


class StreamedDesign(Design):
    """Row blocks of a source, read ahead by threads while earlier ones are worked on.

    The results are those of the `StoredDesign` of the same rows bit for bit (for short rows,
    as long as both compute with the same BLAS threads); memory does not depend on n.

    **Arguments**

    - `source`: the rows.
    - `backend`: what the passes compute with.
    - `threads`: that read, or draw, rows; None: one for each core. Sources that must be
      read in order get one.
    - `on_progress`: called after each block with the rows done in this pass, and n.

    On a CPU (`blocks_apart`), or where BLAS has one thread (`thread_limit(1)`), the
    threads that read also do the arithmetic of what they have read. That is the fastest way
    where drawing takes longest; BLAS threads would compete with those that draw.

    What goes wrong in the source is raised by the pass, after which no thread is left.
    """

    def __init__(
        self,
        source: RowSource,
        backend: Backend,
        *,
        threads: int | None = None,
        on_progress: OnRows | None = None,
    ) -> None:
        if not isinstance(source, RowSource):
            raise InputError(
                f"source={type(source).__name__}: expected a RowSource, such as NpyRows"
            )
        threads = available_cores() if threads is None else integer("threads", threads, minimum=1)
        self.source = source
        self.backend = backend
        self.n_samples, self.dim = source.n_rows, source.dim
        self._on_progress = on_progress
        self._threads = 1 if source.in_order else threads
        self._cut = _Cut(self.dim, backend, source.least_rows)
        self._rows = self._cut.rows
        self._apart = blocks_apart(backend)
        # Correct in any case; with BLAS threads of its own each would wait for the others.
        self._work_in_threads = (
            self._threads > 1
            and self._rows <= self._cut.piece
            and (self._apart or current_threads() == 1)
        )

    def one_pass(self, V: Any, rho: RowFunction) -> Any:
        total = None
        directions = V.T

        def work(block: Any, rows: slice) -> Any:
            return rho(block @ directions, rows).T @ block

        alone = single_threaded_libraries() if self._apart else nullcontext()
        with alone, closing(self._each(work, self._work_in_threads, held=len(V))) as parts:
            for _, part in parts:
                total = part if total is None else total + part
        return total

    def projections(self, V: Any) -> Generator[tuple[slice, Any], None, None]:
        directions = V.T

        def work(block: Any, _: slice) -> Any:
            return project_block(block, directions, self.backend)

        # Not by several threads: they would share what `project_block` sets for a while.
        with closing(self._each(work, in_threads=not self._apart and self._work_in_threads)) as (
            parts
        ):
            yield from parts

    def blocks(self) -> Generator[tuple[slice, Any], None, None]:
        """The row blocks `(k, d)` of one pass, in order, arrays of the backend.

        A block is valid until the next one is asked for: its memory is used again.
        """
        with closing(self._each(lambda block, _: block, in_threads=False)) as parts:
            yield from parts

    def _each(
        self, work: _Work, in_threads: bool, held: int = 0
    ) -> Generator[tuple[slice, Any], None, None]:
        """What `work` makes of the blocks of one pass, in order.

        **Arguments**

        - `in_threads`: whether those that read do the work.
        - `held`: rows of d numbers that the result of one block takes.
        """
        with closing(self._read(work if in_threads else None, held)) as spans:
            for span, memory, results in spans:
                for index, rows in enumerate(cut_rows(span, self._rows)):
                    if in_threads:
                        result = results[index]
                    else:
                        result = self._worked(work, rows, memory, span.start)
                    yield rows, result
                    if self._on_progress is not None:
                        self._on_progress(rows.stop, self.n_samples)

    def _worked(self, work: _Work, rows: slice, memory: _Memory, first: int) -> Any:
        block = memory[rows.start - first : rows.stop - first]
        return work(self.backend.asarray(block), rows)

    def _read(
        self, work: _Work | None, held: int
    ) -> Generator[tuple[slice, _Memory, list[Any]], None, None]:
        """Spans of rows in order, each in memory that is used again after it.

        With them come the results of `work`, if it is given, for each block.
        """
        n, size, piece_rows = self.n_samples, self._cut.span, self._cut.piece
        spans = cut_rows(slice(0, n), size)
        waiting: deque[tuple[slice, _Memory, list[Future[list[Any]]]]] = deque()
        fill = self.source.begin(0)
        pool = ThreadPoolExecutor(self._threads, "mimverify-rows", initializer=_prepare_thread)

        def read(rows: slice, memory: _Memory, first: int) -> list[Any]:
            fill(rows, memory[rows.start - first : rows.stop - first])
            if work is None:
                return []
            return [self._worked(work, part, memory, first) for part in cut_rows(rows, self._rows)]

        def order(span: slice, memory: _Memory) -> None:
            # With a context for each: NumPy's error state in the caller holds for its work too.
            pieces = [
                pool.submit(copy_context().run, read, rows, memory, span.start)
                for rows in cut_rows(span, piece_rows)
            ]
            waiting.append((span, memory, pieces))

        try:
            for span in islice(spans, self._cut.spans_ahead(self._threads, held)):
                order(span, np.empty((min(size, n), self.dim), dtype=self.backend.dtype))
            while waiting:
                span, memory, pieces = waiting.popleft()
                yield span, memory, [result for piece in pieces for result in piece.result()]
                for later in islice(spans, 1):
                    order(later, memory)
        finally:
            pool.shutdown(cancel_futures=True)


class _Cut:
    """How the rows of a pass are divided, all in powers of two: each divides the larger.

    - `rows`: that one block of the pass has.
    - `piece`: that one thread reads at a time, as many as the source wants or more.
    - `span`: that lie side by side in memory.
    """

    def __init__(self, dim: int, backend: Backend, least: int) -> None:
        self.row_bytes = dim * np.dtype(backend.dtype).itemsize
        self.rows = rows_per_block(dim, backend)
        fitting = max(_PIECE_BYTES // self.row_bytes, 1)
        few = min(self.rows, 1 << (fitting.bit_length() - 1))
        self.piece = max(least, few) if least > 1 else self.rows
        self.span = max(self.piece, self.rows)

    def spans_ahead(self, threads: int, held: int) -> int:
        """A piece for each thread and one that waits, beside the span that is worked on.

        `held` rows of d numbers come out of the work on one block.
        """
        wanted = 1 + -(-(threads + 1) * self.piece // self.span)
        return max(2, min(wanted, _AHEAD_BYTES // self._span_bytes(held)))

    def _span_bytes(self, held: int) -> int:
        return (self.span + held * -(-self.span // self.rows)) * self.row_bytes

    def size(self, threads: int, held: int) -> int:
        """Bytes of all spans, with what came out of them where the threads do the work too."""
        ahead = self.spans_ahead(threads, held)
        return ahead * self._span_bytes(held if threads > 1 else 0)


def streamed_bytes(
    dim: int, backend: Backend, threads: int, held: int, *, least: int = BLOCK_ROWS
) -> int:
    """Bytes that a streamed design holds in a pass whose result has `held` rows.

    **Arguments**

    - `least`: the source's `least_rows`.
    """
    return _Cut(dim, backend, least).size(threads, held)


def _prepare_thread() -> None:
    if "torch" in sys.modules:  # asked in a new thread, it applies the number set in another
        sys.modules["torch"].get_num_threads()
