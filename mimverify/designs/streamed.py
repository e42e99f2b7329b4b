"""A design matrix whose rows are read or drawn anew at every pass."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from contextvars import copy_context
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np

from mimverify.backends import Backend
from mimverify.designs.base import Design, RowFunction, project_block
from mimverify.designs.block_products import BlockProducts
from mimverify.designs.rows import RowSource
from mimverify.problems.streams import BLOCK_ROWS, cut_rows
from mimverify.support.arrays import Array, FloatArray
from mimverify.support.errors import InputError
from mimverify.support.threads import available_cores, current_threads, keep_library_threads
from mimverify.support.validation import parallel_count

if TYPE_CHECKING:
    from jaxtyping import Float

#: Called after each block of a pass with the rows that are done, and all rows.
OnRows = Callable[[int, int], None]

# Maps a block `(k, d)` and its rows to a result.
_Work = Callable[[Array, slice], Array]


# What one thread reads at a time, unless `BLOCK_ROWS` rows take more.
_CHUNK_BYTES = 1 << 20
# All buffers that are being read, queued or processed, and their results.
_AHEAD_BYTES = 1 << 30


class StreamedDesign(Design):
    """Row blocks of a source, read ahead by threads while earlier ones are processed.

    The results are those of the `StoredDesign` of the same rows bit for bit; memory does not depend
    on n.

    **Arguments**

    - `source`: the rows.
    - `backend`: of the arithmetic.
    - `threads`: threads that read, or draw, rows; None: one for each core. Sources that must be
      read in order get one.
    - `on_progress`: called after each block with the rows done in this pass, and n.

    On a CPU (`Backend.block_per_thread`), or where BLAS has one thread (`thread_limit(1)`), the
    threads that read also do the arithmetic of their rows. That is fastest where drawing takes
    longest; BLAS threads would compete with those that draw.

    Errors of the source are raised by the pass, which ends its threads first.
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
        threads = available_cores() if threads is None else parallel_count("threads", threads)
        self.source = source
        self.backend = backend
        self.n_samples, self.dim = source.n_rows, source.dim
        self._on_progress = on_progress
        self._threads = 1 if source.in_order else threads
        self._chunking = _Chunking(self.dim, backend, source.least_rows)
        self._rows = self._chunking.rows
        self._block_per_thread = backend.block_per_thread
        # Correct in any case; with several BLAS threads they would compete for the cores.
        self._work_in_threads = (
            self._threads > 1
            and backend.threads_may_share
            and self._rows <= self._chunking.chunk
            and (self._block_per_thread or current_threads() == 1)
        )

    def one_pass(self, V: Float[Array, "q d"], rho: RowFunction) -> Float[Array, "p d"]:
        total = None
        products = BlockProducts(V, rho, self.backend)

        def work(block: Array, rows: slice) -> Array:
            return products(self.backend.place(block), rows)

        each = self._each(work, self._work_in_threads, result_rows=len(V))
        with products.limits(), closing(each) as results:
            for _, term in results:
                if total is None:
                    total = term
                else:
                    total += term
                    products.release(term)
        return total

    def projections(
        self, V: Float[Array, "q d"]
    ) -> Generator[tuple[slice, Float[Array, "k q"]], None, None]:
        directions = V.T

        def work(block: Array, _: slice) -> Array:
            return project_block(self.backend.place(block), directions, self.backend)

        in_threads = not self._block_per_thread and self._work_in_threads
        # Not by several threads: `project_block` sets the libraries' threads for all of them.
        with closing(self._each(work, in_threads=in_threads)) as results:
            yield from results

    def blocks(self) -> Generator[tuple[slice, Float[Array, "k d"]], None, None]:
        """The row blocks `(k, d)` of one pass, in order, arrays of the backend.

        A block is valid until the next one is requested: its memory is reused.
        """
        with closing(self._each(lambda block, _: block, in_threads=False)) as results:
            yield from results

    def _each(
        self, work: _Work, in_threads: bool, result_rows: int = 0
    ) -> Generator[tuple[slice, Array], None, None]:
        """The results of `work` on the blocks of one pass, in order.

        **Arguments**

        - `in_threads`: whether the threads that read also do the work.
        - `result_rows`: rows of d numbers that the result of one block takes.
        """
        with closing(self._read(work if in_threads else None, result_rows)) as buffers:
            for buffer, data, results in buffers:
                for index, rows in enumerate(cut_rows(buffer, self._rows)):
                    if in_threads:
                        result = results[index]
                    else:
                        result = self._result(work, rows, data, buffer.start)
                    yield rows, result
                    if self._on_progress is not None:
                        self._on_progress(rows.stop, self.n_samples)

    def _result(self, work: _Work, rows: slice, data: FloatArray, first: int) -> Array:
        block = data[rows.start - first : rows.stop - first]
        return work(self.backend.asarray(block), rows)

    def _read(
        self, work: _Work | None, result_rows: int
    ) -> Generator[tuple[slice, FloatArray, list[Array]], None, None]:
        """Buffers of rows in order, each of them reused later.

        With each come the results of `work` on its blocks, if `work` is given.
        """
        n, size, chunk_rows = self.n_samples, self._chunking.buffer, self._chunking.chunk
        buffers = cut_rows(slice(0, n), size)
        waiting: deque[tuple[slice, FloatArray, list[Future[list[Array]]]]] = deque()
        fill = self.source.begin(0)
        pool = ThreadPoolExecutor(self._threads, "mimverify-rows", initializer=_prepare_thread)

        def read(rows: slice, data: FloatArray, first: int) -> list[Array]:
            fill(rows, data[rows.start - first : rows.stop - first])
            if work is None:
                return []
            return [self._result(work, block, data, first) for block in cut_rows(rows, self._rows)]

        def submit(buffer: slice, data: FloatArray) -> None:
            # With a context for each: NumPy's error state of the caller applies to its work too.
            chunks = [
                pool.submit(copy_context().run, read, rows, data, buffer.start)
                for rows in cut_rows(buffer, chunk_rows)
            ]
            waiting.append((buffer, data, chunks))

        try:
            for buffer in islice(buffers, self._chunking.buffers_ahead(self._threads, result_rows)):
                submit(buffer, np.empty((min(size, n), self.dim), dtype=self.backend.dtype))
            while waiting:
                buffer, data, chunks = waiting.popleft()
                yield buffer, data, [result for chunk in chunks for result in chunk.result()]
                for later in islice(buffers, 1):
                    submit(later, data)
        finally:
            pool.shutdown(cancel_futures=True)


