"""The interface between training and data: a design matrix used only through passes.

A step of gradient descent uses X `(n, d)` only through X Vᵀ and Xᵀ R with R computed row by row
(theory.md E5). Whatever implements that pass can be trained on: a stored array, a stream of row
blocks, a Gaussian matrix sampled lazily, shards on many processes.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from array_api_compat import array_namespace

from mimverify.backends import Backend
from mimverify.support.arrays import Array, Float64Array, FloatArray
from mimverify.support.threads import single_threaded_libraries

if TYPE_CHECKING:
    from jaxtyping import Float, Float64

#: Maps projections `(k, q)` of some rows, and their range, to residuals `(k, p)`. It has no
#: side effects but on the projections, which it may overwrite: a design may call it from several
#: threads, for blocks in any order.
RowFunction = Callable[[Array, slice], Array]

# A block is a thread's unit of work. The taller it is, the less the sum of the blocks' results
# costs, and the more of its rows are fetched while earlier ones are processed.
_BLOCK_BYTES = 1 << 23
# Rows should stay in cache between the two products, beside their projections, and be enough for
# the products and the elementwise work between them to run at full speed.
_CACHE_BYTES = 1 << 21
_MIN_ROWS, _MAX_ROWS = 128, 1024
# A GPU is faster with few tall blocks.
_DEVICE_BYTES = 1 << 28


def rows_per_block(dim: int, backend: Backend) -> int:
    """How many rows a pass takes at a time: a power of two, the same for every design.

    The order of summation depends on it: designs of the same numbers agree bit for bit only if
    their blocks are the same.
    """
    return _power_of_two_below(_BLOCK_BYTES if backend.device == "cpu" else None, dim, backend)


def rows_in_cache(dim: int, backend: Backend) -> int:
    """How many rows of a block are taken at a time where each library call is one product."""
    return _power_of_two_below(_CACHE_BYTES if backend.device == "cpu" else None, dim, backend)


def _power_of_two_below(nbytes: int | None, dim: int, backend: Backend) -> int:
    row = dim * (4 if backend.dtype == "float32" else 8)
    if nbytes is None:
        fitting = max(_DEVICE_BYTES // row, _MIN_ROWS)
    else:
        fitting = min(max(nbytes // row, _MIN_ROWS), _MAX_ROWS)
    return 1 << (fitting.bit_length() - 1)


def block_per_thread(backend: Backend) -> bool:
    """Whether each thread works on blocks of its own, with one thread in every library.

    The elementwise work between the products is then parallel as well, and no result depends on
    the number of threads. Devices other than CPUs parallelise by themselves.
    """
    return backend.device == "cpu"


def project_block(
    block: Float[Array, "k d"], directions: Float[Array, "d q"], backend: Backend
) -> Float[Array, "k q"]:
    """X_b Vᵀ `(k, q)` of a block `(k, d)` and Vᵀ `(d, q)`, as a pass of any design computes it."""
    if not block_per_thread(backend):
        return block @ directions
    with single_threaded_libraries():
        return block @ directions


class Design(ABC):
    """A design matrix X of `n_samples` rows and `dim` columns, behind its passes.

    Rows are counted over the whole data set, also where this process holds only some of
    them: `one_pass` and `project` then cover those of all processes, `projections` of one.
    """

    n_samples: int
    dim: int
    backend: Backend

    @abstractmethod
    def one_pass(self, V: Float[Array, "q d"], rho: RowFunction) -> Float[Array, "p d"]:
        """Σ over row blocks of ρ(X_b Vᵀ, rows_b)ᵀ X_b, shape `(p, d)`.

        **Arguments**

        - `V`: directions `(q, d)`, an array of the backend.
        - `rho`: called once per block with projections `(k, q)` and the block's row range;
          returns residuals `(k, p)`.
        """

    @abstractmethod
    def projections(self, V: Float[Array, "q d"]) -> Iterator[tuple[slice, Float[Array, "k q"]]]:
        """X_b Vᵀ, shape `(k, q)`, for the row blocks that this process holds, in order."""

    def project(self, V: Float[Array, "q d"]) -> Float[Array, "n q"]:
        """X Vᵀ, shape `(n, q)`, an array of the backend."""
        blocks = [block for _, block in self.projections(V)]
        return array_namespace(V).concat(blocks) if len(blocks) > 1 else blocks[0]

    def stored_inputs(self) -> Float[FloatArray, "n d"] | None:
        """X `(n, d)` as an array of NumPy, where this process has all of it in memory; or None."""
        return None

    def reduce(self, partial: Float64[Float64Array, "*shape"]) -> Float64[Float64Array, "*shape"]:
        """The sum over processes of an array of any shape that each computed from its rows."""
        return partial
