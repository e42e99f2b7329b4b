"""The spectrum of H_n = (1/n) Σ T_i z_i z_iᵀ, and the edge that a Gaussian bulk has."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mimverify.support.arrays import Float64Array

if TYPE_CHECKING:
    from jaxtyping import Float64

__all__ = ["bulk_edge", "spectrum_of"]


def spectrum_of(
    Z: Float64[Float64Array, "n k"], T: Float64[Float64Array, " n"]
) -> Float64[Float64Array, " k"]:
    """Eigenvalues `(k,)` of H_n, the largest modulus first."""
    H = (Z * T[:, None]).T @ Z / len(T)
    values = np.linalg.eigvalsh((H + H.T) / 2)
    return np.asarray(values[np.argsort(-np.abs(values), kind="stable")])


def bulk_edge(T: Float64[Float64Array, " n"], components: int) -> float:
    """Where the largest modulus lies if z is Gaussian and independent of T (variance 1).

    The larger of the bulk's edge 2√(k/n) + |E T³| k/n (theory.md D4) and of what the largest
    label makes alone (D9). It is the unit in which losses are compared, no threshold: the
    threshold comes from permutations.
    """
    ratio = components / len(T)
    edge = 2 * np.sqrt(ratio) + abs(float(np.mean(T**3))) * ratio
    largest = float(np.abs(T).max())
    alone = largest * ratio + 1 / largest if largest > np.sqrt(1 / ratio) else 0.0
    return float(max(edge, alone))
