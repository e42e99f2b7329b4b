"""The pass of a network's first layer, and its features, by the native library.

Arrays stay those of NumPy; the library allocates nothing and starts no threads. While it works the
interpreter's lock is released.
"""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING

import numpy as np

from mimverify.native.library import Library
from mimverify.support.arrays import FloatArray, NumpyArray
from mimverify.support.scratch import Scratch

if TYPE_CHECKING:
    from jaxtyping import Float, Float64

#: The numbers of network.h.
NATIVE_ACTIVATIONS = (
    "log-cosh", "quadratic", "pseudo-huber", "relu", "softplus", "gelu", "tanh",
    "softplus-centred", "gelu-centred", "exp-centred",
)  # fmt: skip
NATIVE_LOSSES = ("squared", "l1", "huber", "pseudo-huber", "log-cosh")

_LINE = 64  # bytes of a cache line, and of the widest vector
#: By the bytes of a number. NumPy puts a dtype's name together anew each time it is asked, which a
#: short step can feel.
_NAMES = {4: "float32", 8: "float64"}


class _Network(ctypes.Structure):
    """struct mimverify_network of interface.h."""

    _fields_ = (
        *((name, ctypes.c_int64) for name in
          ("columns", "neurons", "directions", "activation", "loss", "cancelling")),
        *((name, ctypes.c_double) for name in ("delta", "constant", "offset")),
        *((name, ctypes.c_void_p) for name in ("packed", "a", "b")),
    )  # fmt: skip


