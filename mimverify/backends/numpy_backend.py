"""The NumPy backend."""

from __future__ import annotations

import numpy as np

from mimverify.backends.base import Backend
from mimverify.support.arrays import Array, FloatArray
from mimverify.support.errors import InputError

__all__ = ["NumpyBackend"]


class NumpyBackend(Backend):
    """NumPy on the CPU."""

    name = "numpy"

    def __init__(self, dtype: str, device: str = "cpu") -> None:
        if device != "cpu":
            raise InputError(f"device={device!r}: the numpy backend has only 'cpu'")
        super().__init__(dtype, device)

    def asarray(self, x: Array) -> FloatArray:
        return np.ascontiguousarray(x, dtype=self.dtype)

    def to_numpy(self, x: Array) -> FloatArray:
        return np.array(x)

    def empty(self, shape: tuple[int, ...]) -> FloatArray:
        return np.empty(shape, dtype=self.dtype)
