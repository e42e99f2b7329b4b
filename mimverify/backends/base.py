"""Array backends: the library, device and dtype that a network is trained in.

The same code runs on all of them: a backend only converts arrays to its library, device and
dtype, and back. The arithmetic is written with operators and the array API namespace.

A backend is one file of this package with a subclass of `Backend`; `registry` finds it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from mimverify.backends.pass_terms import PassTerms, Residual, WholeBlock
from mimverify.support.arrays import Array, FloatArray, NumpyArray
from mimverify.support.errors import InputError
from mimverify.support.optional_libraries import missing_libraries
from mimverify.support.validation import dtype_name

if TYPE_CHECKING:
    from jaxtyping import Float, Real

__all__ = ["Backend", "power_of_two_below"]

# A block is a thread's unit of work. The taller it is, the less the sum of the blocks' results
# costs, and the more of its rows are fetched while earlier ones are processed.
_BLOCK_BYTES = 1 << 23
# Rows should stay in cache between the two products, beside their projections, and be enough for
# the products and the elementwise work between them to run at full speed.
_CACHE_BYTES = 1 << 21
_MIN_ROWS, _MAX_ROWS = 128, 1024
# A GPU is faster with few tall blocks.
_DEVICE_BYTES = 1 << 28


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
    - `special_functions`: the module that has `erf` and `ndtr` for its arrays; `array_modules`:
      top-level modules of these arrays' types.

    A library whose arrays can be written to in place needs no more than the abstract methods. One
    that compiles whole passes, and keeps its own copy of the rows, has `place`, `whole_block` and
    `residuals` too.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    modules: ClassVar[tuple[str, ...]] = ()
    extra: ClassVar[str] = ""
    takes_devices: ClassVar[bool] = False
    native_pass: ClassVar[bool] = False
    special_functions: ClassVar[str]
    array_modules: ClassVar[tuple[str, ...]]

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

    def memory_of_rows(self, shape: tuple[int, int]) -> NumpyArray:
        """Uninitialised memory of NumPy for rows `(n, d)`: `place` keeps them there if it can."""
        return np.empty(shape, dtype=self.dtype)

    @abstractmethod
    def matmul(self, left: Array, right: Array, out: Array | None = None) -> Array:
        """left @ right, written to `out` if given; `left` or `right` may be placed rows."""

    @abstractmethod
    def view(self, x: Float[Array, "*shape"]) -> Float[NumpyArray, "*shape"]:
        """A NumPy array in the memory of `x`, an array `on_host`."""

    def fill_normals(self, rows: Float[Array, "p k"], seed: int) -> None:
        """Overwrite `rows` by the device's own generator, where arrays are not `on_host`."""
        raise NotImplementedError(f"{self.name}: no generator of normals on {self.device}")

    # -- how a pass goes ------------------------------------------------------------------------

    @property
    def on_host(self) -> bool:
        """Whether its arrays lie in this process's memory."""
        return self.device == "cpu"

    @property
    def block_per_thread(self) -> bool:
        """Whether each thread works on blocks of its own, with one thread in every library.

        The elementwise work between the products is then parallel as well, and no result depends
        on the number of threads. Devices other than CPUs parallelise by themselves.
        """
        return self.device == "cpu"

    @property
    def threads_may_share(self) -> bool:
        """Whether threads that draw rows may also process them, each with its own arrays."""
        return True

    def rows_per_block(self, dim: int) -> int:
        """How many rows a pass takes at a time: a power of two, the same for every design.

        The order of summation depends on it: designs of the same numbers agree bit for bit only if
        their blocks are the same.
        """
        if self.device != "cpu":
            return power_of_two_below(max(_DEVICE_BYTES // self._row(dim), _MIN_ROWS))
        return self._fitting(_BLOCK_BYTES, dim)

    def rows_in_cache(self, dim: int) -> int:
        """How many rows of a block are taken at a time where each library call is one product."""
        return (
            self._fitting(_CACHE_BYTES, dim) if self.device == "cpu" else self.rows_per_block(dim)
        )

    def _fitting(self, nbytes: int, dim: int) -> int:
        return power_of_two_below(min(max(nbytes // self._row(dim), _MIN_ROWS), _MAX_ROWS))

    def _row(self, dim: int) -> int:
        return dim * int(np.dtype(self.dtype).itemsize)

    def place(self, block: Float[Array, "k d"]) -> Array:
        """Rows `(k, d)`, an array of the backend, as its passes read them."""
        return block

    def whole_block(self, terms: PassTerms, V: Float[Array, "q d"]) -> WholeBlock | None:
        """A pass over one block at once, placed rows; None where the two products make it."""
        return None

    def residuals(self, terms: PassTerms) -> Residual | None:
        """The work between the two products; None where operators and memory in place do it."""
        return None

    @property
    def unit_roundoff(self) -> float:
        """u of the dtype: 2⁻²⁴ or 2⁻⁵³."""
        return float(np.finfo(self.dtype).eps) / 2


def power_of_two_below(number: int) -> int:
    """The largest power of two that is not above a positive number."""
    return 1 << (number.bit_length() - 1)
