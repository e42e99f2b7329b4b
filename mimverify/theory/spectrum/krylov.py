"""Neurons after T steps in the block-Krylov basis of H^{2T} from the hidden subspace.

A neuron w = H^T w₀, w₀ ~ N(0, I), is Gaussian with covariance X = H^{2T}. In an orthonormal basis
of span{Uᵀ, XUᵀ, X²Uᵀ, …}, in this order, X is block tridiagonal: a neuron's signal is correlated
with the noise along XUᵀ, that with the next block, and so on. The first K blocks are drawn by their
covariance (a block Jacobi matrix, the Gauss quadrature of the matrix measure U δ(X) Uᵀ); what
remains couples to the last of them only, and enters by a Wishart matrix of the same first two
moments. Derivation: docs/theory-engine.md, §6.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mimverify.support.arrays import Float64Array
from mimverify.support.validation import integer
from mimverify.theory.spectrum.arrowhead import Spectrum

if TYPE_CHECKING:
    from jaxtyping import Float64

#: Blocks of the Krylov basis. Measured: docs/theory-engine.md, §6.
LEVELS = 6
# Directions that X leaves by a smaller part than this are invariant.
_INVARIANT = 1e-10


@dataclass(frozen=True)
class NeuronModel:
    """The law of neurons after T steps, in units of the largest eigenvalue's T-th power.

    - `jacobi`: covariance of a neuron in the Krylov basis, `(k, k)`, k ≤ K r; the first r
      coordinates are those in the hidden subspace.
    - `rest`: trace of X outside of the basis; `rest_dimensions`: (trace)²/tr (X²) there.
    - `rank`: r.
    """

    jacobi: Float64Array
    rest: float
    rest_dimensions: float
    rank: int

    @classmethod
    def of(cls, spectrum: Spectrum, steps: int, *, levels: int = LEVELS) -> NeuronModel:
        """The model after `steps` steps, by block Lanczos on the eigenvalues of X."""
        steps = integer("steps", steps, minimum=0)
        levels = integer("levels", levels, minimum=1)
        sizes = np.abs(spectrum.eigenvalues)
        largest = max(float(sizes.max()), float(np.abs(spectrum.spare).max(initial=0.0)))
        X = (sizes / largest) ** (2 * steps)
        spare = (np.abs(spectrum.spare) / largest) ** (2 * steps)
        basis = block = spectrum.components
        for _ in range(levels - 1):
            block = X[:, None] * block
            for _ in range(2):  # twice is enough
                block = block - basis @ (basis.T @ block)
            block = _directions(block, _INVARIANT)
            # What was short is orthogonal to the basis in absolute terms only: once more at length
            # 1, or rounding grows from level to level until a direction is in the basis twice.
            for _ in range(2):
                block = block - basis @ (basis.T @ block)
            block = _directions(block, 0.5)
            if not block.shape[1]:
                break
            basis = np.column_stack([basis, block])
        image = X[:, None] * basis
        jacobi = basis.T @ image
        jacobi = (jacobi + jacobi.T) / 2
        trace = float(X.sum() + spectrum.multiplicity @ spare) - float(np.trace(jacobi))
        square = float((X**2).sum() + spectrum.multiplicity @ spare**2)
        square -= 2 * float((image**2).sum()) - float((jacobi**2).sum())
        # Rounding of the subtraction is no direction.
        rest = trace if trace > 1e-12 * float(np.trace(jacobi)) and square > 0 else 0.0
        dimensions = max(rest**2 / square, 1.0) if rest else 1.0
        return cls(jacobi, rest, dimensions, spectrum.rank)

    def draw(
        self, draws: int, neurons: int, rng: np.random.Generator
    ) -> Float64[Float64Array, "draws size size"]:
        """Gram matrices `(draws, r + m, r + m)` of the rows of [U; W], m = `neurons` independent
        ones: all that the network's output on a fresh x depends on (theory.md §7)."""
        values, vectors = np.linalg.eigh(self.jacobi)
        root = vectors * np.sqrt(np.maximum(values, 0.0))
        inside = rng.standard_normal((draws, neurons, len(root))) @ root.T
        r = self.rank
        signal = inside[:, :, :r]
        result = np.empty((draws, r + neurons, r + neurons))
        result[:, :r, :r] = np.eye(r)
        result[:, r:, :r] = signal
        result[:, :r, r:] = signal.swapaxes(1, 2)
        gram = result[:, r:, r:]
        np.matmul(inside, inside.swapaxes(1, 2), out=gram)
        if self.rest_dimensions > 50 * neurons:
            # So many directions that the Gram matrix is its mean plus a Gaussian one.
            spread = rng.standard_normal((draws, neurons, neurons)) / np.sqrt(self.rest_dimensions)
            symmetric = (spread + spread.swapaxes(1, 2)) / np.sqrt(2)
            gram += self.rest * (np.eye(neurons) + symmetric)
        elif self.rest:
            columns = max(1, int(np.rint(self.rest_dimensions)))
            factor = rng.standard_normal((draws, neurons, columns))
            gram += self.rest / columns * (factor @ factor.swapaxes(1, 2))
        return result


def _directions(
    block: Float64[Float64Array, "size width"], least: float
) -> Float64[Float64Array, "size kept"]:
    """An orthonormal basis of a block's columns, but for what is shorter than `least`."""
    if block.shape[1] == 1:  # in next to no time
        norm = float(np.linalg.norm(block))
        return block / norm if norm > least else block[:, :0]
    vectors, norms, _ = np.linalg.svd(block, full_matrices=False)
    return np.asarray(vectors[:, norms > least])


def alignments_of(
    gram: Float64[Float64Array, "draws size size"], rank: int
) -> Float64[Float64Array, " draws"]:
    """A(W) `(draws,)` from Gram matrices of [U; W]."""
    signal = gram[:, rank:, :rank]
    return np.asarray(
        (signal**2).sum(axis=(1, 2)) / np.trace(gram[:, rank:, rank:], axis1=1, axis2=2)
    )


def smallest_cosines(
    gram: Float64[Float64Array, "draws size size"],
    rank: int,
    *,
    found: Float64[Float64Array, "rank q"] | None = None,
    projection: Float64[Float64Array, "rank rank"] | None = None,
) -> Float64[Float64Array, " draws"]:
    """Span recovery `(draws,)` from Gram matrices of [U; W]: the smallest cosine between the
    hidden subspace and the span of the top r right singular vectors. 0 for fewer than r neurons.

    **Arguments**

    - `found`: U v of q orthonormal vectors v that are in that span already; W, which is orthogonal
      to them, has the r − q others.
    - `projection`: P, where the first r coordinates are those along rows Q with U w = P Q w.
    """
    known = 0 if found is None else found.shape[1]
    wanted = rank - known
    if gram.shape[1] < rank + wanted:
        return np.zeros(len(gram))
    values, vectors = np.linalg.eigh(gram[:, rank:, rank:])
    top = vectors[:, :, -wanted:]
    sizes = np.sqrt(np.maximum(values[:, -wanted:], np.finfo(float).tiny))
    inner = gram[:, :rank, rank:] @ top / sizes[:, None, :]
    if projection is not None:
        inner = projection @ inner
    if found is not None:
        inner = np.concatenate([np.broadcast_to(found, (len(gram), *found.shape)), inner], axis=2)
    cosines = np.linalg.svd(inner, compute_uv=False)
    return np.asarray(np.clip(cosines[:, -1], 0.0, 1.0))
