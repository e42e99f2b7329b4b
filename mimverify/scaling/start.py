"""A start of few neurons with the alignment of one of infinitely many."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mimverify.network.initialisation import Network
from mimverify.support.arrays import Float64Array
from mimverify.support.errors import InputError
from mimverify.support.validation import integer

if TYPE_CHECKING:
    from jaxtyping import Float64

#: Neurons of a balanced start for each direction of the subspace and repeat.
NEURONS = 4


def balanced_start(
    U: Float64[Float64Array, "r d"],
    rng: np.random.Generator,
    *,
    repeats: int = 1,
    norm: float = 1e-2,
    dtype: str = "float64",
) -> Network:
    """A symmetric start with exactly the expected alignment r/d.

    For each row u of U and each repeat two directions √(r/d) u ± √(1 − r/d) w, w uniform in
    the complement of the subspace, mirrored as in `symmetric_start`: m = 4 r `repeats`.

    The alignment of a random start of few neurons scatters about r/d with the χ² law of
    m r/2 degrees of freedom, and so does, to the end, that of the trained network. Here it
    is r/d exactly, with Σ_j w_j w_jᵀ free of cross terms between subspace and complement;
    numerator and denominator of A_T keep the means that they have over random starts
    (theory.md D1).

    **Arguments**

    - `U`: orthonormal rows `(r, d)`, r < d.

    **Raises** `InputError` for r ≥ d.
    """
    repeats = integer("repeats", repeats, minimum=1)
    r, d = U.shape
    if r >= d:
        raise InputError(f"U has shape {U.shape}: expected fewer rows than columns")
    hidden = np.repeat(U, repeats, axis=0)
    outside = rng.standard_normal((r * repeats, d))
    outside -= (outside @ U.T) @ U
    outside /= np.linalg.norm(outside, axis=1, keepdims=True)
    hidden, outside = np.sqrt(r / d) * hidden, np.sqrt(1 - r / d) * outside
    half = norm * np.concatenate([hidden + outside, hidden - outside])
    a = np.repeat([1.0, -1.0], len(half)) / (2 * len(half))
    return Network(
        np.concatenate([half, half]).astype(dtype),
        a.astype(dtype),
        np.zeros(2 * len(half), dtype=dtype),
    )
