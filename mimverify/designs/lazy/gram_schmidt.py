"""Block Gram–Schmidt on rows that are too long to be walked over often.

Every pass over a block reads it once, slab by slab. Dot products are taken in the backend's
dtype within a slab, which is short enough for that, and added over the slabs in float64;
so are the small matrices. Source: theory.md §8.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from mimverify.designs.lazy.storage import Slabs
from mimverify.designs.lazy.workers import Workers

Matrix = NDArray[np.float64]

# A row is a combination of the others where no more is left of it than a few roundings.
_NULL = 16
# Kahan and Parlett: where a row keeps at least half of its length, one projection leaves
# no more than two roundings of the known directions in it.
_LENGTH_KEPT = 0.5
# Rows whose Gram matrix (of unit rows) has a smaller pivot are not told apart by it: they
# wait for the next round, when their own remainder can be seen.
_PIVOT = 1e-3
# Of unit rows, in roundings: what is further from orthogonal is orthogonalised once more.
_DEFECT = 64
# With larger pivots a Gram matrix good to some roundings leaves no such defect.
_SAFE_PIVOT = 0.3


def orthonormalise(
    rows: Slabs,
    known: int,
    count: int,
    workers: Workers,
    moments: tuple[Matrix, Matrix] | None = None,
) -> Matrix:
    """Turn rows known … known + count − 1 into an orthonormal extension of the first `known`.

    **Arguments**

    - `rows`: the first `known` rows are orthonormal already; those to be added follow them
      and are overwritten by the new directions, of which there may be fewer: rows that are
      combinations of others, to rounding, add none.
    - `moments`: products of the rows to be added with the known ones, `(count, known)`, and
      among themselves, `(count, count)`, from whoever wrote them; computed if None.

    Returns the coefficients `(count, known + new)`: added rows = coefficients @ basis.
    """
    unit = rows.backend.unit_roundoff
    cross, gram = _moments(rows, known, count, workers) if moments is None else moments
    length = np.sqrt(np.diag(gram))  # of the rows as they were given
    coefficients = np.zeros((count, known + count))
    waiting, total = np.flatnonzero(length > 0), known
    if len(waiting) < count:  # rows of zeros, out of the way
        _recombine(rows, known, count, np.eye(count)[waiting], np.zeros((len(waiting), 0)), workers)
        cross, gram = cross[waiting], gram[np.ix_(waiting, waiting)]
    while len(waiting):
        left = gram - cross @ cross.T
        if total and (np.diag(left) < _LENGTH_KEPT**2 * np.diag(gram)).any():
            # Much cancels: what is left is known from the difference itself only.
            coefficients[waiting, :total] += cross
            cross, gram = _subtract(rows, total, cross, workers)
            left = gram - cross @ cross.T
        coefficients[waiting, :total] += cross
        size = np.sqrt(np.maximum(np.diag(left), 0.0))
        alive = np.flatnonzero(size > _NULL * unit * np.sqrt(total + 1) * length[waiting])
        if not len(alive):
            break
        size = size[alive]
        chosen, factor = _pivoted_cholesky(left[np.ix_(alive, alive)] / np.outer(size, size))
        rest = np.setdiff1d(np.arange(len(alive)), chosen)
        first, others = alive[chosen], alive[rest]
        transform = np.linalg.solve(factor, np.diag(1 / size[chosen]))
        onto = left[np.ix_(others, first)] @ transform.T  # of the others, on the new directions
        # The new directions, and what they leave of the others, from one pass over the rows.
        mixture = np.zeros((len(alive), len(waiting)))
        mixture[: len(first), first] = transform
        mixture[len(first) :, others] = np.eye(len(others))
        mixture[len(first) :, first] -= onto @ transform
        new = slice(total, total + len(first))
        coefficients[waiting[first], new] = size[chosen, None] * factor
        coefficients[waiting[others], new] = onto
        _recombine(rows, total, len(waiting), mixture, -mixture @ cross, workers)
        if np.diag(factor).min() ** 2 < _SAFE_PIVOT:
            _polish(rows, total, len(first), coefficients, workers)
        waiting, total = waiting[others], new.stop
        if len(waiting):
            cross, gram = _moments(rows, total, len(waiting), workers)
    return coefficients[:, :total]


def _moments(rows: Slabs, known: int, count: int, workers: Workers) -> tuple[Matrix, Matrix]:
    """Products of the added rows with the known ones and among themselves."""

    def task(i: int) -> tuple[Matrix, Matrix]:
        return products(rows, i, known, rows.part(i, known, known + count))

    cross, gram = workers.total(task, rows.slabs)
    return cross, gram


def products(rows: Slabs, slab: int, known: int, added: Any) -> tuple[Matrix, Matrix]:
    """A slab's share of `added @ knownᵀ` and `added @ addedᵀ`, float64."""
    to_numpy = rows.backend.to_numpy
    cross = to_numpy(added @ rows.part(slab, 0, known).T).astype(np.float64)
    return cross, to_numpy(added @ added.T).astype(np.float64)


def _subtract(rows: Slabs, known: int, cross: Matrix, workers: Workers) -> tuple[Matrix, Matrix]:
    """Take the known directions out of the added rows; returns the moments of what is left."""
    factors = rows.backend.asarray(cross)

    def task(i: int) -> tuple[Matrix, Matrix]:
        added = rows.part(i, known, known + len(cross))
        added -= factors @ rows.part(i, 0, known)
        return products(rows, i, known, added)

    cross, gram = workers.total(task, rows.slabs)
    return cross, gram


def _recombine(
    rows: Slabs, known: int, count: int, own: Matrix, others: Matrix, workers: Workers
) -> None:
    """added ← own @ added + others @ known, possibly fewer rows."""
    of_added = rows.backend.asarray(own)
    of_known = rows.backend.asarray(others)

    def task(i: int) -> None:
        part = of_added @ rows.part(i, known, known + count)
        if others.shape[1]:
            part += of_known @ rows.part(i, 0, known)
        rows.part(i, known, known + len(own))[:] = part

    workers.run(task, rows.slabs)


def _polish(rows: Slabs, known: int, new: int, coefficients: Matrix, workers: Workers) -> None:
    """Orthogonalise the new directions once more where the first time left a defect.

    What `coefficients` say of them is rewritten accordingly.
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


def _pivoted_cholesky(gram: Matrix) -> tuple[NDArray[np.intp], Matrix]:
    """Indices, large remainders first, and the Cholesky factor of their Gram matrix.

    Stops where no remainder is above `_PIVOT`.
    """
    left = gram.copy()
    chosen: list[int] = []
    while len(chosen) < len(gram):
        # The first of those that are large enough: a choice by the last bit of equal ones
        # would make another matrix of the same seed on another machine.
        sizes = np.diag(left)
        pivot = int(np.argmax(sizes >= 0.5 * sizes.max()))
        if left[pivot, pivot] <= _PIVOT:
            break
        chosen.append(pivot)
        column = left[:, pivot] / np.sqrt(left[pivot, pivot])
        left = left - np.outer(column, column)
        left[pivot, pivot] = -np.inf
    index = np.array(chosen, dtype=np.intp)
    return index, np.asarray(np.linalg.cholesky(gram[np.ix_(index, index)]))
