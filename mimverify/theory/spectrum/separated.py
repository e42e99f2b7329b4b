"""The span of neurons whose strongest directions outweigh all others by orders of magnitude.

After T steps a neuron's parts along eigenvectors of H are in the ratio of the T-th powers of their
eigenvalues, and a Gram matrix of neurons squares that ratio: where it passes 10⁸, double precision
no longer holds the weak directions. They need not be held beside the strong ones.
Write W = Z₁S₁V₁ᵀ + Z₂S₂V₂ᵀ with V₁ the q strongest eigenvectors, Z Gaussian, and turn the neurons
so that the first q of them span the columns of Z₁. The other m − q rows have no part of V₁: they
are (I − P)Z₂S₂V₂ᵀ, P the projection onto those columns, which Z₂ does not depend on: again m − q
independent neurons, on the spectrum without V₁. The top r right singular vectors of W span V₁ and
the top r − q of those neurons, up to the ratio of what follows V₁ to what is in it. Derivation:
docs/theory-engine.md, §6.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mimverify.support.arrays import Float64Array
from mimverify.theory.spectrum.arrowhead import Spectrum
from mimverify.theory.spectrum.krylov import NeuronModel, smallest_cosines

if TYPE_CHECKING:
    from jaxtyping import Float64

#: Ratio of two neighbours' T-th powers from which on the stronger is separated. What is neglected
#: is the inverse of this, of random sign; what a Gram matrix holds beside it is its square.
SEPARATED = 1e3


def separated_directions(spectrum: Spectrum, steps: int) -> int:
    """q < r: how many of the strongest eigenvectors are separated from the next after T steps."""
    rank = spectrum.rank
    sizes = np.sort(np.abs(spectrum.eigenvalues))[::-1]
    spare = float(np.abs(spectrum.spare).max(initial=0.0))
    # Those above every eigenvalue that has no eigenvector of its own.
    own = sizes[: min(rank, len(sizes))]
    own = own[own > spare]
    found = 0
    for q in range(1, min(rank, len(own) + 1)):
        following = max(float(sizes[q]) if q < len(sizes) else 0.0, spare)
        enough = steps * np.log(own[q - 1] / following) if following > 0 else np.inf
        if enough >= np.log(SEPARATED):
            found = q
    return found


def separated_cosines(
    spectrum: Spectrum,
    steps: int,
    separated: int,
    draws: int,
    neurons: int,
    rng: np.random.Generator,
) -> Float64[Float64Array, " draws"]:
    """Span recovery `(draws,)` of `neurons` independent neurons after T steps, the strongest
    `separated` eigenvectors taken as found."""
    rank = spectrum.rank
    if neurons < rank:
        return np.zeros(draws)
    order = np.argsort(-np.abs(spectrum.eigenvalues), kind="stable")
    strong, rest = order[:separated], order[separated:]
    # The hidden subspace beside the strong eigenvectors: U x = Rᵀ Qᵀ x for x orthogonal to them.
    basis, triangle = np.linalg.qr(spectrum.components[rest])
    left = Spectrum(spectrum.eigenvalues[rest], basis, spectrum.spare, spectrum.multiplicity)
    gram = NeuronModel.of(left, steps).draw(draws, neurons - separated, rng)
    return smallest_cosines(gram, rank, found=spectrum.components[strong].T, projection=triangle.T)
