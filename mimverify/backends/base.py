"""Array backends: where the numbers live while a network trains.

One trainer code runs on NumPy and Torch; a backend only places arrays (library, device,
dtype) and brings them back. The arithmetic itself is written with operators and the
array API namespace.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mimverify.support.validation import dtype_name

__all__ = ["Backend"]


class Backend(ABC):
    """Places arrays of one dtype on one device.

    **Arguments**

    - `dtype`: `"float32"` or `"float64"`.
    - `device`: `"cpu"`, or for Torch any device name such as `"cuda"`.
    """

    name: str

    def __init__(self, dtype: str, device: str = "cpu") -> None:
        self.dtype = dtype_name("dtype", dtype)
        self.device = device

    @abstractmethod
    def asarray(self, x: Any) -> Any:
        """`x` (a NumPy array) as an array of this backend; copies only if it must."""

    @abstractmethod
    def to_numpy(self, x: Any) -> NDArray[np.floating[Any]]:
        """A NumPy copy of `x`, safe to keep while training goes on."""

    @abstractmethod
    def empty(self, shape: tuple[int, ...]) -> Any:
        """An array of this shape whose entries are yet to be written."""

    @property
    def unit_roundoff(self) -> float:
        """u of the dtype: 2⁻²⁴ or 2⁻⁵³."""
        return float(np.finfo(self.dtype).eps) / 2
