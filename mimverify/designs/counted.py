"""A design that counts the operations of its passes: a cost that depends on no machine."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from mimverify.designs.base import Design, RowFunction
from mimverify.support.arrays import Array, Float64Array

if TYPE_CHECKING:
    from jaxtyping import Float, Float64

__all__ = ["CountedDesign", "OperationCounts"]


@dataclass
class OperationCounts:
    """What passes over the rows of a data set have cost so far.

    **Arguments**

    - `multiply_adds`: of the products with the rows alone: n q d for X Vᵀ, V `(q, d)`, and
      n p d for Rᵀ X, R `(n, p)`. The work between them, row by row, costs n q, a lower order.
    - `design_passes`: passes over the rows, unfinished ones included.
    """

    multiply_adds: int = 0
    design_passes: int = 0

    def to_json(self) -> dict[str, int]:
        """The counts by name."""
        return asdict(self)


class CountedDesign(Design):
    """Any design, with the same results to the last bit, that counts its passes.

    Rows of the whole data set count, also where other processes hold some of them; only
    `projections`, which covers one process, counts its own.

    **Arguments**

    - `design`: the one whose passes are counted.
    - `counts`: the totals to add to; new ones by default.
    """

    def __init__(self, design: Design, counts: OperationCounts | None = None) -> None:
        self.design = design
        self.counts = OperationCounts() if counts is None else counts
        self.n_samples, self.dim, self.backend = design.n_samples, design.dim, design.backend

    def one_pass(self, V: Float[Array, "q d"], rho: RowFunction) -> Float[Array, "p d"]:
        self.counts.design_passes += 1
        result = self.design.one_pass(V, rho)
        self._add(self.n_samples, len(V) + len(result))
        return result

    def projections(self, V: Float[Array, "q d"]) -> Iterator[tuple[slice, Float[Array, "k q"]]]:
        self.counts.design_passes += 1
        for rows, projected in self.design.projections(V):
            self._add(len(projected), len(V))
            yield rows, projected

    def project(self, V: Float[Array, "q d"]) -> Float[Array, "n q"]:
        """X Vᵀ, shape `(n, q)`, an array of the backend."""
        self.counts.design_passes += 1
        self._add(self.n_samples, len(V))
        return self.design.project(V)

    def reduce(self, partial: Float64[Float64Array, "*shape"]) -> Float64[Float64Array, "*shape"]:
        return self.design.reduce(partial)

    def _add(self, rows: int, directions: int) -> None:
        self.counts.multiply_adds += rows * directions * self.dim
