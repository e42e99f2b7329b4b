"""A design matrix whose rows are split over the processes of a run."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
from array_api_compat import array_namespace
from array_api_compat import device as device_of
from numpy.typing import NDArray

from mimverify.designs.base import Design, RowFunction
from mimverify.designs.block_products import ShiftedRows
from mimverify.designs.distributed import Communicator
from mimverify.support.arrays import Array, Float64Array
from mimverify.support.errors import InputError
from mimverify.support.validation import DTYPES, integer

if TYPE_CHECKING:
    from jaxtyping import Float, Float64


def shard_rows(n: int, rank: int, ranks: int) -> slice:
    """The rows of process `rank`: contiguous, in order of rank, sizes differing by one at most."""
    n = integer("n", n, minimum=0)
    ranks = integer("ranks", ranks, minimum=1)
    rank = integer("rank", rank, minimum=0, maximum=ranks - 1)
    size, larger = divmod(n, ranks)
    start = rank * size + min(rank, larger)
    return slice(start, start + size + (rank < larger))


class ShardedDesign(Design):
    """The rows of one process, with passes over those of all processes.

    A pass is the local one, then one sum over processes of the `(p, d)` result; a step of
    gradient descent thus costs one all-reduce of the gradient. All processes take part in
    every pass, those without rows included, and all get the same bits.

    **Arguments**

    - `local`: any design of this process's rows alone, which counts them from 0. Where there
      are none, a `StoredDesign` of an array `(0, d)` does.
    - `rows`: which rows of the data set they are; the processes' follow one another.
    - `n_samples`: rows of all processes.
    - `communicator`: this process's, see `process_group`.

    The constructor is a collective. **Raises** `InputError`, the same on all processes, for
    shards that do not make up one matrix; `LostProcessError`, as all methods but `projections`.

    Source: theory.md §3 (E5).
    """

    def __init__(
        self, local: Design, rows: slice, n_samples: int, communicator: Communicator
    ) -> None:
        n_samples = integer("n_samples", n_samples, minimum=0)
        start = integer("rows.start", rows.start, minimum=0)
        stop = integer("rows.stop", rows.stop, minimum=start)
        dtype = DTYPES.index(local.backend.dtype)
        mine = [start, stop, local.n_samples, n_samples, local.dim, dtype]
        shards = communicator.gather(np.array(mine, dtype=np.int64))
        _check(np.stack(shards))
        self.local = local
        self.backend = local.backend
        self.n_samples, self.dim = n_samples, local.dim
        self._communicator = communicator
        self.rows = slice(start, stop)
        self._sizes = [int(shard[2]) for shard in shards]

    def one_pass(self, V: Float[Array, "q d"], rho: RowFunction) -> Float[Array, "p d"]:
        if self.local.n_samples:
            partial = self.local.one_pass(V, ShiftedRows(rho, self.rows.start))
        else:  # the same formula on no rows: ρ determines the number of columns
            partial = rho(_no_rows(V), self.rows).T @ V[:0]
        return self._communicator.sum_(partial)

    def projections(self, V: Float[Array, "q d"]) -> Iterator[tuple[slice, Float[Array, "k q"]]]:
        if not self.local.n_samples:
            return
        first = self.rows.start
        for rows, projected in self.local.projections(V):
            yield slice(rows.start + first, rows.stop + first), projected

    def project(self, V: Float[Array, "q d"]) -> Float[Array, "n q"]:
        """X Vᵀ, shape `(n, q)`: every row on every process."""
        xp = array_namespace(V)
        # Collectives need one shape: shards are padded to the longest.
        shortage = max(self._sizes) - self.local.n_samples
        padding = xp.zeros((shortage, V.shape[0]), dtype=V.dtype, device=device_of(V))
        blocks = [projected for _, projected in self.projections(V)]
        padded = self._communicator.gather(xp.concat([*blocks, padding]))
        return xp.concat([shard[:size] for shard, size in zip(padded, self._sizes, strict=True)])

    def reduce(self, partial: Float64[Float64Array, "*shape"]) -> Float64[Float64Array, "*shape"]:
        return np.asarray(self._communicator.sum_(partial.copy()))


def _no_rows(V: Array) -> Array:
    """Projections `(0, q)` on V `(q, d)`."""
    return V[:, :0].T


def _check(shards: NDArray[np.int64]) -> None:
    """Whether start, stop, local rows, n, d and dtype of the processes fit. Raises `InputError`."""
    first = shards[0]
    expected = 0
    for rank, (start, stop, held, n, dim, dtype) in enumerate(shards.tolist()):
        where = f"process {rank} of {len(shards)}"
        if (n, dim, dtype) != tuple(first[3:].tolist()):
            raise InputError(
                f"{where}: n_samples={n}, d={dim}, dtype={DTYPES[dtype]!r}: expected those of "
                f"process 0, {first[3]}, {first[4]}, {DTYPES[first[5]]!r}"
            )
        if start != expected or stop - start != held:
            raise InputError(
                f"{where}: rows={start}:{stop} and a local design of {held} rows: expected "
                f"{held} rows from {expected} on"
            )
        expected = stop
    if expected != first[3]:
        raise InputError(f"n_samples={first[3]}: the processes hold {expected} rows")
