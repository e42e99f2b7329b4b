"""Array backends: the library, device and dtype that a network is trained in.

The same code runs on all of them: a backend only converts arrays to its library, device and
dtype, and back. The arithmetic is written with operators and the array API namespace.

A backend is one file of this package with a subclass of `Backend`; `registry` finds it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from mimverify.support.arrays import Array, FloatArray
from mimverify.support.errors import InputError
from mimverify.support.optional_libraries import missing_libraries
from mimverify.support.validation import dtype_name

if TYPE_CHECKING:
    from jaxtyping import Float, Real

__all__ = ["Backend"]


class Backend(ABC):
    """Arrays of one dtype on one device.

    **Arguments**

    - `dtype`: `"float32"` or `"float64"`.
    - `device`: `"cpu"`, or for one that `takes_devices` any of its library's, such as `"cuda"`.

    **Raises** `InputError` for an unknown dtype, or a device that it cannot use.

    What a subclass says of itself:

    - `name`: what users call it, `LayerwiseTrainer(backend=name)`.
    - `title`: its library's name as people write it.
    - `modules`: top-level modules of the libraries that it imports when it is constructed.
    - `extra`: the extra of mimverify that installs them; empty where mimverify needs them anyway.
    - `takes_devices`: whether there are others than the CPU.
    - `native_pass`: whether the native library does its pass over the rows.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    modules: ClassVar[tuple[str, ...]] = ()
    extra: ClassVar[str] = ""
    takes_devices: ClassVar[bool] = False
    native_pass: ClassVar[bool] = False

    def __init__(self, dtype: str, device: str = "cpu") -> None:
        if device != "cpu" and not self.takes_devices:
            raise InputError(f"device={device!r}: the {self.name} backend has only 'cpu'")
        self.dtype = dtype_name("dtype", dtype)
        self.device = device

    @classmethod
    def missing(cls) -> str | None:
        """Why it cannot be used here, with what to install; None if it can."""
        return missing_libraries(cls.modules, cls.extra)

    @abstractmethod
    def asarray(self, x: Real[Array, "*shape"]) -> Float[Array, "*shape"]:
        """`x` (a NumPy array) as an array of this backend; copies only if it must."""

    @abstractmethod
    def to_numpy(self, x: Float[Array, "*shape"]) -> Float[FloatArray, "*shape"]:
        """A NumPy copy of `x`."""

    @abstractmethod
    def empty(self, shape: tuple[int, ...]) -> Array:
        """An uninitialised array of this shape."""

    @property
    def unit_roundoff(self) -> float:
        """u of the dtype: 2⁻²⁴ or 2⁻⁵³."""
        return float(np.finfo(self.dtype).eps) / 2
