"""Block Gram–Schmidt on long rows, in few passes over them.

Every pass reads the rows once, block of columns by block of columns. Dot products are taken in
the backend's dtype within a block, which is short enough for that, and added over the blocks in
float64; so are the small matrices. Source: theory.md §8.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mimverify.designs.lazy.storage import ColumnBlocks
from mimverify.designs.lazy.workers import Workers
from mimverify.support.arrays import Array, Float64Array

if TYPE_CHECKING:
    from jaxtyping import Float64

# A row depends linearly on the others if its remainder is a few roundings.
_NULL = 16
# Kahan and Parlett: where a row keeps at least half of its length, one projection leaves
# no more than two roundings of the known directions in it.
_LENGTH_KEPT = 0.5
# Rows whose Gram matrix (of unit rows) has a smaller pivot are too nearly dependent for it: they
# are left to the next round, which computes their own remainders.
_PIVOT = 1e-3
# Of unit rows, in roundings: above this defect they are orthogonalised again.
_DEFECT = 64
# With larger pivots, rounding of the Gram matrix leaves no such defect.
_SAFE_PIVOT = 0.3


# Products of added rows with the known ones, and among themselves.
_Moments = tuple[Float64Array, Float64Array]


def orthonormalise(
    rows: ColumnBlocks,
    known: int,
    count: int,
    workers: Workers,
    moments: _Moments | None = None,
) -> Float64[Float64Array, "count total"]:
    """Turn rows known … known + count − 1 into an orthonormal extension of the first `known`.

    **Arguments**

    - `rows`: the first `known` rows are orthonormal already; those to be added follow them
      and are overwritten by the new directions, of which there may be fewer: rows that depend
      linearly on others, to rounding, add none.
    - `moments`: products of the rows to be added with the known ones, `(count, known)`, and
      among themselves, `(count, count)`; computed if None.

    Returns the coefficients `(count, known + new)`: added rows = coefficients @ basis.
    """
    unit = rows.backend.unit_roundoff
    cross, gram = _moments(rows, known, count, workers) if moments is None else moments
    length = np.sqrt(np.diag(gram))  # of the rows as they were given
    coefficients = np.zeros((count, known + count))
    waiting, total = np.flatnonzero(length > 0), known
    if len(waiting) < count:  # drop rows of zeros
        _recombine(rows, known, count, np.eye(count)[waiting], np.zeros((len(waiting), 0)), workers)
        cross, gram = cross[waiting], gram[np.ix_(waiting, waiting)]
    while len(waiting):
        remainder = gram - cross @ cross.T
        if total and (np.diag(remainder) < _LENGTH_KEPT**2 * np.diag(gram)).any():
            # Too much cancels: subtract explicitly and compute the remainder's moments.
            coefficients[waiting, :total] += cross
            cross, gram = _subtract(rows, total, cross, workers)
            remainder = gram - cross @ cross.T
        coefficients[waiting, :total] += cross
        size = np.sqrt(np.maximum(np.diag(remainder), 0.0))
        alive = np.flatnonzero(size > _NULL * unit * np.sqrt(total + 1) * length[waiting])
        if not len(alive):
            break
        size = size[alive]
        chosen, factor = _pivoted_cholesky(remainder[np.ix_(alive, alive)] / np.outer(size, size))
        rest = np.setdiff1d(np.arange(len(alive)), chosen)
        first, others = alive[chosen], alive[rest]
        transform = np.linalg.solve(factor, np.diag(1 / size[chosen]))
        onto = remainder[np.ix_(others, first)] @ transform.T  # coefficients of the others
        # The new directions, and the others less their projections on them, in one pass.
        mixture = np.zeros((len(alive), len(waiting)))
        mixture[: len(first), first] = transform
        mixture[len(first) :, others] = np.eye(len(others))
        mixture[len(first) :, first] -= onto @ transform
        new = slice(total, total + len(first))
        coefficients[waiting[first], new] = size[chosen, None] * factor
        coefficients[waiting[others], new] = onto
        _recombine(rows, total, len(waiting), mixture, -mixture @ cross, workers)
        if np.diag(factor).min() ** 2 < _SAFE_PIVOT:
            _reorthogonalise(rows, total, len(first), coefficients, workers)
        waiting, total = waiting[others], new.stop
        if len(waiting):
            cross, gram = _moments(rows, total, len(waiting), workers)
    return coefficients[:, :total]


def _moments(rows: ColumnBlocks, known: int, count: int, workers: Workers) -> _Moments:
    """Products of the added rows with the known ones and among themselves."""

    def task(i: int) -> _Moments:
        return products(rows, i, known, rows.view(i, known, known + count))

    cross, gram = workers.total(task, rows.blocks)
    return cross, gram


def products(rows: ColumnBlocks, block: int, known: int, added: Array) -> _Moments:
    """One block's terms of `added @ knownᵀ` and `added @ addedᵀ`, float64."""
    to_numpy = rows.backend.to_numpy
    cross = to_numpy(added @ rows.view(block, 0, known).T).astype(np.float64)
    return cross, to_numpy(added @ added.T).astype(np.float64)


