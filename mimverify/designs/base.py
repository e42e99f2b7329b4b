"""The seam between training and data: a design matrix known only through passes.

A step of gradient descent touches X `(n, d)` only through X Vᵀ and Xᵀ R with R computed
row by row (theory.md E5). Whatever offers that pass can be trained on: a stored array, a
stream of row blocks, a Gaussian matrix that is revealed lazily, shards on many processes.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from array_api_compat import array_namespace
from numpy.typing import NDArray

from mimverify.backends import Backend
from mimverify.support.threads import single_threaded_libraries

#: Maps projections `(k, q)` of some rows, and their range, to residuals `(k, p)`. It has no
#: side effects but on the projections, which it may write over: a design may call it from several
#: threads, for blocks in any order.
RowFunction = Callable[[Any, slice], Any]

# A block should stay in cache between its two products, be tall enough for the products and for
# what happens between them to run at full speed, and leave room for the projections' blocks.
_CACHE_BYTES = 1 << 21
_MIN_ROWS, _MAX_ROWS = 128, 1024
# A device without such a cache between its cores is better served by few tall blocks.
_DEVICE_BYTES = 1 << 28


def rows_per_block(dim: int, backend: Backend) -> int:
    """How many rows a pass takes at a time: a power of two, the same for every design.

    The order of summation depends on it, so designs that hold the same numbers agree bit
    for bit only if they divide them alike.
    """
    itemsize = 4 if backend.dtype == "float32" else 8
    if backend.device == "cpu":
        fitting = min(max(_CACHE_BYTES // (dim * itemsize), _MIN_ROWS), _MAX_ROWS)
    else:
        fitting = max(_DEVICE_BYTES // (dim * itemsize), _MIN_ROWS)
    return 1 << (fitting.bit_length() - 1)


def blocks_apart(backend: Backend) -> bool:
    """Whether each thread works on blocks of its own, with one thread in every library.

    What happens between the products is then shared out as well, and no result depends on how
    many threads there are. A device shares out its work itself.
    """
    return backend.device == "cpu"


def project_block(block: Any, directions: Any, backend: Backend) -> Any:
    """X_b Vᵀ `(k, q)` of a block `(k, d)` and Vᵀ `(d, q)`, as a pass of any design computes it."""
    if not blocks_apart(backend):
        return block @ directions
    with single_threaded_libraries():
        return block @ directions


class Design(ABC):
    """A design matrix X of `n_samples` rows and `dim` columns, behind its passes.

    Rows are counted over the whole data set, also where this process holds only some of
    them: `one_pass` and `project` then speak for all processes, `projections` for one.
    """

    n_samples: int
    dim: int
    backend: Backend

    @abstractmethod
    def one_pass(self, V: Any, rho: RowFunction) -> Any:
        """Σ over row blocks of ρ(X_b Vᵀ, rows_b)ᵀ X_b, shape `(p, d)`.

        **Arguments**

        - `V`: directions `(q, d)`, an array of the backend.
        - `rho`: called once per block with projections `(k, q)` and the block's row range;
          returns residuals `(k, p)`.
        """

    @abstractmethod
    def projections(self, V: Any) -> Iterator[tuple[slice, Any]]:
        """X_b Vᵀ, shape `(k, q)`, for the row blocks that this process holds, in order."""

    def project(self, V: Any) -> Any:
        """X Vᵀ, shape `(n, q)`, an array of the backend."""
        parts = [part for _, part in self.projections(V)]
        return array_namespace(V).concat(parts) if len(parts) > 1 else parts[0]

    def reduce(self, partial: NDArray[np.float64]) -> NDArray[np.float64]:
        """The sum over processes of what each computed from its own rows."""
        return partial
