"""Tables of comma-separated numbers, with a line of names or without."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mimverify.support.arrays import Float64Array
from mimverify.support.errors import InputError
from mimverify.support.files import reason_of
from mimverify.support.memory import check_fits

if TYPE_CHECKING:
    from jaxtyping import Float64

__all__ = ["CsvTable", "read_csv"]

_SEPARATORS = ",;\t"
_LONGEST_LINE = 1 << 24  # characters of the first line
# Of the file's size: a number of two characters takes eight bytes.
_EXPANSION = 5


@dataclass(frozen=True)
class CsvTable:
    """`names` of the columns, empty without a line of names; `values` `(n, columns)`."""

    names: tuple[str, ...]
    values: Float64[Float64Array, "n columns"]


def read_csv(path: str) -> CsvTable:
    """All of a file; the separator is the one of comma, semicolon and tab that line 1 has most.

    The first line is one of names unless all of it are numbers.

    **Raises** `InputError` for a file that cannot be read, is empty, or has an entry that is no
    number, with its line and column.
    """
    names: tuple[str, ...] = ()
    try:
        with Path(path).open(encoding="utf-8-sig", newline="") as file:
            check_fits(_EXPANSION * Path(path).stat().st_size, path)
            first = file.readline(_LONGEST_LINE)
            if not first.strip():
                raise InputError(f"{path}: its first line is empty: expected names or numbers")
            separator = max(_SEPARATORS, key=first.count)
            names = _names(first, separator)
            if not names:
                file.seek(0)
            with np.errstate(over="ignore"):  # a value that is too large is infinite: refused later
                values = _numbers(file, separator)
    except InputError:  # which is a ValueError as well
        raise
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({reason_of(error)})") from None
    except UnicodeDecodeError:
        raise InputError(f"{path}: is no text: expected comma-separated numbers") from None
    except ValueError as error:
        raise InputError(f"{path}: {_where(str(error), bool(names))}") from None
    if values.size == 0:
        raise InputError(f"{path}: has no rows of numbers")
    if names and len(names) != values.shape[1]:
        raise InputError(
            f"{path}: line 1 has {len(names)} names, the rows have {values.shape[1]} columns"
        )
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise InputError(f"{path}: columns {repeated} are there twice: expected different names")
    return CsvTable(names, values)


def _names(line: str, separator: str) -> tuple[str, ...]:
    fields = [field.strip() for field in next(csv.reader([line], delimiter=separator))]
    try:
        for field in fields:
            float(field)
    except ValueError:
        return tuple(fields)
    return ()


def _numbers(file: object, separator: str) -> Float64Array:
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # "contained no data": refused by the caller
        return np.loadtxt(  # type: ignore[call-overload,no-any-return]
            file, delimiter=separator, ndmin=2, quotechar='"', comments=None, dtype=np.float64
        )


def _where(message: str, named: bool) -> str:
    """NumPy's sentence, which counts rows of numbers from 0."""
    count = "after the names" if named else "of the file"
    return (
        f"{message} (rows {count}, counted from 0): expected a number in every column of each row"
    )
