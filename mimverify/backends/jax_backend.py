"""The JAX backend: passes over the rows that XLA compiles.

Arrays that are as small as the weights stay NumPy's, between the passes: only the n d numbers of
the rows are JAX's, on the device, and a pass is one call of a compiled program. The weights of a
step, m d numbers, cross to it and back. So no setting of JAX need be changed, not even for a
moment outside of these calls: float64 is switched on for them alone.

XLA compiles a program for each shape, which takes as long as a thousand small steps. Small blocks
are therefore padded with zeros to a power of two in each direction, of four for the rows, and pass
through few programs that all networks share: the two products, and σ with σ', and l', on vectors of
two lengths. Larger blocks are compiled whole, in their own shape: both products and what is between
them. They are tall: XLA's products are the faster for it, and a call costs more than a cache saves.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache, partial
from importlib import import_module
from types import ModuleType

import numpy as np

from mimverify.backends.base import Backend, power_of_two_below
from mimverify.backends.pass_terms import PassTerms, Residual, WholeBlock
from mimverify.support.arrays import Array, FloatArray, NumpyArray
from mimverify.support.errors import InputError

__all__ = ["JaxBackend"]

# Rows of a block: one call of a program.
_BLOCK_BYTES = 1 << 26
_MIN_ROWS = 128
# Entries of a padded block, and multiply-adds of a product with it, up to which it is small.
_SMALL_BLOCK = 1 << 18
_SMALL_PRODUCT = 1 << 23
# Where XLA reads NumPy's memory in place: at multiples of so many bytes, else it copies.
_ALIGNMENT = 64
_DEVICE = re.compile(r"([a-z]+)(?::(\d{1,3}))?")
# Lengths of vectors that σ and l' are compiled for: to compile one more takes as long as hundreds
# of calls of the shorter, which itself is for vectors that take no longer than a call.
_LENGTHS = (1 << 12, 1 << 15)


class JaxBackend(Backend):
    """JAX on any of its devices: `"cpu"`, or one of a platform's, `"gpu"`, `"cuda:1"`."""

    name = "jax"
    title = "JAX"
    modules = ("jax",)
    extra = "jax"
    takes_devices = True
    special_functions = "jax.scipy.special"
    array_modules = ("jax", "jaxlib")

    def __init__(self, dtype: str, device: str = "cpu") -> None:
        super().__init__(dtype, device)
        self._device = _device(device)
        self._programs = _programs()

    def asarray(self, x: Array) -> FloatArray:
        array = np.asarray(x)
        if array.dtype == self.dtype and array.flags.c_contiguous:
            return array
        copy = self.empty(array.shape)
        copy[...] = array
        return copy

    def to_numpy(self, x: Array) -> FloatArray:
        return np.array(x)

    def empty(self, shape: tuple[int, ...]) -> FloatArray:
        size = math.prod(shape) * np.dtype(self.dtype).itemsize
        memory = np.empty(size + _ALIGNMENT, np.uint8)
        start = -memory.ctypes.data % _ALIGNMENT
        return memory[start : start + size].view(self.dtype).reshape(shape)

    def memory_of_rows(self, shape: tuple[int, int]) -> NumpyArray:
        return self.empty(shape)

    def view(self, x: Array) -> FloatArray:
        return np.asarray(x)

    @property
    def on_host(self) -> bool:
        return True  # the arrays that it hands out

    @property
    def block_per_thread(self) -> bool:
        return False  # XLA divides each program among threads of its own

    @property
    def threads_may_share(self) -> bool:
        return False

    def rows_per_block(self, dim: int) -> int:
        if self.device != "cpu":
            return super().rows_per_block(dim)
        return power_of_two_below(max(_BLOCK_BYTES // self._row(dim), _MIN_ROWS))

    def rows_in_cache(self, dim: int) -> int:
        return self.rows_per_block(dim)  # a program sees to it

    # -- rows on the device -----------------------------------------------------------------

    def place(self, block: Array) -> _Placed:
        k, d = block.shape
        return _Placed(self._put(_padded(block, self._padded_shape(k, d))), (k, d))

    def _padded_shape(self, k: int, d: int) -> tuple[int, int]:
        rows, columns = _power(k, 4), _power(d, 2)
        if rows * columns <= _SMALL_BLOCK:
            return rows, columns
        return k, d

    def _put(self, x: Array) -> Array:
        with self._scope():
            return self._programs.jax.device_put(np.asarray(x, self.dtype), self._device)

    @contextmanager
    def _scope(self) -> Iterator[None]:
        """The settings of JAX that its results depend on, for this thread and block alone."""
        jax = self._programs.jax
        # NumPy's arrays that a program is given go where placed rows are.
        with jax.default_device(self._device), _float64(jax, self.dtype == "float64"):
            yield

    # -- products with rows -----------------------------------------------------------------

    def matmul(self, left: Array, right: Array, out: Array | None = None) -> Array:
        """`left` or `right` may be placed rows; the result is NumPy's in any case."""
        if isinstance(left, _Placed):
            result = self._times(left, right)
        elif isinstance(right, _Placed):
            result = self._transposed_times(right, left)
        else:
            return np.matmul(left, right, out=out)
        if out is None:
            return np.array(result)
        out[...] = result
        return out

    def _times(self, rows: _Placed, right: Array) -> FloatArray:
        """X @ right `(k, q)`."""
        k, q = rows.shape[0], right.shape[1]
        right = _padded(right, (rows.array.shape[1], rows.few(q)))
        return self._run(self._programs.product, rows.array, right)[:k, :q]

    def _transposed_times(self, rows: _Placed, left: Array) -> FloatArray:
        """left @ X `(p, d)`."""
        p, d = left.shape[0], rows.shape[1]
        left = _padded(left, (rows.few(p), rows.array.shape[0]))
        return self._run(self._programs.product, left, rows.array)[:p, :d]

    def _run(self, program: Callable[..., Array], *arguments: Array) -> FloatArray:
        with self._scope():
            result: FloatArray = np.asarray(program(*arguments))
            return result

    def _elementwise(self, functions: _Same, *arrays: FloatArray) -> list[FloatArray]:
        """What the functions make of arrays of one shape, each in the shape of these."""
        shape, size = arrays[0].shape, arrays[0].size
        flat = [np.ascontiguousarray(array, self.dtype).reshape(-1) for array in arrays]
        parts: list[list[FloatArray]] = []
        length = next((length for length in _LENGTHS if size <= 2 * length), _LENGTHS[-1])
        with _as_input_errors(self._programs.jax), self._scope():
            for start in range(0, max(size, 1), length):  # once for no rows, too
                part = slice(start, min(start + length, size))
                computed = self._programs.elementwise(
                    functions,
                    *(_padded(array[part], (length,)) for array in flat),
                )
                parts.append([np.asarray(values)[: part.stop - part.start] for values in computed])
        # Joined in new arrays: those of JAX cannot be written to.
        return [np.concatenate(pieces).reshape(shape) for pieces in zip(*parts, strict=True)]

    # -- a pass -----------------------------------------------------------------------------

    def whole_block(self, terms: PassTerms, V: Array) -> WholeBlock | None:
        """By one compiled program, or a few where the block is small."""
        whole = self._whole(terms, V)
        between = self.residuals(terms)

        def write(block: Array, rows: slice, out: Array) -> None:
            placed = block if isinstance(block, _Placed) else self.place(block)
            if placed.array.size * len(V) > _SMALL_PRODUCT:
                whole(placed, terms.y[rows], out)
            else:
                R = between(self._times(placed, V.T), rows)
                out[...] = self._transposed_times(placed, R.T)

        return write

    def residuals(self, terms: PassTerms) -> Residual:
        pair, slope_of = _pair(terms), _Same(terms.slope)
        m = len(terms.a)

        def residuals(P: Array, rows: slice) -> FloatArray:
            y = terms.y[rows]
            value, first = self._elementwise(pair, P[:, :m] + terms.b)
            output = np.zeros_like(y) if terms.cancelling else value @ terms.a
            output += terms.constant
            if terms.linear:
                output += P[:, m]
            (slope,) = self._elementwise(slope_of, output, y)
            first *= (slope - terms.offset)[:, None]
            return first

        return residuals

    def _whole(self, terms: PassTerms, V: Array) -> Callable[[_Placed, Array, Array], None]:
        functions = _Same(*_pair(terms).functions, terms.slope)
        constants = [np.asarray(c, self.dtype) for c in (terms.constant, terms.offset)]
        weights: list[Array] = []

        def whole(placed: _Placed, y: Array, out: Array) -> None:
            N, D = placed.array.shape
            if not weights:  # of one shape for all blocks of a pass that are not small
                weights.extend(map(self._put, (_padded(V, (len(V), D)), terms.a, terms.b)))
            n = None if len(placed) == N else len(placed)  # nothing is padded
            with _as_input_errors(self._programs.jax):
                result = self._run(
                    partial(self._programs.whole, functions, terms.cancelling, terms.linear),
                    placed.array, _padded(y, (N,)), *weights, n, *constants,
                )  # fmt: skip
            out[...] = result[:, : out.shape[1]]

        return whole


@dataclass(frozen=True)
class _Placed:
    """Rows on a device: `shape` `(k, d)` of `array`, whose other entries are zero."""

    array: Array
    shape: tuple[int, int]

    def __len__(self) -> int:
        return self.shape[0]

    def few(self, count: int) -> int:
        """At least `count`, of few possible numbers where the block is small."""
        return _power(count, 2) if self.array.size <= _SMALL_BLOCK else count


def _padded(x: Array, shape: tuple[int, ...]) -> Array:
    """x, with zeros after it in each direction."""
    if x.shape == shape:
        return x
    result = np.zeros(shape, x.dtype)
    result[tuple(slice(0, size) for size in x.shape)] = x
    return result


def _power(number: int, base: int) -> int:
    """At least `number`: 8, times a power of the base."""
    result = 8
    while result < number:
        result *= base
    return result


# -- programs ----------------------------------------------------------------------------------


_Function = Callable[..., "Array | tuple[Array, Array]"]


class _Same:
    """Functions that are equal only if they are the same: a key of compiled programs."""

    def __init__(self, *functions: _Function) -> None:
        self.functions = functions

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and list(map(id, self.functions)) == list(
            map(id, other.functions)
        )

    def __hash__(self) -> int:
        return hash(tuple(map(id, self.functions)))


def _pair(terms: PassTerms) -> _Same:
    """What gives σ and σ': one function for both, or two."""
    return _Same(terms.value, terms.first) if terms.pair is None else _Same(terms.pair)


class _Programs:
    """Functions that JAX compiles, once for each shape, dtype and functions of a network."""

    def __init__(self, jax: ModuleType) -> None:
        self.jax = jax
        numpy, lax = jax.numpy, jax.lax
        # On a GPU the default would round float32 to ten bits.
        dot = partial(numpy.matmul, precision=lax.Precision.HIGHEST)

        def results(functions: Sequence[_Function], *arguments: Array) -> list[Array]:
            found = [function(*arguments) for function in functions]
            return list(found[0]) if isinstance(found[0], tuple) else found

        def whole(
            functions: _Same, cancelling: bool, linear: bool,
            X: Array, y: Array, V: Array, a: Array, b: Array, n: Array | None,
            constant: Array, offset: Array,
        ) -> Array:  # fmt: skip
            *pair, slope = functions.functions
            m = a.shape[0]
            P = dot(X, V.T)
            Z = P[:, :m] + b
            value, first = results(pair, Z)
            output = numpy.zeros_like(y) if cancelling else dot(value, a)
            output = output + constant
            if linear:
                output = output + P[:, m]
            R = (first * (slope(output, y) - offset)[:, None]).astype(X.dtype)
            if n is not None:  # not a product with zero: what is padded may be infinite
                R = numpy.where((numpy.arange(X.shape[0]) < n)[:, None], R, 0)
            return dot(R.T, X)

        def elementwise(functions: _Same, *vectors: Array) -> list[Array]:
            return [v.astype(vectors[0].dtype) for v in results(functions.functions, *vectors)]

        self.product = jax.jit(dot)
        self.whole = jax.jit(whole, static_argnums=(0, 1, 2))
        self.elementwise = jax.jit(elementwise, static_argnums=0)


@lru_cache(maxsize=1)
def _programs() -> _Programs:
    return _Programs(import_module("jax"))  # not at the top: importing it takes a second


@contextmanager
def _as_input_errors(jax: ModuleType) -> Iterator[None]:
    """Name what JAX cannot compile: a function that asks for values, calls NumPy itself, or
    writes into an array, which is a bare `TypeError`."""
    try:
        yield
    except (TypeError, jax.errors.JAXIndexError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(
            "activation, loss: JAX cannot compile one of these functions; write it with the "
            "functions of array_api_compat.array_namespace, without branches on values and without "
            f"writing into arrays ({reason})"
        ) from error


def _float64(jax: ModuleType, on: bool) -> Array:
    """With or without float64, which JAX otherwise turns into float32."""
    if hasattr(jax, "enable_x64"):
        return jax.enable_x64(on)
    return import_module("jax.experimental").enable_x64(on)


@lru_cache(maxsize=16)
def _device(name: str) -> Array:
    """The device of that name: a platform, and after a colon a number.

    **Raises** `InputError` with the names there are.
    """
    jax = _programs().jax
    form = _DEVICE.fullmatch(name)
    try:
        if form is None:
            raise IndexError
        return jax.devices(form[1])[int(form[2] or 0)]
    except (RuntimeError, IndexError):
        there = ", ".join(dict.fromkeys(["cpu", *(f"{d.platform}:{d.id}" for d in jax.devices())]))
        raise InputError(f"device={name!r}: JAX has no such device here, only {there}") from None
