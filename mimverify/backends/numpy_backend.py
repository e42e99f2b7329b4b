"""The NumPy backend."""

from __future__ import annotations

import numpy as np

from mimverify.backends.base import Backend
from mimverify.support.arrays import Array, FloatArray

__all__ = ["NumpyBackend"]


class NumpyBackend(Backend):
    """NumPy on the CPU."""

    name = "numpy"
    title = "NumPy"
    modules = ("numpy",)
    native_pass = True

    def asarray(self, x: Array) -> FloatArray:
        return np.ascontiguousarray(x, dtype=self.dtype)

    def to_numpy(self, x: Array) -> FloatArray:
        return np.array(x)

    def empty(self, shape: tuple[int, ...]) -> FloatArray:
        return np.empty(shape, dtype=self.dtype)
