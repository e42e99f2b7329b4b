"""Rows and labels on disk: .npy and Parquet files, read block by block."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

from mimverify.designs.rows import Fill, RowSource, SequentialRows, copy_rows
from mimverify.problems.streams import BLOCK_ROWS
from mimverify.support.arrays import Array, ArrayLike, FloatArray, NumpyArray
from mimverify.support.errors import InputError
from mimverify.support.files import reason_of
from mimverify.support.memory import check_fits
from mimverify.support.npy_file import check_real, map_npy
from mimverify.support.validation import array

if TYPE_CHECKING:
    from jaxtyping import Float

_MOST_ROWS = 10**15
# What Arrow's Python side raises, besides its own exceptions, for a damaged file.
_DAMAGED = (ValueError, TypeError, LookupError, OverflowError, MemoryError, RuntimeError)


class NpyRows(RowSource):
    """The rows of a two-dimensional .npy file, memory-mapped block by block.

    **Raises** `InputError` for a file that is missing, truncated, not .npy, of another
    shape or of a dtype that is not real; later, also if it has changed since.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self.name = str(path)
        self._stamp = _Stamp.of(self.path)
        X = map_npy(self.path)
        if X.ndim != 2 or X.size == 0:
            raise InputError(f"{self.name}: has shape {X.shape}: expected (rows, columns)")
        check_real(self.name, X.dtype)
        self.n_rows, self.dim = (int(k) for k in X.shape)

    def begin(self, start: int) -> Fill:
        self._stamp.check(self.path)
        return self._fill

    def _fill(self, rows: slice, out: Array) -> None:
        # A new map for each block: pages of a permanent one would count as this process's memory.
        self._stamp.check(self.path)
        copy_rows(map_npy(self.path)[rows], out, self.name, rows.start)


