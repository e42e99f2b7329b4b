"""Neurons after T steps in the eigenbasis of a drawn H.

w = H^T w₀ has independent coordinates λ_e^T ξ_e along the eigenvectors, as many as d of them or
as shares of the spectrum: exact given the spectrum, without the block-Krylov model's Wishart rest.
Stage 2 reads the whole span of the neurons, so that this rest, of few effective dimensions where d
is small, would tell it too much.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mimverify.support.arrays import Float64Array
from mimverify.theory.spectrum.arrowhead import Spectrum

if TYPE_CHECKING:
    from jaxtyping import Float64

# Columns of spare eigenvalues that are drawn one by one; of more, the Gram matrix is its mean
# plus a Gaussian matrix.
_MOST_COLUMNS = 4096


def draw_neurons(
    spectrum: Spectrum, steps: int, draws: int, neurons: int, rng: np.random.Generator
) -> Float64[Float64Array, "draws size size"]:
    """Gram matrices `(draws, r + m, r + m)` of the rows of [U; W], m = `neurons` independent ones,
    in units of the largest eigenvalue's T-th power."""
    largest = max(
        float(np.abs(spectrum.eigenvalues).max()), float(np.abs(spectrum.spare).max(initial=0.0))
    )
    sizes = (spectrum.eigenvalues / largest) ** steps
    variances = (spectrum.spare / largest) ** (2 * steps)
    rank, spare = spectrum.rank, _Spare.of(variances, spectrum.multiplicity)
    result = np.empty((draws, rank + neurons, rank + neurons))
    for drawn in result:
        inside = rng.standard_normal((neurons, len(sizes))) * sizes
        drawn[:rank, :rank] = np.eye(rank)
        drawn[rank:, :rank] = inside @ spectrum.components
        drawn[:rank, rank:] = drawn[rank:, :rank].T
        drawn[rank:, rank:] = inside @ inside.T + spare.gram(neurons, rng)
    return result


@dataclass(frozen=True)
class _Spare:
    """Eigenvalues of X outside the subspace, those of most weight one by one.

    - `sizes`: square roots of those, `(c,)`; `trace`, `square`: Σ and Σ of squares of the others.
    """

    sizes: Float64Array
    trace: float
    square: float

    @classmethod
    def of(cls, variances: Float64Array, multiplicity: Float64Array) -> _Spare:
        order = np.argsort(-variances, kind="stable")
        variances, multiplicity = variances[order], multiplicity[order]
        columns = np.ceil(multiplicity)
        single = columns.cumsum() <= _MOST_COLUMNS
        variances_of_single = variances * multiplicity / columns.clip(min=1)
        sizes = np.repeat(np.sqrt(variances_of_single[single]), columns[single].astype(int))
        variances, multiplicity = variances[~single], multiplicity[~single]
        return cls(sizes, float(multiplicity @ variances), float(multiplicity @ variances**2))

    def gram(self, neurons: int, rng: np.random.Generator) -> Float64Array:
        """Their part of the Gram matrix `(m, m)`."""
        columns = rng.standard_normal((neurons, len(self.sizes))) * self.sizes
        spread = rng.standard_normal((neurons, neurons))
        scattered = np.sqrt(self.square / 2) * (spread + spread.T)
        return np.asarray(columns @ columns.T + self.trace * np.eye(neurons) + scattered)
