"""Array backends: the library, device and dtype that a network is trained in.

The same code runs on NumPy and Torch: a backend only converts arrays to its library, device and
dtype, and back. The arithmetic is written with operators and the array API namespace.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

import numpy as np

from mimverify.support.arrays import Array, FloatArray
from mimverify.support.validation import dtype_name

if TYPE_CHECKING:
    from jaxtyping import Float, Real

__all__ = ["Backend"]


class Backend(ABC):
    """Arrays of one dtype on one device.

    **Arguments**

    - `dtype`: `"float32"` or `"float64"`.
    - `device`: `"cpu"`, or for Torch any device name such as `"cuda"`.
    """

    name: str

    def __init__(self, dtype: str, device: str = "cpu") -> None:
        self.dtype = dtype_name("dtype", dtype)
        self.device = device

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
