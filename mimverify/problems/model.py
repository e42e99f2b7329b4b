"""Gaussian multi-index models y = g(U x) + noise, and the data sets drawn from them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mimverify.problems.links import Link, get_link
from mimverify.problems.streams import BLOCK_ROWS, Stream, row_blocks
from mimverify.problems.subspace import check_subspace, haar_subspace
from mimverify.threads import map_in_order
from mimverify.validation import array, choice, dtype_name, integer, number

#: What a data set is for. Data sets of different purposes are independent.
PURPOSES = ("stage1", "stage2", "test")

_SUBSPACE = 0x55  # keys of the streams that are not data sets
_INPUTS, _NOISE = 0, 1


@dataclass(frozen=True)
class Dataset:
    """Inputs `X` of shape `(n, d)` and labels `y` of shape `(n,)`, in one dtype."""

    X: NDArray[np.floating[Any]]
    y: NDArray[np.floating[Any]]


class MultiIndexModel:
    """A Gaussian multi-index model: x ~ N(0, I_d), y = g(U x) + noise · N(0, 1).

    **Arguments**

    - `link`: a `Link` or a specification that `get_link` resolves.
    - `dim`: d.
    - `subspace`: U `(r, d)` with orthonormal rows; Haar-random from `seed` by default.
    - `noise`: standard deviation of the label noise.
    - `seed`: of the subspace and of all data sets.
    - `rank`: r, only for user links that do not carry one.

    Source: theory.md §1. **Raises** `InputError` for r > d, rows that are not
    orthonormal, negative noise, or an unknown link.
    """

    def __init__(
        self,
        link: Link | str,
        dim: int,
        *,
        subspace: Any = None,
        noise: float = 0.0,
        seed: int = 0,
        rank: int | None = None,
    ) -> None:
        self.link = get_link(link, rank=rank)
        self.dim = integer("dim", dim, minimum=1)
        self.noise = number("noise", noise, minimum=0.0)
        self.seed = integer("seed", seed, minimum=0, maximum=2**32 - 1)
        if subspace is None:
            rng = Stream(self.seed, _SUBSPACE).block(0)
            self.subspace = haar_subspace(self.link.rank, self.dim, rng)
        else:
            self.subspace = check_subspace(subspace, self.link.rank, self.dim)

    @property
    def rank(self) -> int:
        """r, the dimension of the hidden subspace."""
        return self.link.rank

    def sample(
        self, n: int, *, purpose: str = "stage1", dtype: Any = "float64", seed: int | None = None
    ) -> Dataset:
        """A data set of n rows, the same at every call.

        **Arguments**

        - `purpose`: `"stage1"`, `"stage2"` or `"test"`: independent data sets.
        - `dtype`: float32 numbers are the float64 ones rounded, labels included.
        - `seed`: another independent data set of the same model (default: the model's).
        """
        n = integer("n", n, minimum=1)
        dtype = dtype_name("dtype", dtype)
        X = np.empty((n, self.dim), dtype=dtype)
        y = np.empty(n, dtype=dtype)
        for rows, block in self.blocks(n, purpose=purpose, seed=seed):
            X[rows], y[rows] = block.X, block.y
        return Dataset(X, y)

    def blocks(
        self, n: int, *, purpose: str = "stage1", seed: int | None = None
    ) -> Iterator[tuple[slice, Dataset]]:
        """The float64 row blocks of `sample(n, …)` one after the other."""
        for index, rows in enumerate(row_blocks(n)):
            yield rows, self.block(index, rows.stop - rows.start, purpose=purpose, seed=seed)

    def block(
        self, index: int, rows: int, *, purpose: str = "stage1", seed: int | None = None
    ) -> Dataset:
        """The first `rows` rows of float64 block `index`, drawn without the others."""
        key = PURPOSES.index(choice("purpose", purpose, PURPOSES))
        seed = self.seed if seed is None else seed
        generator = self.inputs(index, purpose=purpose, seed=seed)
        X = generator.standard_normal((rows, self.dim))
        return Dataset(X, self._labels(X @ self.subspace.T, index, key, seed))

    def inputs(
        self, index: int, *, purpose: str = "stage1", seed: int | None = None
    ) -> np.random.Generator:
        """The generator of block `index`'s inputs: its standard normals are the rows in order."""
        key = PURPOSES.index(choice("purpose", purpose, PURPOSES))
        return Stream(self.seed if seed is None else seed, _INPUTS, key).block(index)

    def labels(
        self,
        z: NDArray[np.floating[Any]],
        *,
        purpose: str = "stage1",
        dtype: Any = "float64",
        seed: int | None = None,
    ) -> NDArray[np.floating[Any]]:
        """Labels `(n,)` of hidden features z `(n, r)` that were drawn elsewhere.

        The noise is that of `sample` for the same purpose and seed.
        """
        key = PURPOSES.index(choice("purpose", purpose, PURPOSES))
        seed = self.seed if seed is None else seed
        z = array("z", z, (None, self.rank))
        y = np.empty(len(z), dtype=dtype_name("dtype", dtype))
        # A link need not be called for each block of the noise, nor see all rows at once.
        stride = BLOCK_ROWS if self.noise else 128 * BLOCK_ROWS

        def label(start: int) -> None:
            part = np.asarray(z[start : start + stride], dtype=np.float64)
            y[start : start + stride] = self._labels(part, start // BLOCK_ROWS, key, seed)

        map_in_order(label, range(0, len(z), stride))
        return y

    def _labels(
        self, z: NDArray[np.float64], index: int, key: int, seed: int
    ) -> NDArray[np.float64]:
        y = self.link(z)
        if self.noise:
            noise = Stream(seed, _NOISE, key).block(index).standard_normal(len(z))
            y = y + self.noise * noise
        return y

    def __repr__(self) -> str:
        noise = f", noise={self.noise:g}" if self.noise else ""
        return f"MultiIndexModel({self.link.name!r}, dim={self.dim}{noise}, seed={self.seed})"
