"""Inputs and labels from the files that hold them: .npy, Parquet, CSV."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mimverify.fitting.sources import open_files
from mimverify.given_data.csv_table import CsvTable, read_csv
from mimverify.support.arrays import Float64Array
from mimverify.support.errors import InputError
from mimverify.support.memory import check_fits
from mimverify.support.validation import array

if TYPE_CHECKING:
    from jaxtyping import Float64

__all__ = ["read_files"]

_CSV = (".csv", ".tsv", ".txt")


def read_files(
    inputs: str, labels: str
) -> tuple[Float64[Float64Array, "n d"], Float64[Float64Array, " n"]]:
    """X `(n, d)` and y `(n,)`, in memory.

    **Arguments**

    - `inputs`: a .npy, Parquet or CSV file with a row for each sample.
    - `labels`: a .npy file, a CSV file of one column, or the name of a column of `inputs` (of a
      CSV file without names: its number, from 0), which is then none of the inputs.

    **Raises** `InputError` for files that cannot be read, numbers that are not finite, and labels
    that are not one for each row.
    """
    if Path(inputs).suffix.lower() not in _CSV and Path(labels).suffix.lower() not in _CSV:
        rows, y = open_files(inputs, labels)
        check_fits(16 * rows.n_rows * rows.dim, f"{inputs}: {rows.n_rows} rows of {rows.dim}")
        X = np.empty((rows.n_rows, rows.dim))
        rows.begin(0)(slice(0, rows.n_rows), X)
        return X, array(labels, y, (rows.n_rows,), dtype="float64")
    if Path(inputs).suffix.lower() not in _CSV:
        raise InputError(
            f"labels={labels!r}: is a CSV file: expected one only where X is a CSV file as well"
        )
    table = read_csv(inputs)
    kind = Path(labels).suffix.lower()
    if kind in (*_CSV, ".npy") and labels not in table.names:
        X, y = table.values, _label_file(labels, kind)
    else:
        X, y = _apart(inputs, table, labels)
    if len(y) != len(X):
        raise InputError(
            f"labels={labels!r}: has {len(y)} labels: expected {len(X)}, one for each row of "
            f"{inputs}"
        )
    if X.shape[1] == 0:
        raise InputError(f"{inputs}: has no column but the labels: expected inputs as well")
    return array(inputs, X, (None, None), dtype="float64"), array(
        labels, y, (len(X),), dtype="float64"
    )


def _label_file(path: str, kind: str) -> Float64Array:
    if kind == ".npy":
        from mimverify.designs.file_rows import npy_labels

        return np.asarray(npy_labels(path), dtype=np.float64)
    values = read_csv(path).values
    if values.shape[1] != 1:
        raise InputError(f"labels={path!r}: has {values.shape[1]} columns: expected one")
    return values[:, 0]


def _apart(path: str, table: CsvTable, column: str) -> tuple[Float64Array, Float64Array]:
    """The table without a column, and that column."""
    names = table.names or tuple(str(k) for k in range(table.values.shape[1]))
    if column not in names:
        near = difflib.get_close_matches(column, names, n=1)
        hint = f" (did you mean {near[0]!r}?)" if near else ""
        known = ", ".join(names[:8]) + (", …" if len(names) > 8 else "")
        raise InputError(f"labels={column!r}: {path} has the columns {known}{hint}")
    index = names.index(column)
    return np.delete(table.values, index, axis=1), table.values[:, index].copy()
