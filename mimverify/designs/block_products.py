"""Both products of a pass on one block of rows, and the row function between them."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mimverify.backends import Backend, WholeBlock
from mimverify.designs.base import RowFunction
from mimverify.problems.streams import cut_rows
from mimverify.support.arrays import Array
from mimverify.support.scratch import Pool, Scratch
from mimverify.support.threads import single_threaded_libraries

if TYPE_CHECKING:
    from jaxtyping import Float


class BlockProducts:
    """ρ(X_b Vᵀ, rows_b)ᵀ X_b of one block after another, by several threads at once.

    A row function may know how to compute all of it at once: it then has a method `whole_block(V)`
    that returns the number p of its residuals and a `WholeBlock`, or None where it cannot. Results
    agree with those of the two products up to rounding, and depend on the block alone.

    **Arguments**

    - `V`: directions `(q, d)`, an array of the backend.
    - `rho`: see `Design.one_pass`.
    """

    def __init__(self, V: Float[Array, "q d"], rho: RowFunction, backend: Backend) -> None:
        self._directions, self._rho, self._backend = V, rho, backend
        self._whole = whole_block(rho, V)
        self._rows = backend.rows_in_cache(V.shape[1])
        self._projected, self._products = Scratch(), Pool()

    @property
    def native(self) -> bool:
        """Whether the row function computes all of a block at once."""
        return self._whole is not None

    def __call__(self, block: Array, rows: slice) -> Float[Array, "p d"]:
        V = self._directions
        if self._whole is not None:
            residuals, write = self._whole
            out = self._products.take((residuals, V.shape[1]), like=V, beside=block)
            write(block, rows, out)
            return out
        if len(block) <= self._rows:
            return self._of_part(block, rows)
        total: Array | None = None
        for part in cut_rows(slice(0, len(block)), self._rows):
            term = self._of_part(
                block[part], slice(rows.start + part.start, rows.start + part.stop)
            )
            if total is None:
                total = term
            else:
                total += term
                self.release(term)
        return total

    def _of_part(self, block: Array, rows: slice) -> Array:
        V, matmul = self._directions, self._backend.matmul
        (P,) = self._projected.blocks((len(block), len(V)), like=V)
        R = self._rho(matmul(block, V.T, out=P), rows)
        return matmul(R.T, block, out=self._products.take((R.shape[1], V.shape[1]), like=V))

    def release(self, result: Float[Array, "p d"]) -> None:
        """Let a later block use the memory of a result."""
        self._products.give(result)

    def limits(self) -> AbstractContextManager[None]:
        """The libraries' threads during a pass: one, where our own threads divide the blocks."""
        if self._whole is not None or not self._backend.block_per_thread:
            return nullcontext()
        return single_threaded_libraries()


def whole_block(rho: RowFunction, V: Float[Array, "q d"]) -> tuple[int, WholeBlock] | None:
    """What the row function says of itself (`BlockProducts`); None for a plain function."""
    describe = getattr(rho, "whole_block", None)
    found: tuple[int, WholeBlock] | None = None if describe is None else describe(V)
    return found


@dataclass(frozen=True)
class ShiftedRows:
    """A row function of rows that are counted from 0 here, and from `first` in the data set."""

    rho: RowFunction
    first: int

    def __call__(self, P: Float[Array, "k q"], rows: slice) -> Float[Array, "k p"]:
        return self.rho(P, self._shifted(rows))

    def whole_block(self, V: Float[Array, "q d"]) -> tuple[int, WholeBlock] | None:
        """See `BlockProducts`."""
        found = whole_block(self.rho, V)
        if found is None:
            return None
        residuals, write = found
        return residuals, lambda block, rows, out: write(block, self._shifted(rows), out)

    def _shifted(self, rows: slice) -> slice:
        return slice(rows.start + self.first, rows.stop + self.first)
