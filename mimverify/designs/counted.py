"""A design that counts what its passes cost: operations, where seconds would not be honest."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mimverify.designs.base import Design, RowFunction

__all__ = ["CountedDesign", "OperationCounts"]


@dataclass
class OperationCounts:
    """What passes over the rows of a data set have cost so far.

    **Arguments**

    - `multiply_adds`: of the products with the rows alone: n q d for X Vᵀ, V `(q, d)`, and
      n p d for Rᵀ X, R `(n, p)`. What is done row by row in between costs n q, a lower order.
    - `design_passes`: how often the rows were gone through, begun passes included.
    """

    multiply_adds: int = 0
    design_passes: int = 0

    def to_json(self) -> dict[str, int]:
        """The counts by name."""
        return asdict(self)


class CountedDesign(Design):
    """Any design, with the same results to the last bit, that counts its passes.

    Rows of the whole data set count, also where other processes hold some of them; only
    `projections`, which speaks for one process, counts its own.

    **Arguments**

    - `design`: whose passes are counted.
    - `counts`: what they are added to; new ones by default.
    """

    def __init__(self, design: Design, counts: OperationCounts | None = None) -> None:
        self.design = design
        self.counts = OperationCounts() if counts is None else counts
        self.n_samples, self.dim, self.backend = design.n_samples, design.dim, design.backend

    def one_pass(self, V: Any, rho: RowFunction) -> Any:
        self.counts.design_passes += 1
        result = self.design.one_pass(V, rho)
        self._add(self.n_samples, len(V) + len(result))
        return result

    def projections(self, V: Any) -> Iterator[tuple[slice, Any]]:
        self.counts.design_passes += 1
        for rows, projected in self.design.projections(V):
            self._add(len(projected), len(V))
            yield rows, projected

    def project(self, V: Any) -> Any:
        """X Vᵀ, shape `(n, q)`, an array of the backend."""
        self.counts.design_passes += 1
        self._add(self.n_samples, len(V))
        return self.design.project(V)

    def reduce(self, partial: NDArray[np.float64]) -> NDArray[np.float64]:
        return self.design.reduce(partial)

    def _add(self, rows: int, directions: int) -> None:
        self.counts.multiply_adds += rows * directions * self.dim
