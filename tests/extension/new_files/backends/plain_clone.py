"""NumPy once more under another name: what a backend has to say, and no more."""

from __future__ import annotations

import numpy as np

from mimverify.backends.base import Backend
from mimverify.support.arrays import Array, FloatArray


class PlainClone(Backend):
    """NumPy's products and operators, without the native library."""

    name = "plain_clone"
    title = "Plain clone"
    modules = ("numpy",)
    extra = "clone"
    special_functions = "scipy.special"
    array_modules = ("numpy",)

    def asarray(self, x: Array) -> FloatArray:
        return np.ascontiguousarray(x, dtype=self.dtype)

    def to_numpy(self, x: Array) -> FloatArray:
        return np.array(x)

    def empty(self, shape: tuple[int, ...]) -> FloatArray:
        return np.empty(shape, dtype=self.dtype)

    def matmul(self, left: Array, right: Array, out: Array | None = None) -> Array:
        return np.matmul(left, right, out=out)

    def view(self, x: Array) -> FloatArray:
        return np.asarray(x)
