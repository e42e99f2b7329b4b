"""Standard normals by counter, by the native library."""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING

from mimverify.native.library import Library
from mimverify.support.arrays import Float64Array, FloatArray, NumpyArray

if TYPE_CHECKING:
    from jaxtyping import Float, Float64, UInt64

__all__ = ["NativeNormals"]


class _Ziggurat(ctypes.Structure):
    """struct mimverify_ziggurat of interface.h."""

    _fields_ = (
        *((name, ctypes.c_void_p) for name in ("scale", "inside", "height")),
        ("tail", ctypes.c_double),
    )


class NativeNormals:
    """Entries of a block of a stream of normals; the definition is the caller's NumPy code.

    **Arguments**

    - `scale`, `inside`, `height`, `tail`: tables of a ziggurat of 1024 layers.
    """

    def __init__(
        self,
        scale: Float64[Float64Array, " layers"],
        inside: UInt64[NumpyArray, " layers"],
        height: Float64[Float64Array, " layers+1"],
        tail: float,
    ) -> None:
        self._arrays = (scale, inside, height)  # the structure holds only their addresses
        self._tables = _Ziggurat(*(table.ctypes.data for table in self._arrays), tail)

    def fill(
        self,
        library: Library,
        out: Float[FloatArray, " n"],
        key: tuple[int, int],
        block: int,
        first: int,
    ) -> None:
        """Write entries from number `first` on into `out` `(n,)`, contiguous."""
        library.function("mimverify_normals", out.dtype.name)(
            ctypes.byref(self._tables), ctypes.c_uint32(key[0]), ctypes.c_uint32(key[1]),
            ctypes.c_uint64(block), ctypes.c_uint64(first), ctypes.c_uint64(len(out)),
            ctypes.c_void_p(out.ctypes.data),
        )  # fmt: skip