def _subtract(rows: ColumnBlocks, known: int, cross: Float64Array, workers: Workers) -> _Moments:
    """Subtract from the added rows their projections; returns the moments of the remainders."""
    factors = rows.backend.asarray(cross)

    def task(i: int) -> _Moments:
        added = rows.view(i, known, known + len(cross))
        added -= factors @ rows.view(i, 0, known)
        return products(rows, i, known, added)

    cross, gram = workers.total(task, rows.blocks)
    return cross, gram


def _recombine(
    rows: ColumnBlocks,
    known: int,
    count: int,
    own: Float64Array,
    others: Float64Array,
    workers: Workers,
) -> None:
    """added ← own @ added + others @ known, possibly fewer rows."""
    of_added = rows.backend.asarray(own)
    of_known = rows.backend.asarray(others)

    def task(i: int) -> None:
        new = of_added @ rows.view(i, known, known + count)
        if others.shape[1]:
            new += of_known @ rows.view(i, 0, known)
        rows.view(i, known, known + len(own))[:] = new

    workers.run(task, rows.blocks)


def _reorthogonalise(
    rows: ColumnBlocks, known: int, new: int, coefficients: Float64Array, workers: Workers
) -> None:
    """Reorthogonalise the new directions if they have a defect.

    `coefficients` are updated accordingly.
    """
    cross, gram = _moments(rows, known, new, workers)
    defect = max(np.abs(gram - np.eye(new)).max(), np.abs(cross).max(initial=0.0))
    if defect <= _DEFECT * rows.backend.unit_roundoff:
        return
    factor = np.linalg.cholesky(gram - cross @ cross.T)
    inverse = np.linalg.inv(factor)
    _recombine(rows, known, new, inverse, -inverse @ cross, workers)
    onto = coefficients[:, known : known + new]
    coefficients[:, :known] += onto @ cross
    coefficients[:, known : known + new] = onto @ factor


def _pivoted_cholesky(gram: Float64Array) -> tuple[NDArray[np.intp], Float64Array]:
    """Indices, large remainders first, and the Cholesky factor of their Gram matrix.

    Stops where no remainder is above `_PIVOT`.
    """
    remainder = gram.copy()
    chosen: list[int] = []
    while len(chosen) < len(gram):
        # The first large enough one: between equal ones rounding would decide, and the same seed
        # would give different matrices on different machines.
        sizes = np.diag(remainder)
        pivot = int(np.argmax(sizes >= 0.5 * sizes.max()))
        if remainder[pivot, pivot] <= _PIVOT:
            break
        chosen.append(pivot)
        column = remainder[:, pivot] / np.sqrt(remainder[pivot, pivot])
        remainder = remainder - np.outer(column, column)
        remainder[pivot, pivot] = -np.inf
    index = np.array(chosen, dtype=np.intp)
    return index, np.asarray(np.linalg.cholesky(gram[np.ix_(index, index)]))
