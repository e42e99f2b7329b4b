"""The NumPy backend."""

from __future__ import annotations

import numpy as np

from mimverify.backends.base import Backend
from mimverify.backends.pass_terms import PassTerms, WholeBlock
from mimverify.native import NetworkPass, native_library
from mimverify.support.arrays import Array, FloatArray

__all__ = ["NumpyBackend"]


class NumpyBackend(Backend):
    """NumPy on the CPU."""

    name = "numpy"
    title = "NumPy"
    modules = ("numpy",)
    native_pass = True
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

    def whole_block(self, terms: PassTerms, V: Array) -> WholeBlock | None:
        """By the native library, for activations and losses that it has."""
        native = native_library() if terms.native is not None and V.size else None
        if native is None or terms.native is None:
            return None
        activation, loss, delta = terms.native
        network = NetworkPass(
            native, V, terms.a, terms.b if terms.biased else None,
            activation=activation, loss=loss, delta=delta, constant=terms.constant,
            offset=terms.offset, cancelling=terms.cancelling,
        )  # fmt: skip
        y = terms.y

        def write(block: Array, rows: slice, out: Array) -> None:
            network(block, y[rows], out)

        return write
