"""Arrays of real numbers in .npy files, memory-mapped."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np

from mimverify.support.arrays import NumpyArray
from mimverify.support.errors import InputError
from mimverify.support.files import open_regular, reason_of
from mimverify.support.npy_header import read_npy_header

__all__ = ["check_real", "map_npy"]


def map_npy(path: Path) -> NumpyArray:
    """The array in a .npy file, memory-mapped.

    **Raises** `InputError` for a file that is missing, truncated, empty, not .npy or of a dtype
    that is not real.
    """
    with open_regular(path) as (file, size):
        header = read_npy_header(file, str(path))
    shape, dtype, total = header.shape, header.dtype, header.start + header.nbytes
    check_real(str(path), dtype)
    if header.nbytes == 0:
        raise InputError(f"{path}: has shape {shape}: expected at least one entry")
    if total > size:
        raise InputError(
            f"{path}: truncated: its header promises shape {shape} and dtype {dtype}, "
            f"{total} bytes in all, but the file has {size}"
        )
    order: Literal["C", "F"] = "F" if header.order == "F" else "C"
    try:
        return np.memmap(path, dtype, "r", header.start, shape, order)
    except (OSError, ValueError, OverflowError) as error:
        raise InputError(f"{path}: cannot be read ({reason_of(error)})") from None


def check_real(name: str, dtype: np.dtype[Any]) -> None:
    """**Raises** `InputError` for a dtype that is not real, beginning with `name`."""
    if dtype.kind not in "fiu":
        raise InputError(f"{name}: has dtype {dtype}: expected real numbers")
