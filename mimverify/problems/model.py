"""Multi-index models y = g(U x) + noise, and the data sets drawn from them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, cast

import numpy as np

from mimverify.problems.inputs import InputLaw, get_inputs
from mimverify.problems.links import Link, get_link
from mimverify.problems.normal_stream import NormalStream
from mimverify.problems.streams import BLOCK_ROWS, Stream, block_parts, row_blocks
from mimverify.problems.subspace import SUBSPACES, check_subspace
from mimverify.support.arrays import ArrayLike, Float64Array, FloatArray
from mimverify.support.errors import InputError
from mimverify.support.threads import current_threads, map_in_order, single_threaded_libraries
from mimverify.support.validation import array, choice, dtype_name, integer, number

if TYPE_CHECKING:
    from jaxtyping import Float, Float64
    from numpy.typing import DTypeLike

#: What a data set is for. Data sets of different purposes are independent.
PURPOSES = ("stage1", "stage2", "test")

_SUBSPACE = 0x55  # keys of the streams that are not data sets
_INPUTS, _NOISE = 0, 1


#: Normals that a thread draws at a time: they stay in its core's cache until they have been used.
CHUNK_ENTRIES = 1 << 16
# Blocks of each thread between two reports of how far a data set is.
_ROUND = 8
# Blocks of float64 that exist at once take at most a tenth of a float32 data set's memory.
_SET_PER_BLOCK = 20


def blocks_at_once(n: int) -> int:
    """Blocks of a data set of n rows that `MultiIndexModel.blocks` draws at a time."""
    return min(current_threads(), max(2, n // (_SET_PER_BLOCK * BLOCK_ROWS)))


@dataclass(frozen=True)
class Dataset:
    """Inputs `X` of shape `(n, d)` and labels `y` of shape `(n,)`, in one dtype."""

    X: FloatArray
    y: FloatArray


class MultiIndexModel:
    """A multi-index model: x ~ N(0, I_d) or of another law, y = g(U x) + noise · N(0, 1).

    **Arguments**

    - `link`: a `Link` or a specification that `get_link` resolves.
    - `dim`: d.
    - `subspace`: U `(r, d)` with orthonormal rows, or how it is drawn from `seed`: `"haar"`, spread
      out over all coordinates, or `"axes"`, r distinct coordinate axes.
    - `noise`: standard deviation of the label noise.
    - `seed`: of the subspace and of all data sets.
    - `rank`: r, only for user links that do not carry one.
    - `inputs`: an `InputLaw` or a specification that `get_inputs` resolves. The theorem and all
      predictions are about `"gaussian"` inputs (theory.md §11).

    Source: theory.md §1. **Raises** `InputError` for r > d, rows that are not
    orthonormal, negative noise, an unknown link, or inputs that are unknown or of another d.
    """

    def __init__(
        self,
        link: Link | str,
        dim: int,
        *,
        subspace: ArrayLike | str = "haar",
        noise: float = 0.0,
        seed: int = 0,
        rank: int | None = None,
        inputs: InputLaw | str = "gaussian",
    ) -> None:
        self.link = get_link(link, rank=rank)
        self.dim = integer("dim", dim, minimum=1)
        self.noise = number("noise", noise, minimum=0.0)
        self.seed = integer("seed", seed, minimum=0, maximum=2**32 - 1)
        self.inputs = get_inputs(inputs)
        self.inputs.check(self.dim)
        subspace = "haar" if subspace is None else subspace
        if isinstance(subspace, str):
            kind = choice("subspace", subspace, SUBSPACES)
            rng = Stream(self.seed, _SUBSPACE).block(0)
            self.subspace = SUBSPACES[kind](self.link.rank, self.dim, rng)
        else:
            self.subspace = check_subspace(subspace, self.link.rank, self.dim)

    @property
    def rank(self) -> int:
        """r, the dimension of the hidden subspace."""
        return self.link.rank

    def sample(
        self,
        n: int,
        *,
        purpose: str = "stage1",
        dtype: DTypeLike = "float64",
        seed: int | None = None,
    ) -> Dataset:
        """A data set of n rows, the same at every call.

        **Arguments**

        - `purpose`: `"stage1"`, `"stage2"` or `"test"`: independent data sets.
        - `dtype`: float32 numbers are the float64 ones rounded, labels included.
        - `seed`: another independent data set of the same model (default: the model's).
        """
        n = integer("n", n, minimum=1)
        dtype = dtype_name("dtype", dtype)
        data = Dataset(np.empty((n, self.dim), dtype=dtype), np.empty(n, dtype=dtype))
        for _ in self.fill(data, purpose=purpose, seed=seed):
            pass
        return data

    def fill(
        self,
        data: Dataset,
        *,
        first: int = 0,
        purpose: str = "stage1",
        seed: int | None = None,
    ) -> Iterator[int]:
        """Write rows of `sample` into given arrays; yields, now and then, how many are written.

        Drawn by several threads, each with a few rows of float64 beside the arrays.

        **Arguments**

        - `data`: `X` `(k, d)` and `y` `(k,)`, of any floating dtypes and layouts.
        - `first`: which row of the data set is the first of them; of inputs that are not Gaussian,
          what comes before it in its block is drawn and dropped.

        **Raises** `InputError` for arrays of other shapes or dtypes, before the first row.
        """
        first = integer("first", first, minimum=0)
        last = first + len(data.X)
        for name, values, shape in (
            ("X", data.X, (len(data.X), self.dim)),
            ("y", data.y, (len(data.X),)),
        ):
            if values.shape != shape or values.dtype.kind != "f":
                raise InputError(
                    f"data.{name}: shape {values.shape} and dtype {values.dtype}; expected {shape} "
                    "and a floating dtype"
                )

        def draw(block: tuple[int, int, slice]) -> None:
            index, skip, rows = block
            data.y[rows] = self._draw(
                index, skip + rows.stop - rows.start, purpose, seed, data.X[rows], skip
            )

        parts, threads = block_parts(slice(first, last)), current_threads()
        with single_threaded_libraries():
            while some := list(islice(parts, _ROUND * threads)):
                map_in_order(draw, some, threads)
                yield some[-1][2].stop

    def blocks(
        self, n: int, *, purpose: str = "stage1", seed: int | None = None
    ) -> Iterator[tuple[slice, Dataset]]:
        """The float64 row blocks of `sample(n, …)` one after the other.

        Drawn by several threads: `blocks_at_once(n)` of them exist at a time. The next block may
        overwrite a block's inputs, but not its labels: the first access to new memory can take as
        long as drawing into it.
        """
        n, held = integer("n", n, minimum=1), blocks_at_once(n) * BLOCK_ROWS
        X = np.empty((min(held, n), self.dim))
        for start in range(0, n, held):
            rows = min(held, n - start)
            some = Dataset(X[:rows], np.empty(rows))
            for _ in self.fill(some, first=start, purpose=purpose, seed=seed):
                pass
            for block in row_blocks(rows):
                of_all = slice(start + block.start, start + block.stop)
                yield of_all, Dataset(some.X[block], some.y[block])

    def block(
        self, index: int, rows: int, *, purpose: str = "stage1", seed: int | None = None
    ) -> Dataset:
        """The first `rows` rows of float64 block `index`, drawn without the others."""
        X = np.empty((rows, self.dim))
        return Dataset(X, self._draw(index, rows, purpose, seed, X))

    def block_labels(
        self, index: int, rows: int, *, purpose: str = "stage1", seed: int | None = None
    ) -> Float64[Float64Array, " rows"]:
        """The labels `(rows,)` of `block`, whose inputs are drawn but not kept."""
        return self._draw(index, rows, purpose, seed)

    def fill_block(
        self,
        X: Float[FloatArray, "k d"],
        index: int,
        *,
        skip: int = 0,
        purpose: str = "stage1",
        seed: int | None = None,
    ) -> None:
        """Write inputs of block `index`, without its first `skip` rows, into X `(k, d)`."""
        for _ in self._chunks(index, skip + len(X), purpose, seed, X, skip):
            pass

    def _draw(
        self,
        index: int,
        rows: int,
        purpose: str,
        seed: int | None,
        X: FloatArray | None = None,
        skip: int = 0,
    ) -> Float64Array:
        """`fill_block`, and float64 labels of the block's first `rows` rows after `skip`."""
        hidden = np.empty((rows, self.rank))
        with single_threaded_libraries():  # nor do labels depend on the number of threads
            for at, chunk in self._chunks(index, rows, purpose, seed, X, skip):
                np.matmul(chunk, self.subspace.T, out=hidden[at])
        return self._labels(hidden[skip:], index, self._normals(_NOISE, purpose, seed), skip)

    def _chunks(
        self,
        index: int,
        rows: int,
        purpose: str,
        seed: int | None,
        X: FloatArray | None,
        skip: int,
    ) -> Iterator[tuple[slice, Float64Array]]:
        """Draw the first rows of block `index`, copy those after `skip` into X, and yield them.

        Chunks begin where they do in the whole block, so that what is computed from them does not
        depend on how many rows are drawn, except in the last chunk. Those before the one that holds
        row `skip` are left out where a row can be drawn on its own.
        """
        draw = self._drawing(index, purpose, seed)
        height = max(min(CHUNK_ENTRIES // self.dim, rows), 1)
        in_place = X is not None and not skip and X.dtype == np.float64 and X.flags.carray
        drawn = cast("Float64Array", X) if in_place else np.empty((height, self.dim))
        for start in range(skip // height * height if self.inputs.counted else 0, rows, height):
            stop = min(start + height, rows)
            chunk = drawn[start:stop] if in_place else drawn[: stop - start]
            draw(chunk, start)
            if X is not None and not in_place and stop > skip:
                X[max(start - skip, 0) : stop - skip] = chunk[max(skip - start, 0) :]
            yield slice(start, stop), chunk

    def _drawing(
        self, index: int, purpose: str, seed: int | None
    ) -> Callable[[Float64Array, int], None]:
        """What writes rows of block `index` from a given row on, which must follow the last one
        unless inputs are counted."""
        if self.inputs.counted:
            stream = self._normals(_INPUTS, purpose, seed)
            return lambda chunk, row: stream.fill(chunk, index, first=row * self.dim)
        key = PURPOSES.index(choice("purpose", purpose, PURPOSES))
        generator = Stream(self.seed if seed is None else seed, _INPUTS, key).block(index)
        return lambda chunk, _: self.inputs.draw(generator, chunk)

    def labels(
        self,
        z: ArrayLike,
        *,
        purpose: str = "stage1",
        dtype: DTypeLike = "float64",
        seed: int | None = None,
    ) -> Float[FloatArray, " n"]:
        """Labels `(n,)` of hidden features z `(n, r)` that were drawn elsewhere.

        The noise is that of `sample` for the same purpose and seed.
        """
        noise = self._normals(_NOISE, purpose, seed)
        z = array("z", z, (None, self.rank))
        y = np.empty(len(z), dtype=dtype_name("dtype", dtype))
        # A link need not be called for each block of the noise, nor for all rows at once.
        stride = BLOCK_ROWS if self.noise else 128 * BLOCK_ROWS

        def label(start: int) -> None:
            rows = np.asarray(z[start : start + stride], dtype=np.float64)
            y[start : start + stride] = self._labels(rows, start // BLOCK_ROWS, noise)

        map_in_order(label, range(0, len(z), stride))
        return y

    def _normals(self, content: int, purpose: str, seed: int | None) -> NormalStream:
        """The stream of a data set's inputs, or of its noise."""
        key = PURPOSES.index(choice("purpose", purpose, PURPOSES))
        return NormalStream(self.seed if seed is None else seed, len(PURPOSES) * content + key)

    def _labels(
        self, z: Float64Array, index: int, noise: NormalStream, first: int = 0
    ) -> Float64Array:
        """Labels of the rows of block `index` from row `first` on."""
        y = self.link(z)
        if self.noise:
            added = np.empty(len(z))
            noise.fill(added, index, first=first)
            y = y + self.noise * added
        return y

    def __repr__(self) -> str:
        noise = f", noise={self.noise:g}" if self.noise else ""
        name = self.inputs.name
        inputs = f", inputs={name!r}" if name != "gaussian" else ""
        return (
            f"MultiIndexModel({self.link.name!r}, dim={self.dim}{noise}{inputs}, seed={self.seed})"
        )
