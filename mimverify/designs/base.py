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
from mimverify.support.arrays import Array, Float64Array
from mimverify.support.threads import single_threaded_libraries

if TYPE_CHECKING:
    from jaxtyping import Float, Float64

#: Maps projections `(k, q)` of some rows, and their range, to residuals `(k, p)`. It has no
#: side effects but on the projections, which it may overwrite: a design may call it from several
#: threads, for blocks in any order.
RowFunction = Callable[[Array, slice], Array]


def project_block(
    block: Array, directions: Float[Array, "d q"], backend: Backend
) -> Float[Array, "k q"]:
    """X_b Vᵀ `(k, q)` of placed rows `(k, d)` and Vᵀ `(d, q)`, as a pass of any design has it."""
    if not backend.block_per_thread:
        return backend.matmul(block, directions)
    with single_threaded_libraries():
        return backend.matmul(block, directions)


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

    def reduce(self, partial: Float64[Float64Array, "*shape"]) -> Float64[Float64Array, "*shape"]:
        """The sum over processes of an array of any shape that each computed from its rows."""
        return partial
