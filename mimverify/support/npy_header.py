"""The header of .npy data, read without evaluating it.

NumPy's own reader parses the header as Python and raises whatever the parser does.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np

from mimverify.support.errors import InputError
from mimverify.support.strict_json import brief

__all__ = ["NpyHeader", "read_npy_header"]

_MAGIC = b"\x93NUMPY"
_LONGEST = 10_000  # bytes of a header, as NumPy's own limit
_LARGEST = 1 << 62  # bytes of an array: more cannot be counted
_DIMENSIONS = 32

# Written by Python 2, an integer may end in L. A list describes records.
_ENTRY = re.compile(
    r"""\s*['"](\w{1,20})['"]\s*:\s*
    ( '[^']*' | "[^"]*" | True | False | \([0-9L,\ ]*\) | \[.*\] )\s*(?:,|(?=\}))""",
    re.VERBOSE | re.DOTALL,
)
_DTYPE = re.compile(r"[<>|=]?(?:[biufcSUVOmM]\d{0,9}|\?)(?:\[\w{1,9}\])?")


@dataclass(frozen=True)
class NpyHeader:
    """What precedes the entries.

    **Arguments**

    - `shape`, `dtype`: of the array; never of Python objects or records.
    - `order`: "C" or "F".
    - `start`: bytes before the first entry.
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    order: str
    start: int

    @property
    def nbytes(self) -> int:
        """Of the entries."""
        return math.prod(self.shape) * self.dtype.itemsize


def read_npy_header(file: BinaryIO, source: str) -> NpyHeader:
    """Read the header at the position of an open file, and leave the file behind it.

    **Raises** `InputError`, beginning with `source`, for anything that is not the header of an
    array of single values; at most some 10 kB are read.
    """
    magic = file.read(8)
    if magic[:6] != _MAGIC or magic[6:] not in (b"\x01\x00", b"\x02\x00", b"\x03\x00"):
        raise InputError(f"{source}: expected a .npy file, found {brief(magic)} at its start")
    width = 2 if magic[6] == 1 else 4
    length = int.from_bytes(file.read(width), "little")
    if length > _LONGEST:
        raise InputError(f"{source}: no valid .npy header (of {length} bytes)")
    raw = file.read(length)
    if len(raw) < length:
        raise InputError(f"{source}: truncated within the header: expected a .npy file")
    try:
        shape, dtype, order = _parsed(raw.decode("utf-8" if magic[6] == 3 else "latin-1"))
    except ValueError as error:
        raise InputError(f"{source}: {error}") from None
    if math.prod(size for size in shape if size) * max(dtype.itemsize, 1) > _LARGEST:
        raise InputError(f"{source}: has shape {brief(shape)}: too large for any machine")
    return NpyHeader(shape, dtype, order, len(magic) + width + length)


def _parsed(text: str) -> tuple[tuple[int, ...], np.dtype[Any], str]:
    """**Raises** `ValueError` with what is wrong."""
    wrong = ValueError(f"no valid .npy header ({brief(text.strip())})")
    body = text.strip()
    if not (body.startswith("{") and body.endswith("}")):
        raise wrong
    found: dict[str, str] = {}
    position = 1
    while body[position:].strip() != "}":
        entry = _ENTRY.match(body, position)
        if entry is None or entry[1] in found:
            raise wrong
        found[entry[1]] = entry[2]
        position = entry.end()
    if sorted(found) != ["descr", "fortran_order", "shape"]:
        raise wrong
    if found["descr"].startswith("["):
        raise ValueError("holds records: expected real numbers")
    order = {"True": "F", "False": "C"}.get(found["fortran_order"])
    if order is None or not found["shape"].startswith("("):
        raise wrong
    return _shape(found["shape"], wrong), _dtype(found["descr"][1:-1]), order


def _shape(text: str, wrong: ValueError) -> tuple[int, ...]:
    parts = [part.strip() for part in text[1:-1].split(",")]
    if parts[-1] == "":  # after the last comma, or between the parentheses of no dimensions
        parts.pop()
    if len(parts) > _DIMENSIONS or not all(re.fullmatch(r"\d{1,19}L?", part) for part in parts):
        raise wrong
    return tuple(int(part.rstrip("L")) for part in parts)


def _dtype(name: str) -> np.dtype[Any]:
    if not _DTYPE.fullmatch(name):
        raise ValueError(f"has dtype {brief(name)}: expected real numbers")
    try:
        dtype: np.dtype[Any] = np.dtype(name)
    except (TypeError, ValueError):
        raise ValueError(f"has dtype {brief(name)}: expected real numbers") from None
    if dtype.hasobject:
        raise ValueError("holds Python objects: expected real numbers")
    return dtype
