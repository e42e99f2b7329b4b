"""The JAX backend: passes over the rows that XLA compiles.

Arrays that are as small as the weights stay NumPy's, between the passes: only the n d numbers of
the rows are JAX's, on the device, and a pass is one call of a compiled program. The weights of a
step, m d numbers, cross to it and back. So no setting of JAX need be changed, not even for a
moment outside of these calls: float64 is switched on for them alone.

XLA compiles a program for each shape, which takes as long as a thousand small steps. Small blocks
are therefore padded with zeros to a power of eight in each direction, and programs take how many
rows and neurons there are as an argument; and σ, l' and the products are programs of their own,
shared by all combinations of them. The larger ones are compiled whole, in their own shape: both
products and what is between them, for rows that fit a core's cache at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache, partial
from importlib import import_module
from types import ModuleType

import numpy as np

from mimverify.backends.base import Backend, power_of_two_below
from mimverify.backends.pass_terms import PassTerms, Residual, WholeBlock
from mimverify.support.arrays import Array, FloatArray
from mimverify.support.errors import InputError

__all__ = ["JaxBackend"]

# Rows of a block: one call of a program.
_BLOCK_BYTES = 1 << 24
# Rows that stay in a core's cache from the first product to the second.
_CACHE_BYTES = 1 << 21
_MIN_ROWS, _MAX_ROWS = 128, 512
# Entries of a padded block, and multiply-adds of a product with it, up to which it is small.
_SMALL_BLOCK = 1 << 18
_SMALL_PRODUCT = 1 << 22


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
        return np.ascontiguousarray(x, dtype=self.dtype)

    def to_numpy(self, x: Array) -> FloatArray:
        return np.array(x)

    def empty(self, shape: tuple[int, ...]) -> FloatArray:
        return np.empty(shape, dtype=self.dtype)

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
        rows, columns = _power_of_eight(k), _power_of_eight(d)
        if rows * columns <= _SMALL_BLOCK:
            return rows, columns
        step = self._rows_of_a_turn(d)
        return -(-k // step) * step, d

    def _rows_of_a_turn(self, dim: int) -> int:
        return power_of_two_below(min(max(_CACHE_BYTES // self._row(dim), _MIN_ROWS), _MAX_ROWS))

    def _put(self, x: Array) -> Array:
        with self._scope():
            return self._programs.jax.device_put(np.asarray(x, self.dtype), self._device)

    @contextmanager
    def _scope(self) -> Iterator[None]:
        """The settings of JAX that its results depend on, for this thread and block alone."""
        with _float64(self._programs.jax, self.dtype == "float64"):
            yield

    # -- products with rows -----------------------------------------------------------------

    def matmul(self, left: Array, right: Array, out: Array | None = None) -> Array:
        """`left` or `right` may be placed rows; the result is NumPy's in any case."""
        if isinstance(left, _Placed):
            result = self._product(left.array, right, (left.array.shape[1], None))
        elif isinstance(right, _Placed):
            result = self._product(right.array.T, left.T, (right.array.shape[0], None)).T
        else:
            return np.matmul(left, right, out=out)
        result = result[: len(left), : right.shape[1]]
        if out is None:
            return np.array(result)
        out[...] = result
        return out

    def _product(self, rows: Array, other: Array, shape: tuple[int, int | None]) -> Array:
        columns = other.shape[1]
        wide = _power_of_eight(columns) if rows.size <= _SMALL_BLOCK else columns
        other = _padded(np.asarray(other, self.dtype), (shape[0], wide))
        with self._scope():
            return np.asarray(self._programs.product(rows, other))

    # -- a pass -----------------------------------------------------------------------------

    def whole_block(self, terms: PassTerms, V: Array) -> WholeBlock | None:
        """By a compiled program, or a few where the block is small."""
        operands = _Operands(self, terms, V)

        def write(block: Array, rows: slice, out: Array) -> None:
            placed = block if isinstance(block, _Placed) else self.place(block)
            labels = _padded(terms.y[rows], placed.array.shape[:1])
            N, D = placed.array.shape
            small = N * D * _power_of_eight(len(V)) <= _SMALL_PRODUCT
            compute = self._in_parts if small else self._whole
            with _as_input_errors(self._programs.jax), self._scope():
                result = np.asarray(compute(operands, placed, labels))
            out[...] = result[: out.shape[0], : out.shape[1]]

        return write

    def _whole(self, operands: _Operands, placed: _Placed, labels: FloatArray) -> Array:
        N, D = placed.array.shape
        turn = min(self._rows_of_a_turn(D), N) if self.device == "cpu" else N
        weights, a, b = operands.of(D, padded=False)
        return self._programs.whole(
            operands.functions, operands.terms.cancelling, operands.terms.linear, turn,
            placed.array, labels, weights, a, b, placed.shape[0], *operands.constants,
        )  # fmt: skip

    def _in_parts(self, operands: _Operands, placed: _Placed, labels: FloatArray) -> Array:
        run, terms, m = self._programs, operands.terms, len(operands.terms.a)
        weights, a, b = operands.of(placed.array.shape[1], padded=True)
        constant, offset = operands.constants
        Z = run.projections(placed.array, weights, b)
        value, first = run.pair(operands.functions.pair, Z)
        kept = 0 if terms.cancelling else m
        output = run.outputs(value, Z, a, labels, kept, m if terms.linear else -1, constant)
        slope = run.slope(operands.functions.slope, output, labels, offset)
        return run.adjoint(first, slope, placed.array, placed.shape[0], m)

    def residuals(self, terms: PassTerms) -> Residual | None:
        operands = _Operands(self, terms, None)

        def residuals(P: Array, rows: slice) -> FloatArray:
            k = len(P)
            step = _power_of_eight(k) if k <= _TALL else -(-k // _TALL) * _TALL
            P = self._put(_padded(P, (step, P.shape[1])))
            with _as_input_errors(self._programs.jax), self._scope():
                result = self._programs.between(
                    operands.functions, terms.cancelling, terms.linear, P,
                    _padded(terms.y[rows], (step,)), terms.a, terms.b, *operands.constants,
                )  # fmt: skip
                return np.array(np.asarray(result)[:k])

        return residuals


# Rows of projections alone: beyond it they are padded to a multiple of it.
_TALL = 4096


@dataclass(frozen=True)
class _Placed:
    """Rows on a device: `shape` `(k, d)` of `array`, whose other entries are zero."""

    array: Array
    shape: tuple[int, int]

    def __len__(self) -> int:
        return self.shape[0]


class _Operands:
    """What a pass takes beside the rows, on the device, once for all blocks of one shape."""

    def __init__(self, backend: JaxBackend, terms: PassTerms, V: Array | None) -> None:
        self.terms = terms
        self.functions = _Functions.of(terms)
        self.constants = tuple(np.asarray(c, backend.dtype) for c in (terms.constant, terms.offset))
        self._backend, self._V = backend, V
        self._placed: dict[tuple[int, bool], tuple[Array, Array, Array]] = {}

    def of(self, columns: int, *, padded: bool) -> tuple[Array, Array, Array]:
        """V, a and b; `padded`: to so many rows that few shapes occur."""
        if (columns, padded) not in self._placed:
            rows = _power_of_eight(len(self._V)) if padded else len(self._V)
            few = (rows,) if padded else self.terms.a.shape
            arrays = (
                _padded(self._V, (rows, columns)),
                _padded(self.terms.a, few),
                _padded(self.terms.b, few),
            )
            put = self._backend._put
            self._placed[columns, padded] = (put(arrays[0]), put(arrays[1]), put(arrays[2]))
        return self._placed[columns, padded]


def _padded(x: Array, shape: tuple[int, ...]) -> Array:
    """x, with zeros after it in each direction."""
    if x.shape == shape:
        return x
    result = np.zeros(shape, x.dtype)
    result[tuple(slice(0, size) for size in x.shape)] = x
    return result


def _power_of_eight(number: int) -> int:
    result = 8
    while result < number:
        result *= 8
    return result


# -- programs ----------------------------------------------------------------------------------


class _Same:
    """Functions that are equal only if they are the same: a key of compiled programs."""

    def __init__(self, *functions: Callable[..., Array]) -> None:
        self.functions = functions

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and list(map(id, self.functions)) == list(
            map(id, other.functions)
        )

    def __hash__(self) -> int:
        return hash(tuple(map(id, self.functions)))


@dataclass(frozen=True)
class _Functions:
    """σ and σ' together, and l'."""

    pair: _Same
    slope: _Same

    @classmethod
    def of(cls, terms: PassTerms) -> _Functions:
        return cls(_Same(terms.value, terms.first), _Same(terms.slope))


class _Programs:
    """Functions that JAX compiles, once for each shape, dtype and functions of a network."""

    def __init__(self, jax: ModuleType) -> None:
        self.jax = jax
        numpy, lax = jax.numpy, jax.lax
        # On a GPU the default would round float32 to ten bits.
        dot = partial(numpy.matmul, precision=lax.Precision.HIGHEST)

        def between(
            functions: _Functions, cancelling: bool, linear: bool,
            P: Array, y: Array, a: Array, b: Array, constant: Array, offset: Array,
        ) -> Array:  # fmt: skip
            m = a.shape[0]
            Z = P[:, :m] + b
            value, first = functions.pair.functions
            output = numpy.zeros_like(y) if cancelling else dot(value(Z), a)
            output = output + constant
            if linear:
                output = output + P[:, m]
            (slope,) = functions.slope.functions
            return (first(Z) * (slope(output, y) - offset)[:, None]).astype(P.dtype)

        def whole(
            functions: _Functions, cancelling: bool, linear: bool, turn: int,
            X: Array, y: Array, V: Array, a: Array, b: Array, n: Array, *constants: Array,
        ) -> Array:  # fmt: skip
            def of_turn(number: Array, total: Array) -> Array:
                start = number * turn
                rows = lax.dynamic_slice_in_dim(X, start, turn)
                labels = lax.dynamic_slice_in_dim(y, start, turn)
                R = between(functions, cancelling, linear, dot(rows, V.T), labels, a, b, *constants)
                # Not a product with zero: a residual at a row that there is not may be infinite.
                R = numpy.where((start + numpy.arange(turn) < n)[:, None], R, 0)
                return total + dot(R.T, rows)

            total = numpy.zeros((a.shape[0], X.shape[1]), X.dtype)
            turns = X.shape[0] // turn
            return of_turn(0, total) if turns == 1 else lax.fori_loop(0, turns, of_turn, total)

        def projections(X: Array, V: Array, b: Array) -> Array:
            return (dot(X, V.T) + b).reshape(-1)

        def pair(functions: _Same, Z: Array) -> tuple[Array, Array]:
            value, first = functions.functions
            return value(Z).astype(Z.dtype), first(Z).astype(Z.dtype)

        def outputs(
            value: Array, Z: Array, a: Array, y: Array, kept: Array, linear: Array, constant: Array
        ) -> Array:
            shape, neuron = (y.shape[0], a.shape[0]), numpy.arange(a.shape[0])
            part = numpy.where(neuron < kept, value.reshape(shape), 0)
            theta = numpy.where(neuron == linear, Z.reshape(shape), 0)
            return dot(part, a) + constant + numpy.sum(theta, axis=1)

        def slope(functions: _Same, output: Array, y: Array, offset: Array) -> Array:
            (derivative,) = functions.functions
            return (derivative(output, y) - offset).astype(y.dtype)

        def adjoint(first: Array, slope: Array, X: Array, n: Array, m: Array) -> Array:
            N = X.shape[0]
            R = first.reshape(N, -1) * slope[:, None]
            there = (numpy.arange(N) < n)[:, None] & (numpy.arange(R.shape[1]) < m)
            return dot(numpy.where(there, R, 0).T, X)

        self.product = jax.jit(dot)
        self.between = jax.jit(between, static_argnums=(0, 1, 2))
        self.whole = jax.jit(whole, static_argnums=(0, 1, 2, 3))
        self.projections, self.outputs = jax.jit(projections), jax.jit(outputs)
        self.adjoint = jax.jit(adjoint)
        self.pair = jax.jit(pair, static_argnums=0)
        self.slope = jax.jit(slope, static_argnums=0)


@lru_cache(maxsize=1)
def _programs() -> _Programs:
    return _Programs(import_module("jax"))  # not at the top: importing it takes a second


@contextmanager
def _as_input_errors(jax: ModuleType) -> Iterator[None]:
    """Name what JAX cannot compile: a function that asks for values, or calls NumPy itself."""
    try:
        yield
    except (jax.errors.JAXTypeError, jax.errors.JAXIndexError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(
            "activation, loss: JAX cannot compile one of these functions; write it with the "
            f"functions of array_api_compat.array_namespace, without branches on values ({reason})"
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
    platform, _, number = name.partition(":")
    found: list[Array] = []
    try:
        found = jax.devices(platform)
        return found[int(number or 0)]
    except (RuntimeError, ValueError, IndexError):
        there = ", ".join(dict.fromkeys(["cpu", *(f"{d.platform}:{d.id}" for d in jax.devices())]))
        raise InputError(f"device={name!r}: JAX has no such device here, only {there}") from None
