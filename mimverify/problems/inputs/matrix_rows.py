"""Inputs that are rows of the user's matrix."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mimverify.problems.inputs.base import InputLaw
from mimverify.support.arrays import ArrayLike, Float64Array
from mimverify.support.errors import InputError
from mimverify.support.npy_file import map_npy
from mimverify.support.validation import array

if TYPE_CHECKING:
    from jaxtyping import Float64

__all__ = ["MatrixRows"]

_DIGEST = 16  # hexadecimal digits by which a matrix is told from others


class MatrixRows(InputLaw):
    """Rows of a matrix `(N, d)`, drawn with replacement, its columns standardised.

    Every row is drawn independently and with equal probability, as the bootstrap does: a data set
    may be larger than the matrix, and data sets of different purposes share rows of it. From each
    column its mean is subtracted, and what remains is divided by its standard deviation, so that
    E x_k = 0 and E x_k² = 1; correlations between columns stay. `matrix` is the result, float64.

    **Arguments**

    - `matrix`: real and finite, of two rows or more.
    - `path`: the file that it was read from, if any.

    **Raises** `InputError` for another array, or a column that is constant.
    """

    finite = True

    def __init__(self, matrix: ArrayLike, *, path: str = "") -> None:
        what = f"inputs: rows of {path}" if path else "inputs: matrix"
        X = array(what, matrix, (None, None), dtype="float64")
        if len(X) < 2:
            raise InputError(f"{what} has {len(X)} row: expected at least 2")
        with np.errstate(over="ignore", invalid="ignore"):  # reported with the constant columns
            centred = X - X.mean(axis=0)
            spread = np.sqrt(np.mean(centred**2, axis=0))
        # A constant column whose mean is rounded leaves a spread of a few units of its entries.
        least = 2.0**-40 * np.abs(X).max(axis=0)
        usable = np.isfinite(spread) & (spread > least)
        if not usable.all():
            column = int(np.argmin(usable))
            raise InputError(
                f"{what}: column {column} has the standard deviation {spread[column]:.3g}: it "
                "cannot be standardised; leave it out"
            )
        self.matrix: Float64[Float64Array, "N d"] = centred / spread
        self.matrix.flags.writeable = False
        content = hashlib.sha256(repr(X.shape).encode() + np.ascontiguousarray(X).tobytes())
        self._name = f"rows:{path}#{content.hexdigest()[:_DIGEST]}"

    @classmethod
    def read(cls, specification: str) -> MatrixRows:
        """The rows of a .npy file.

        **Arguments**

        - `specification`: its path; after a '#' the digest that `name` gave, for a file that must
          not have changed.

        **Raises** `InputError` for a file that cannot be read, or another digest.
        """
        found = re.fullmatch(rf"(.*)#([0-9a-f]{{{_DIGEST}}})", specification)
        path, digest = (found[1], found[2]) if found else (specification, "")
        if not path:
            raise InputError(
                f"inputs='rows:{specification}': expected the path of a .npy file, or the matrix "
                "itself, MatrixRows(X)"
            )
        law = cls(map_npy(Path(path)), path=path)
        if digest and not law.name.endswith(digest):
            raise InputError(
                f"inputs='rows:{specification}': the file has another content now, "
                f"#{law.name[-_DIGEST:]}"
            )
        return law

    @property
    def name(self) -> str:
        """The path, and a digest of the numbers: of another matrix it is another law."""
        return self._name

    def check(self, dim: int) -> None:
        if self.matrix.shape[1] != dim:
            raise InputError(
                f"dim={dim}: the matrix of the inputs has {self.matrix.shape[1]} columns; "
                f"give dim={self.matrix.shape[1]}"
            )

    def fill(self, generator: np.random.Generator, out: Float64[Float64Array, "k d"]) -> None:
        np.take(self.matrix, generator.integers(len(self.matrix), size=len(out)), axis=0, out=out)