class _Chunking:
    """How the rows of a pass are divided; sizes are powers of two, and each divides the next.

    - `rows`: of one block of the pass.
    - `chunk`: rows that one thread reads at a time, at least the source's `least_rows`.
    - `buffer`: rows that are contiguous in memory.
    """

    def __init__(self, dim: int, backend: Backend, least: int) -> None:
        self.row_bytes = dim * np.dtype(backend.dtype).itemsize
        self.rows = backend.rows_per_block(dim)
        fitting = max(_CHUNK_BYTES // self.row_bytes, 1)
        few = min(self.rows, 1 << (fitting.bit_length() - 1))
        self.chunk = max(least, few) if least > 1 else self.rows
        self.buffer = max(self.chunk, self.rows)

    def buffers_ahead(self, threads: int, result_rows: int) -> int:
        """A chunk for each thread and one in the queue, beside the buffer that is being processed.

        The result of one block has `result_rows` rows of d numbers.
        """
        wanted = 1 + -(-(threads + 1) * self.chunk // self.buffer)
        return max(2, min(wanted, _AHEAD_BYTES // self._buffer_bytes(result_rows)))

    def _buffer_bytes(self, result_rows: int) -> int:
        return (self.buffer + result_rows * -(-self.buffer // self.rows)) * self.row_bytes

    def size(self, threads: int, result_rows: int) -> int:
        """Bytes of all buffers, with the results of those that threads have processed."""
        ahead = self.buffers_ahead(threads, result_rows)
        return ahead * self._buffer_bytes(result_rows if threads > 1 else 0)


def streamed_bytes(
    dim: int, backend: Backend, threads: int, result_rows: int, *, least: int = BLOCK_ROWS
) -> int:
    """Bytes that a streamed design takes in a pass whose result has `result_rows` rows.

    **Arguments**

    - `least`: the source's `least_rows`.
    """
    return _Chunking(dim, backend, least).size(threads, result_rows)


def _prepare_thread() -> None:
    keep_library_threads()  # Torch's call applies the number set in another thread to this one