class ParquetRows(SequentialRows):
    """Rows whose columns are columns of a Parquet file, read batch by batch.

    **Arguments**

    - `columns`: their names, in order; None: all columns of the file except `exclude`.
    - `exclude`: the name of a column that is none of the inputs, such as the labels.

    **Raises** `InputError` without pyarrow (the extra `mimverify[parquet]`), for a file that is
    missing or corrupt, and for columns that it lacks, that are not real numbers or that
    appear twice; later, also for missing values or if the file has changed since.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        columns: Sequence[str] | None = None,
        *,
        exclude: str | None = None,
    ) -> None:
        self.path = Path(path)
        self.name = str(path)
        self._stamp = _Stamp.of(self.path)
        with _parquet(self.path) as file:
            schema = file.schema_arrow
            if columns is None:
                columns = [name for name in schema.names if name != exclude]
            self.columns = list(columns)
            for name in self.columns:
                _check_column(self.name, schema, name)
            groups = [file.metadata.row_group(g).num_rows for g in range(file.num_row_groups)]
        if not all(0 <= rows <= _MOST_ROWS for rows in groups) or sum(groups) > _MOST_ROWS:
            raise InputError(f"{self.name}: cannot be read as Parquet (row groups of {groups[:8]})")
        repeated = {name for name in self.columns if self.columns.count(name) > 1}
        if repeated:
            raise InputError(f"{self.name}: columns {sorted(repeated)} are given twice")
        self._groups = np.concatenate([[0], np.cumsum(groups, dtype=np.int64)])
        self.n_rows, self.dim = int(self._groups[-1]), len(self.columns)
        if self.n_rows == 0 or self.dim == 0:
            raise InputError(
                f"{self.name}: has {self.n_rows} rows and {self.dim} columns of inputs: expected "
                "at least one of each"
            )

    def chunks(self, start: int) -> tuple[int, Iterator[ArrayLike]]:
        self._stamp.check(self.path)
        group = int(np.searchsorted(self._groups, start, side="right")) - 1
        return int(self._groups[group]), self._batches(group)

    def _batches(self, group: int) -> Iterator[NumpyArray]:
        with _parquet(self.path) as file:
            groups = range(group, file.num_row_groups)
            for batch in file.iter_batches(
                BLOCK_ROWS, row_groups=list(groups), columns=self.columns
            ):
                yield self._numbers(batch.select(self.columns))  # the file's order may differ

    def _numbers(self, batch: Any) -> NumpyArray:
        """A batch `(k, d)` in one dtype; a missing value becomes NaN."""
        arrow, _ = _arrow()
        if len({field.type for field in batch.schema}) > 1:
            columns = [column.cast(arrow.float64(), safe=False) for column in batch.columns]
            batch = arrow.RecordBatch.from_arrays(columns, names=batch.schema.names)
        return np.asarray(batch.to_tensor(null_to_nan=True).to_numpy())


def npy_labels(path: str | os.PathLike[str]) -> Float[FloatArray, " n"]:
    """Labels `(n,)` from a .npy file. **Raises** `InputError` as `NpyRows`."""
    _Stamp.of(Path(path))
    y = map_npy(Path(path))
    check_real(str(path), y.dtype)
    return array(str(path), np.array(y), (None,))


def parquet_labels(path: str | os.PathLike[str], column: str) -> Float[FloatArray, " n"]:
    """Labels `(n,)` from a column of a Parquet file. **Raises** `InputError` as `ParquetRows`."""
    _Stamp.of(Path(path))
    with _parquet(Path(path)) as file:
        _check_column(str(path), file.schema_arrow, column)
        rows = file.metadata.num_rows
        if not 0 <= rows <= _MOST_ROWS:
            raise InputError(f"{path}: cannot be read as Parquet ({rows} rows)")
        check_fits(24 * rows, f"{path}: {rows} labels")
        values = file.read(columns=[column]).column(column).to_numpy()
    return array(f"{path}, column {column!r}", values, (None,))


# -- changes of a file --------------------------------------------------------------------------


@dataclass(frozen=True)
class _Stamp:
    """Size and modification time: every pass must read the same data."""

    size: int
    changed: int

    @classmethod
    def of(cls, path: Path) -> _Stamp:
        try:
            status = os.stat(path)
        except (OSError, ValueError) as error:
            raise InputError(f"{path}: cannot be read ({reason_of(error)})") from None
        if not stat.S_ISREG(status.st_mode):
            raise InputError(f"{path}: expected a file")
        return cls(status.st_size, status.st_mtime_ns)

    def check(self, path: Path) -> None:
        if _Stamp.of(path) != self:
            raise InputError(
                f"{path}: has changed since it was opened: expected the same rows at every pass"
            )


# -- Parquet -------------------------------------------------------------------------------------


def _arrow() -> tuple[ModuleType, ModuleType]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise InputError(
            "Parquet files need pyarrow, which is not installed: pip install 'mimverify[parquet]'"
        ) from None
    return pyarrow, pyarrow.parquet


@contextmanager
def _parquet(path: Path) -> Iterator[Any]:
    """The open file; errors of Arrow become `InputError`."""
    arrow, parquet = _arrow()
    try:
        # Without pre-buffering, which would read all row groups ahead.
        with parquet.ParquetFile(path, pre_buffer=False) as file:
            yield file
    except InputError:
        raise
    except (arrow.ArrowException, OSError, *_DAMAGED) as error:
        raise InputError(f"{path}: cannot be read as Parquet ({reason_of(error)})") from None


def _check_column(source: str, schema: Any, name: str) -> None:
    arrow, _ = _arrow()
    found = schema.get_all_field_indices(name)
    if len(found) != 1:
        known = ", ".join(schema.names[:8]) + (", …" if len(schema.names) > 8 else "")
        count = "no column" if not found else "several columns"
        raise InputError(f"{source}: has {count} {name!r}: expected one; its columns are {known}")
    kind = schema.field(found[0]).type
    if not (arrow.types.is_floating(kind) or arrow.types.is_integer(kind)):
        raise InputError(f"{source}: column {name!r} has type {kind}: expected real numbers")
