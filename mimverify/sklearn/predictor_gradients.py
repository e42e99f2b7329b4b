"""The directions along which a trained network varies: the eigenvectors of mean ∇f ∇fᵀ.

All gradients lie in the span of the first layer and the linear part; their second moment weighs
each direction by its use, where norms of weights say only how fast it grew.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mimverify.support.arrays import Float64Array, FloatArray
from mimverify.training import Readout

if TYPE_CHECKING:
    from jaxtyping import Float, Float64

__all__ = ["principal_gradients"]


def principal_gradients(
    readout: Readout, Z: Float[FloatArray, "n q"]
) -> tuple[Float64[Float64Array, "k q"], Float64[Float64Array, " k"]]:
    """Orthonormal rows `(k, q)` in falling order of mean (∇f · v)², and these means `(k,)`.

    **Arguments**

    - `Z`: inputs at which gradients are taken, k ≤ min(n, q).
    """
    directions = readout.directions
    which = np.arange(len(readout.weights)) % len(directions)
    P = Z.astype(np.float64) @ directions.T
    slopes = readout.activation.first(P[:, which] + readout.biases) * readout.weights
    along = np.zeros_like(P)
    np.add.at(along.T, which, slopes.T)
    gradients = along @ directions
    if readout.linear is not None:
        gradients = gradients + readout.linear
    _, values, rows = np.linalg.svd(gradients / np.sqrt(len(Z)), full_matrices=False)
    # Of the two signs, that with the largest entry positive.
    largest = rows[np.arange(len(rows)), np.abs(rows).argmax(axis=1)]
    return rows * np.where(largest < 0, -1.0, 1.0)[:, None], values**2
