"""How near learned weights are to the hidden subspace. Source: theory.md §1."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from mimverify.errors import InputError
from mimverify.validation import array

Array = NDArray[np.float64]


def _pair(W: Any, U: Any) -> tuple[Array, Array]:
    U = array("U", U, (None, None), dtype="float64")
    W = array("W", W, (None, U.shape[1]), dtype="float64")
    largest = float(np.abs(W).max())
    if largest == 0:
        raise InputError("W is zero: it has no direction to measure")
    return W / largest, U  # squares of small float32 weights would underflow


def overlaps(W: Any, U: Any) -> Array:
    """‖W u_k‖² / ‖W‖_F² for each row u_k of U, shape `(r,)`; they sum to the alignment."""
    W, U = _pair(W, U)
    return np.asarray(((W @ U.T) ** 2).sum(axis=0) / (W**2).sum())


def alignment(W: Any, U: Any) -> float:
    """A(W) = ‖W Uᵀ‖_F² / ‖W‖_F² ∈ [0, 1] of weights `(m, d)` and subspace `(r, d)`.

    r/d is its mean for isotropic W; near 1 does not mean that the whole span is found.
    """
    return float(overlaps(W, U).sum())


def principal_cosines(W: Any, U: Any) -> Array:
    """Cosines `(r,)`, largest first, of the principal angles between the rows of U and the
    span of the top r right singular vectors of W; 0 for directions that W does not have.
    """
    W, U = _pair(W, U)
    r = U.shape[0]
    _, sizes, vectors = np.linalg.svd(W, full_matrices=False)
    # Rounding noise is not a direction: W of rank below r spans fewer than r.
    rank = int((sizes[:r] > sizes[0] * np.finfo(np.float64).eps * max(W.shape)).sum())
    cosines = np.zeros(r)
    found = np.linalg.svd(U @ vectors[:rank].T, compute_uv=False)
    cosines[: len(found)] = np.clip(found, 0.0, 1.0)
    return cosines


def span_recovery(W: Any, U: Any) -> float:
    """The smallest of `principal_cosines`: 1 only where every direction is recovered."""
    return float(principal_cosines(W, U)[-1])
