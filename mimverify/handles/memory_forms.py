"""Memory in which a trainer can be handed its arguments: equal arrays, laid out differently.

A caller's array may be a column of a table, a file that is mapped read-only, a transposed or
reversed view. What a trainer computes depends on the numbers alone. Arguments are laid out on the
trainer's side, as part of the call: nothing of a layout survives a way between processes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from mimverify.handles.methods import Arrays
from mimverify.support.arrays import NumpyArray
from mimverify.support.validation import choice

__all__ = ["MEMORY_FORMS", "PLAIN", "MemoryForm", "lay_out"]


@dataclass(frozen=True)
class MemoryForm:
    """One way in which the arguments of a call lie in memory.

    **Arguments**

    - `text`: what is special about it, a few words for messages.
    - `remedy`: what makes a trainer accept it.
    - `lay_out`: new arrays of the same names, shapes, dtypes and values.
    - `refusable`: whether a trainer may raise an exception in answer: such arrays are rare, and
      libraries refuse them (Torch those of negative strides). It may not misread them.
    """

    text: str
    remedy: str
    lay_out: Callable[[Arrays], dict[str, NumpyArray]]
    refusable: bool = False


def lay_out(arrays: Arrays, form: str) -> dict[str, NumpyArray]:
    """Private copies of the arrays, in their order, in a form of `MEMORY_FORMS`.

    **Raises** `InputError` for another form.
    """
    made = MEMORY_FORMS[choice("form", form, MEMORY_FORMS)].lay_out(arrays)
    return {name: made[name] for name in arrays}


def _each(make: Callable[[NumpyArray], NumpyArray]) -> Callable[[Arrays], dict[str, NumpyArray]]:
    """Every array by itself."""
    return lambda arrays: {name: make(array) for name, array in arrays.items()}


def _plain(array: NumpyArray) -> NumpyArray:
    return np.array(array, order="C")


def _decoys(array: NumpyArray) -> NumpyArray:
    """Numbers like those of `array` in other places: what is read beside it is not seen as such."""
    return np.asarray(np.flip(array) + 1).astype(array.dtype)


def _strided(array: NumpyArray) -> NumpyArray:
    wide = np.tile(_decoys(array), (2,) * array.ndim)
    every_second: Any = (slice(None, None, 2),) * array.ndim
    view = wide[..., *every_second]
    view[...] = array
    return view


def _reversed(array: NumpyArray) -> NumpyArray:
    return np.asarray(np.flip(_plain(np.flip(array))))


def _read_only(array: NumpyArray) -> NumpyArray:
    copy = _plain(array)
    copy.setflags(write=False)
    return copy


def _misaligned(array: NumpyArray) -> NumpyArray:
    memory = np.zeros(array.nbytes + 2 * array.itemsize, dtype=np.uint8)
    offset = 1 if memory.ctypes.data % array.itemsize == 0 else 0
    view: NumpyArray = np.ndarray(array.shape, array.dtype, buffer=memory, offset=offset)
    view[...] = array
    return view


def _columns(arrays: Arrays) -> dict[str, NumpyArray]:
    """Arrays of one length and dtype side by side in one table, with a column of others behind."""
    found = {name: _plain(array) for name, array in arrays.items()}
    groups: dict[tuple[int, np.dtype], list[str]] = {}
    for name, array in found.items():
        if array.size:
            groups.setdefault((len(array) if array.ndim else -1, array.dtype), []).append(name)
    for (length, dtype), names in groups.items():
        if length < 0:  # numbers have no columns
            continue
        flat = [found[name].reshape(length, -1) for name in names]
        table = np.concatenate([*flat, _decoys(flat[0][:, :1])], axis=1, dtype=dtype)
        start = 0
        for name, columns in zip(names, flat, strict=True):
            view = table[:, start : start + columns.shape[1]]
            found[name] = view.reshape(found[name].shape)  # splits an axis: still a view
            start += columns.shape[1]
    return found


def _shared(arrays: Arrays) -> dict[str, NumpyArray]:
    """Equal arrays are one array, and one that equals the first rows of another is a view of it."""
    found: dict[str, NumpyArray] = {}
    for name in sorted(arrays, key=lambda name: -arrays[name].size):
        array = _plain(arrays[name])
        larger = next((other for other in found.values() if _begins_with(other, array)), array)
        found[name] = larger if larger.shape == array.shape else larger[: len(array)]
    return found


def _begins_with(array: NumpyArray, rows: NumpyArray) -> bool:
    same = array.dtype == rows.dtype and array.ndim == rows.ndim > 0
    if not same or array.shape[1:] != rows.shape[1:] or len(rows) > len(array):
        return False
    return array[: len(rows)].tobytes() == rows.tobytes()


_COPY = "np.array(…, order='C') copies an argument in any form into memory of its own"

#: The form without anything special: C-contiguous and aligned, writable, memory of its own.
PLAIN = "C"

#: By name; the first is `PLAIN`.
MEMORY_FORMS: Mapping[str, MemoryForm] = {
    PLAIN: MemoryForm("C-contiguous, aligned, writable, memory of its own", _COPY, _each(_plain)),
    "Fortran": MemoryForm(
        "Fortran order: columns are contiguous", _COPY, _each(lambda a: np.array(a, order="F"))
    ),
    "strided": MemoryForm("every second entry of a larger array", _COPY, _each(_strided)),
    "reversed": MemoryForm(
        "negative strides, as of X[::-1, ::-1]", _COPY, _each(_reversed), refusable=True
    ),
    "columns": MemoryForm(
        "columns of one table, as X = table[:, :d] and y = table[:, d]", _COPY, _columns
    ),
    "read-only": MemoryForm(
        "memory that cannot be written, as of a mapped file",
        "np.array(…) makes a copy that can be; in Cython declare `const double[:, :]`",
        _each(_read_only),
    ),
    "misaligned": MemoryForm(
        "an address that is no multiple of the item's size, as of a packed record", _COPY,
        _each(_misaligned), refusable=True,
    ),
    "shared": MemoryForm(
        "equal arguments are one array, W may be the first rows of X", _COPY, _shared
    ),
}  # fmt: skip
