"""Alignment of learned weights with the hidden subspace. Source: theory.md §1."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mimverify.support.arrays import ArrayLike, Float64Array
from mimverify.support.errors import InputError
from mimverify.support.validation import array

if TYPE_CHECKING:
    from jaxtyping import Float64

# Of the squared singular values: where they are further apart, W itself is decomposed.
_STRONG = 1e-3


def _pair(W: ArrayLike, U: ArrayLike) -> tuple[Float64Array, Float64Array]:
    U = array("U", U, (None, None), dtype="float64")
    W = array("W", W, (None, U.shape[1]), dtype="float64")
    largest = float(np.abs(W).max())
    if largest == 0:
        raise InputError("W is zero: it has no direction to measure")
    return W / largest, U  # squares of small float32 weights would underflow


def overlaps(W: ArrayLike, U: ArrayLike) -> Float64[Float64Array, " r"]:
    """‖W u_k‖² / ‖W‖_F² for each row u_k of U, shape `(r,)`; they sum to the alignment."""
    W, U = _pair(W, U)
    return np.asarray(((W @ U.T) ** 2).sum(axis=0) / (W**2).sum())


def alignment(W: ArrayLike, U: ArrayLike) -> float:
    """A(W) = ‖W Uᵀ‖_F² / ‖W‖_F² ∈ [0, 1] of weights `(m, d)` and subspace `(r, d)`.

    r/d is its mean for isotropic W; near 1 does not mean that the whole span is found.
    """
    return float(overlaps(W, U).sum())


def principal_cosines(W: ArrayLike, U: ArrayLike) -> Float64[Float64Array, " r"]:
    """Cosines `(r,)`, largest first, of the principal angles between the rows of U and the
    span of the top r right singular vectors of W; 0 for directions that W does not have.
    """
    W, U = _pair(W, U)
    r = U.shape[0]
    cosines = np.zeros(r)
    found = np.linalg.svd(U @ _top_directions(W, r).T, compute_uv=False)
    cosines[: len(found)] = np.clip(found, 0.0, 1.0)
    return cosines


def _top_directions(W: Float64[Float64Array, "m d"], r: int) -> Float64[Float64Array, "k d"]:
    """Orthonormal rows that span the top r right singular vectors, or as many as W has."""
    from scipy.linalg import eigh

    m, d = W.shape
    if r <= m <= d:
        # Far cheaper by way of W Wᵀ, which squares what rounding does to directions: the same
        # to 1e-13 while the r-th is not much weaker than the first.
        values, left = eigh(W @ W.T, subset_by_index=(m - r, m - 1))
        if values[0] > _STRONG * values[-1]:
            return np.asarray((left / np.sqrt(values)).T @ W)
    _, sizes, vectors = np.linalg.svd(W, full_matrices=False)
    # Rounding noise is not a direction: W of rank below r spans fewer than r.
    rank = int((sizes[:r] > sizes[0] * np.finfo(np.float64).eps * max(W.shape)).sum())
    return np.asarray(vectors[:rank])


def span_recovery(W: ArrayLike, U: ArrayLike) -> float:
    """The smallest of `principal_cosines`: 1 only where every direction is recovered."""
    return float(principal_cosines(W, U)[-1])
