"""Hidden subspaces: matrices `(r, d)` with orthonormal rows."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from mimverify.support.errors import InputError
from mimverify.support.validation import array, integer


def haar_subspace(rank: int, dim: int, rng: np.random.Generator) -> NDArray[np.float64]:
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


def check_subspace(U: Any, rank: int, dim: int) -> NDArray[np.float64]:
    """`U` as float64 `(rank, dim)`, refused unless its rows are orthonormal to 1e-6."""
    if rank > dim:
        raise InputError(f"rank={rank}: expected at most dim={dim}")
    U = array("subspace", U, (rank, dim), dtype="float64")
    defect = float(np.abs(U @ U.T - np.eye(rank)).max())
    if defect > 1e-6:  # float32 rounding of orthonormal rows stays an order below
        raise InputError(f"subspace: rows are not orthonormal (|U Uᵀ − I| = {defect:.2g})")
    return np.asarray(U)
