"""Hidden subspaces: matrices `(r, d)` with orthonormal rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mimverify.support.arrays import ArrayLike, Float64Array
from mimverify.support.errors import InputError
from mimverify.support.validation import array, integer

if TYPE_CHECKING:
    from jaxtyping import Float64


def haar_subspace(rank: int, dim: int, rng: np.random.Generator) -> Float64[Float64Array, "r d"]:
    """Rows `(rank, dim)` of a Haar-distributed orthogonal matrix.

    QR of a Gaussian matrix with the signs of R's diagonal moved into Q, without which
    the law would depend on the QR routine.

    **Raises** `InputError` unless 1 ≤ rank ≤ dim.
    """
    dim = integer("dim", dim, minimum=1)
    if rank > dim:
        raise InputError(f"rank={rank}: expected at most dim={dim}")
    rank = integer("rank", rank, minimum=1)
    # Rows are drawn one after the other, so that subspaces of growing rank are nested.
    q, upper = np.linalg.qr(rng.standard_normal((rank, dim)).T)
    return np.ascontiguousarray((q * np.sign(np.diag(upper))).T)


def axes_subspace(rank: int, dim: int, rng: np.random.Generator) -> Float64[Float64Array, "r d"]:
    """Distinct coordinate axes `(rank, dim)`, drawn at random.

    **Raises** `InputError` unless 1 ≤ rank ≤ dim.
    """
    dim = integer("dim", dim, minimum=1)
    if rank > dim:
        raise InputError(f"rank={rank}: expected at most dim={dim}")
    U = np.zeros((integer("rank", rank, minimum=1), dim))
    U[np.arange(rank), rng.choice(dim, size=rank, replace=False)] = 1.0
    return U


#: How a hidden subspace is drawn: spread out over all coordinates, or along single ones.
SUBSPACES = {"haar": haar_subspace, "axes": axes_subspace}


def check_subspace(U: ArrayLike, rank: int, dim: int) -> Float64[Float64Array, "r d"]:
    """`U` as float64 `(rank, dim)`.

    **Raises** `InputError` for another shape, or rows that are not orthonormal to 1e-6.
    """
    if rank > dim:
        raise InputError(f"rank={rank}: expected at most dim={dim}")
    U = array("subspace", U, (rank, dim), dtype="float64")
    defect = float(np.abs(U @ U.T - np.eye(rank)).max())
    if defect > 1e-6:  # float32 rounding of orthonormal rows stays an order below
        raise InputError(f"subspace: rows are not orthonormal (|U Uᵀ − I| = {defect:.2g})")
    return np.asarray(U)
