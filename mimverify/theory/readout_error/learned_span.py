"""What a drawn first layer passes on: its rows in r + m/2 coordinates, and the error it costs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mimverify.problems.links import Link
from mimverify.support.arrays import Float64Array

if TYPE_CHECKING:
    from jaxtyping import Float64

# Directions of the span of which a smaller part than this is left are rounding errors.
_ROUNDING = 1e-7


@dataclass(frozen=True)
class LearnedSpan:
    """Neurons by their Gram matrix with U.

    - `rows`: unit rows `(m, r + h)`, both halves of a symmetric start, h = m/2; the first r
      coordinates are those in the hidden subspace.
    - `overlap`: covariance `(r, r)` of E[z | Wx].
    """

    rows: Float64Array
    overlap: Float64Array

    @classmethod
    def of(cls, gram: Float64[Float64Array, "size size"], rank: int, *, sign: int) -> LearnedSpan:
        """From a Gram matrix of [U; W], W one half of the neurons; the other is `sign` times it."""
        sizes = np.sqrt(np.diag(gram)[rank:])
        signal = gram[rank:, :rank] / sizes[:, None]
        products = gram[rank:, rank:] / np.outer(sizes, sizes)
        values, vectors = np.linalg.eigh(products - signal @ signal.T)
        rows = np.hstack([signal, vectors * np.sqrt(np.maximum(values, 0.0))])
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
        left, lengths, _ = np.linalg.svd(rows, full_matrices=False)
        kept = lengths > _ROUNDING * lengths[0]
        inner = (rows[:, :rank].T @ left[:, kept]) / lengths[kept]
        return cls(np.vstack([rows, sign * rows]), inner @ inner.T)

    def unexplained_variance(self, link: Link, pairs: int, rng: np.random.Generator) -> float:
        """E Var(g(z) | Wx), by so many pairs of z that Wx does not tell apart."""
        values, vectors = np.linalg.eigh(self.overlap)
        values = np.clip(values, 0.0, 1.0)
        known = (vectors * np.sqrt(values)) @ vectors.T
        unknown = (vectors * np.sqrt(1 - values)) @ vectors.T
        r = len(values)
        common = rng.standard_normal((pairs, r)) @ known
        first, second = (common + rng.standard_normal((pairs, r)) @ unknown for _ in range(2))
        return float(np.mean((link(first) - link(second)) ** 2) / 2)
