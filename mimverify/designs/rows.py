"""Sources of rows that are read anew at every pass: regenerated, or supplied by the user.

A pass requests consecutive ranges of rows and supplies the array `(k, d)` that they are written
to, so that the pass bounds the memory and chooses the dtype.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import DTypeLike

from mimverify.problems.model import PURPOSES, MultiIndexModel
from mimverify.problems.streams import BLOCK_ROWS, block_parts, row_blocks
from mimverify.support.arrays import ArrayLike, FloatArray, NumpyArray
from mimverify.support.errors import InputError
from mimverify.support.threads import available_cores, map_in_order, single_threaded_libraries
from mimverify.support.validation import choice, dtype_name, integer, parallel_count

if TYPE_CHECKING:
    from jaxtyping import Float, Shaped

#: Writes those rows of the source into an array `(k, d)` of float32 or float64.
Fill = Callable[[slice, FloatArray], None]


class RowSource(ABC):
    """`n_rows` rows of `dim` finite real numbers that can be read any number of times.

    `name` is the source's name in errors. `source[start:stop]` is a source of those rows alone.
    """

    n_rows: int
    dim: int
    name: str
    #: Whether a pass must read its rows in order and one range at a time; otherwise several
    #: threads may read at once.
    in_order: bool = False
    #: The smallest number of rows worth reading at once, a power of two: fewer cost as much.
    least_rows: int = 1

    @abstractmethod
    def begin(self, start: int) -> Fill:
        """A new pass over the rows from `start` on.

        **Raises** `InputError`, also from the `Fill`, for rows that are missing, too many, of
        the wrong width or dtype, or not finite.
        """

    def __getitem__(self, rows: slice) -> RowSource:
        return RowsOf(self, rows)


class RowsOf(RowSource):
    """A contiguous range of another source's rows.

    Row numbers in errors are those of the other source. **Raises** `InputError` for a range
    that is empty or has a step.
    """

    def __init__(self, source: RowSource, rows: slice) -> None:
        self.source = source
        start, stop, step = rows.indices(source.n_rows)
        if step != 1 or stop <= start:
            raise InputError(
                f"rows={rows}: expected a range without a step of at least one of the "
                f"{source.n_rows} rows"
            )
        self._start = start
        self.n_rows, self.dim, self.name = stop - start, source.dim, source.name
        self.in_order, self.least_rows = source.in_order, source.least_rows

    def begin(self, start: int) -> Fill:
        fill = self.source.begin(self._start + start)

        def shifted(rows: slice, out: FloatArray) -> None:
            fill(slice(self._start + rows.start, self._start + rows.stop), out)

        return shifted


class ModelRows(RowSource):
    """The inputs of `model.sample(n, purpose=…, seed=…)`, drawn again at every pass.

    **Arguments**

    - `model`, `n`: the model, and rows of the data set.
    - `purpose`, `seed`: as for `MultiIndexModel.sample`.

    Inputs that are not Gaussian are drawn from the start of their block: passes over a part of
    the rows are then cheapest where it starts at a multiple of `BLOCK_ROWS`.
    """

    least_rows = BLOCK_ROWS

    def __init__(
        self, model: MultiIndexModel, n: int, *, purpose: str = "stage1", seed: int | None = None
    ) -> None:
        self.model = model
        self.purpose = choice("purpose", purpose, PURPOSES)
        self.seed = model.seed if seed is None else seed
        self.n_rows, self.dim = integer("n", n, minimum=1), model.dim
        self.name = repr(model)

    def begin(self, start: int) -> Fill:
        return self._fill

    def _fill(self, rows: slice, out: FloatArray) -> None:
        for index, skip, place in block_parts(rows):
            self.model.fill_block(
                out[place], index, skip=skip, purpose=self.purpose, seed=self.seed
            )

    def labels(
        self, dtype: DTypeLike = "float64", *, threads: int | None = None
    ) -> Float[FloatArray, " n"]:
        """The labels `(n,)`, by one pass over the blocks.

        **Arguments**

        - `threads`: threads that draw; None: one for each core.
        """
        threads = available_cores() if threads is None else parallel_count("threads", threads)
        y = np.empty(self.n_rows, dtype=dtype_name("dtype", dtype))

        def draw(of: tuple[int, slice]) -> None:
            index, rows = of
            y[rows] = self.model.block_labels(
                index, rows.stop - rows.start, purpose=self.purpose, seed=self.seed
            )

        with single_threaded_libraries():
            map_in_order(draw, list(enumerate(row_blocks(self.n_rows))), threads)
        return y


class SequentialRows(RowSource):
    """Rows that come in blocks of any heights, one block after the other."""

    in_order = True

    @abstractmethod
    def chunks(self, start: int) -> tuple[int, Iterator[ArrayLike]]:
        """Row blocks `(k, d)` to the end of the source, and the row `≤ start` they begin at."""

    def begin(self, start: int) -> Fill:
        return _SequentialPass(self, start).fill


class IterableRows(SequentialRows):
    """Row blocks of the user's iterable.

    **Arguments**

    - `blocks`: a function that returns a new iterator of row blocks `(k, d)`, or an
      iterable such as a list, whose iterators start over. Heights may differ.
    - `n_rows`, `dim`: n and d; without n, one pass counts the rows.

    **Raises** `InputError` for an iterator or generator, which could be read once only:
    every step of training is a pass over all rows.
    """

    def __init__(
        self,
        blocks: Callable[[], Iterable[ArrayLike]] | Iterable[ArrayLike],
        *,
        n_rows: int | None = None,
        dim: int | None = None,
    ) -> None:
        self._blocks = blocks
        self.name = f"rows of {getattr(blocks, '__name__', type(blocks).__name__)}"
        if isinstance(blocks, Iterator):
            raise InputError(
                f"{self.name}: an iterator can be read only once, and every step reads all rows; "
                "give a function that returns a fresh one"
            )
        if not callable(blocks) and not isinstance(blocks, Iterable):
            raise InputError(
                f"blocks={blocks!r}: expected a function that returns an iterator of row blocks"
            )
        self.n_rows = 0 if n_rows is None else integer("n_rows", n_rows, minimum=1)
        self.dim = 0 if dim is None else integer("dim", dim, minimum=1)
        if dim is None:
            first = next(self.chunks(0)[1], None)
            if first is None:
                raise InputError(f"{self.name}: ended after 0 rows: expected at least one")
            self.dim = int(_as_block(first, self.name, 0, None).shape[1])
        if n_rows is None:
            for chunk in self.chunks(0)[1]:
                self.n_rows += len(_as_block(chunk, self.name, self.n_rows, self.dim))
            if self.n_rows == 0:
                raise InputError(f"{self.name}: ended after 0 rows: expected at least one")

    def chunks(self, start: int) -> tuple[int, Iterator[ArrayLike]]:
        blocks = self._blocks() if callable(self._blocks) else self._blocks
        if not isinstance(blocks, Iterable):
            raise InputError(
                f"{self.name}: returned {type(blocks).__name__}: expected an iterator of row blocks"
            )
        return 0, iter(blocks)


class _SequentialPass:
    """One pass over blocks of any heights, recut to the requested ranges."""

    def __init__(self, source: SequentialRows, start: int) -> None:
        self._source = source
        self._row, self._chunks = source.chunks(start)  # first row not yet taken
        self._rest: NumpyArray = np.empty((0, source.dim))
        self._skip(start)

    def _more(self) -> bool:
        """Whether rows remain; if so, `_rest` holds some of them."""
        while len(self._rest) == 0:
            chunk = next(self._chunks, None)
            if chunk is None:
                return False
            self._rest = _as_block(chunk, self._source.name, self._row, self._source.dim)
        return True

    def _take(self, most: int) -> NumpyArray:
        """At least one row, from `_row` on."""
        if not self._more():
            raise InputError(
                f"{self._source.name}: ended after {self._row} rows: expected "
                f"{self._source.n_rows} at every pass"
            )
        taken, self._rest = self._rest[:most], self._rest[most:]
        self._row += len(taken)
        return taken

    def _skip(self, start: int) -> None:
        while self._row < start:
            self._take(start - self._row)

    def fill(self, rows: slice, out: FloatArray) -> None:
        self._skip(rows.start)
        while self._row < rows.stop:
            first = self._row
            block = self._take(rows.stop - first)
            place = slice(first - rows.start, self._row - rows.start)
            copy_rows(block, out[place], self._source.name, first)
        if rows.stop == self._source.n_rows and self._more():
            raise InputError(
                f"{self._source.name}: goes on after row {rows.stop - 1}: expected "
                f"{self._source.n_rows} rows at every pass"
            )


def copy_rows(
    block: Shaped[NumpyArray, "k d"], out: Float[FloatArray, "k d"], name: str, first: int
) -> None:
    """Copy the user's rows `(k, d)`, the first of which is row `first`, into `out`.

    **Raises** `InputError` naming source, range, row and column of what is not a finite real
    number in the dtype of `out`.
    """
    rows = f"in rows {first} to {first + len(block) - 1}"
    if block.dtype.kind not in "fiu":
        raise InputError(f"{name}: dtype {block.dtype} {rows}: expected real numbers")
    with np.errstate(over="ignore", invalid="ignore"):  # overflow is reported below
        out[...] = block
    finite = np.isfinite(out)
    if not finite.all():
        row, column = (int(k) for k in np.argwhere(~finite)[0])
        raise InputError(
            f"{name}: row {first + row}, column {column} is {block[row, column]} ({rows}): "
            f"expected finite numbers of {out.dtype}"
        )


def _as_block(chunk: ArrayLike, name: str, first: int, dim: int | None) -> NumpyArray:
    """A row block `(k, d)` as an array. **Raises** `InputError` for anything else."""
    if hasattr(chunk, "detach"):  # a torch tensor, possibly on a device or with a graph
        chunk = chunk.detach().cpu()
    try:
        block = np.asarray(chunk)
    except (ValueError, TypeError) as error:
        raise InputError(
            f"{name}: the block at row {first} is no array of numbers ({error})"
        ) from None
    if block.ndim != 2 or block.shape[1] == 0 or (dim is not None and block.shape[1] != dim):
        wanted = "(rows, columns)" if dim is None else f"(rows, {dim})"
        raise InputError(
            f"{name}: the block at row {first} has shape {block.shape}: expected {wanted}"
        )
    return block