class NetworkPass:
    """ρ(X_b Vᵀ, y_b)ᵀ X_b `(m, d)` for blocks of rows, ρ the residuals of a network.

    **Arguments**

    - `library`: at the level to use.
    - `V`: the neurons' weights `(m, d)`, and perhaps a linear part as one more row.
    - `a`, `b`: `(m,)`; b is None where all are zero.
    - `activation`, `loss`: of `NATIVE_ACTIVATIONS` and `NATIVE_LOSSES`; `delta`: the loss's δ.
    - `constant`, `offset`: added to the outputs, and subtracted from l'.
    - `cancelling`: the neurons' outputs cancel, and are taken for zero.

    Residuals are (l' − offset) σ'(z): the factor a_j of neuron j is left to the caller.
    """

    def __init__(
        self,
        library: Library,
        V: Float[FloatArray, "q d"],
        a: Float[FloatArray, " m"],
        b: Float[FloatArray, " m"] | None,
        *,
        activation: str,
        loss: str,
        delta: float = 1.0,
        constant: float = 0.0,
        offset: float = 0.0,
        cancelling: bool = False,
    ) -> None:
        dtype = V.dtype.newbyteorder("=")  # in this machine's
        name = _NAMES[dtype.itemsize]
        V = np.ascontiguousarray(V, dtype)
        (q, d), m = V.shape, len(a)
        if q - m not in (0, 1) or (b is not None and len(b) != m):
            raise ValueError(
                f"{q} directions, {m} output weights, biases: expected m or m + 1, m, m"
            )
        lanes = library.vector_bytes // dtype.itemsize
        padded = -(-q // lanes) * lanes
        self.neurons = m
        self._dtype = dtype
        self._pass = library.function("mimverify_pass", name)
        size = library.function("mimverify_workspace", name)
        size.restype = ctypes.c_int64
        self._workspace = int(size(ctypes.c_int64(q), ctypes.c_int64(d)))
        self._scratch = Scratch()
        packed = _aligned(padded * d, dtype)
        library.function("mimverify_pack", name)(
            _pointer(V), ctypes.c_int64(d), ctypes.c_int64(q), ctypes.c_int64(d), _pointer(packed)
        )
        arrays = [
            packed,
            _padded(a, padded, dtype),
            None if b is None else _padded(b, padded, dtype),
        ]
        self._arrays = arrays  # the structure holds only their addresses
        self._network = _Network(
            d, m, q, NATIVE_ACTIVATIONS.index(activation), NATIVE_LOSSES.index(loss), cancelling,
            delta, constant, offset, *(None if v is None else v.ctypes.data for v in arrays),
        )  # fmt: skip

    def __call__(
        self, block: Float[FloatArray, "k d"], y: Float[FloatArray, " k"], out: FloatArray
    ) -> None:
        """Write the result for a block and its labels to `out` `(m, d)`, rows contiguous."""
        y = np.ascontiguousarray(y, self._dtype)
        block = _rows(block.astype(self._dtype, copy=False))
        if len(y) != len(block):
            raise ValueError(f"{len(block)} rows and {len(y)} labels: expected as many of both")
        _check_place(out, (self.neurons, block.shape[1]), self._dtype)
        if block.shape[1] != self._network.columns:
            raise ValueError(f"{block.shape[1]} columns: expected {self._network.columns}")
        if not len(block):
            out[...] = 0
            return
        (memory,) = self._scratch.blocks((self._workspace + _LINE // 4,), like=out)
        offset = -memory.ctypes.data % _LINE // self._dtype.itemsize
        self._pass(
            ctypes.byref(self._network), ctypes.c_int64(len(block)), _pointer(block),
            ctypes.c_int64(block.strides[0] // self._dtype.itemsize), _pointer(y), _pointer(out),
            _pointer(memory[offset:]),
        )  # fmt: skip


def network_features(
    library: Library,
    activation: str,
    P: Float[NumpyArray, "n q"],
    directions: int,
    biases: Float[NumpyArray, " p"],
    out: Float64[NumpyArray, "n p"],
) -> None:
    """Write σ(P[:, j mod k] + b_j) to `out`, rows contiguous; k is the number of `directions`.

    P and the biases have one dtype, in which σ is computed.
    """
    P, biases = _rows(P), np.ascontiguousarray(biases, P.dtype)
    if not 0 < directions <= P.shape[1]:
        raise ValueError(f"{directions} directions: expected 1 to {P.shape[1]}")
    _check_place(out, (len(P), len(biases)), np.dtype(np.float64))
    row = _aligned(len(biases) + _LINE // P.itemsize, P.dtype)
    library.function("mimverify_features", P.dtype.name)(
        ctypes.c_int64(NATIVE_ACTIVATIONS.index(activation)), ctypes.c_int64(len(P)), _pointer(P),
        ctypes.c_int64(P.strides[0] // P.itemsize), ctypes.c_int64(directions), _pointer(biases),
        ctypes.c_int64(len(biases)), _pointer(row), _pointer(out),
    )  # fmt: skip


def _pointer(array: NumpyArray) -> ctypes.c_void_p:
    return ctypes.c_void_p(array.ctypes.data)


def _check_place(out: NumpyArray, shape: tuple[int, ...], dtype: np.dtype[np.floating]) -> None:
    """Before the library writes there, which takes any address for granted."""
    if out.shape != shape or out.dtype != dtype or not out.flags.carray:
        raise ValueError(
            f"out: {out.dtype} {out.shape} with strides {out.strides}: expected contiguous and "
            f"writeable {dtype} {shape}"
        )


def _rows(block: NumpyArray) -> NumpyArray:
    """The block, or a copy of one whose rows are not contiguous or start between two numbers."""
    down, across = block.strides
    whole = across == block.itemsize and down >= 0 and down % block.itemsize == 0
    if whole and block.flags.aligned:
        return block
    return np.ascontiguousarray(block)


def _aligned(count: int, dtype: np.dtype[np.floating]) -> FloatArray:
    memory = np.empty(count * dtype.itemsize + _LINE, np.uint8)
    offset = -memory.ctypes.data % _LINE
    result: FloatArray = memory[offset : offset + count * dtype.itemsize].view(dtype)
    return result


def _padded(values: FloatArray, count: int, dtype: np.dtype[np.floating]) -> FloatArray:
    result = _aligned(count, dtype)
    result[: len(values)] = values
    result[len(values) :] = 0
    return result
