"""The user's inputs and labels, by the names of their files."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from mimverify.designs.file_rows import NpyRows, ParquetRows, npy_labels, parquet_labels
from mimverify.designs.rows import RowSource
from mimverify.support.arrays import FloatArray
from mimverify.support.errors import InputError

if TYPE_CHECKING:
    from jaxtyping import Float


def file_name(argument: str, value: object) -> str:
    """A path as a string. **Raises** `InputError` for anything else."""
    name = os.fspath(value) if isinstance(value, str | os.PathLike) else None
    if not isinstance(name, str):
        raise InputError(f"{argument}={type(value).__name__}: expected the path of a file")
    return name


def open_files(inputs: str, labels: str) -> tuple[RowSource, Float[FloatArray, " n"]]:
    """The rows of X, which stay on disk, and all labels `(n,)`.

    **Arguments**

    - `inputs`: a .npy file `(n, d)`, or a Parquet file with a row for each sample.
    - `labels`: a .npy file `(n,)`, or the name of a column of the Parquet file `inputs`, which
      is then none of the inputs.

    **Raises** `InputError` for names of other kinds, labels that are not one for each row, and
    as `NpyRows` and `ParquetRows`.
    """
    kind, own_file = Path(inputs).suffix.lower(), Path(labels).suffix.lower() == ".npy"
    rows: RowSource
    if kind == ".npy":
        if not own_file:
            raise InputError(f"labels={labels!r}: expected a .npy file, as X is one")
        rows = NpyRows(inputs)
    elif kind in (".parquet", ".pq"):
        rows = ParquetRows(inputs, exclude=None if own_file else labels)
    else:
        raise InputError(f"inputs={inputs!r}: expected a name that ends in .npy or .parquet")
    y = npy_labels(labels) if own_file else parquet_labels(inputs, labels)
    if len(y) != rows.n_rows:
        raise InputError(
            f"labels={labels!r}: has {len(y)} labels: expected {rows.n_rows}, one for each row "
            f"of {inputs}"
        )
    return rows, y
