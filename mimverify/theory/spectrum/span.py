"""How much of the span m neurons recover, predicted (theory.md §1, §4 D1 and D5).

A neuron after T steps is H^T w₀ with w₀ ~ N(0, I_d): jointly Gaussian in its signal part
S = U H^T w₀ and its noise part N = P⊥ H^T w₀. Regressing N on S leaves

    N = B S + N',   Bᵀ B = Σ⁻¹ (U H^{4T} Uᵀ − Σ²) Σ⁻¹,   Σ = U H^{2T} Uᵀ,

N' independent of S. What span recovery needs of N' are its components inside the column
space of B and the Gram matrix of the rest, a Wishart matrix that is matched in its first two
moments (the correlation of the two is left out). All of it follows from U H^k Uᵀ and tr H^k,
k = 2T, 4T, 6T.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mimverify.support.arrays import Float64Array
from mimverify.support.validation import integer
from mimverify.theory.labels.label_measure import LabelMeasure
from mimverify.theory.spectrum.resolvent import Resolvent
from mimverify.theory.spectrum.traces import traces

if TYPE_CHECKING:
    from jaxtyping import Float64


@dataclass(frozen=True)
class SpanPrediction:
    """Span recovery (smallest cosine) of m neurons at each step.

    - `steps`: `(S,)`; `median`, `low`, `high`: `(S,)`, the median and the central 95 % over
      starts, given a typical H.
    """

    steps: NDArray[np.int_]
    median: Float64Array
    low: Float64Array
    high: Float64Array


def predict_span(
    measure: LabelMeasure,
    dim: int,
    samples: int,
    steps: int,
    neurons: int,
    *,
    draws: int = 200,
    seed: int = 0,
) -> SpanPrediction:
    """Span recovery at t = 1 … `steps` of `neurons` independent neurons (m/2 of a symmetric
    start). Fewer neurons than r span too little: the cosine is 0."""
    steps = integer("steps", steps, minimum=1)
    neurons = integer("neurons", neurons, minimum=1)
    times = np.arange(1, steps + 1)
    if neurons < measure.rank:
        zeros = np.zeros(len(times))
        return SpanPrediction(times, zeros, zeros, zeros)
    resolvent = Resolvent(measure, samples / dim)
    powers = sorted({k * int(t) for t in times for k in (2, 4, 6)})
    at = {power: index for index, power in enumerate(powers)}
    moments = traces(resolvent, dim, powers)
    rng = np.random.default_rng([seed, 0x7370616E])
    quantiles = []
    for t in times:
        two, four, six = (at[k * int(t)] for k in (2, 4, 6))
        scale = moments.log_scale
        fourth = np.exp(scale[four] - 2 * scale[two])
        sixth = np.exp(scale[six] - 3 * scale[two])
        model = _SmallModel.of(
            moments.signal[two],
            moments.signal[four] * fourth,
            moments.signal[six] * sixth,
            float(moments.total[two]),
            float(moments.total[four]) * float(fourth),
        )
        cosines = model.draw(draws, neurons, rng)
        quantiles.append(np.quantile(cosines, [0.5, 0.025, 0.975]))
    median, low, high = np.array(quantiles).T
    return SpanPrediction(times, median, low, high)


@dataclass(frozen=True)
class _SmallModel:
    """Σ^{1/2} `(r, r)`, the map from S to coherent noise `(r, r)`, the covariance of N' there,
    and mean and effective dimension of the rest."""

    root: Float64Array
    regression: Float64Array
    inner_root: Float64Array
    rest: float
    rest_dimensions: float

    @classmethod
    def of(
        cls,
        second: Float64Array,
        fourth: Float64Array,
        sixth: Float64Array,
        trace2: float,
        trace4: float,
    ) -> _SmallModel:
        root = _root(second)
        inverse = np.linalg.pinv(second, hermitian=True)
        coupling = _positive(fourth - second @ second)  # C_sn C_ns
        through = (  # C_sn C C_ns
            sixth - second @ fourth - fourth @ second + second @ second @ second
        )
        gram = inverse @ coupling @ inverse  # BᵀB
        regression = _root(_positive(gram))
        # N' along an orthonormal basis of the column space of B: R⁻¹ BᵀC'B R⁻¹, R = (BᵀB)^{1/2}.
        left = inverse @ (through - coupling @ inverse @ coupling) @ inverse
        back = np.linalg.pinv(regression, hermitian=True, rcond=1e-7)
        inner = _positive(back @ left @ back)
        noise2 = trace2 - float(np.trace(second))
        noise4 = trace4 - 2 * float(np.trace(fourth)) + float(np.trace(second @ second))
        # Of C' = C − C_ns Σ⁻¹ C_sn, and of what remains outside the column space of B.
        rest2 = noise2 - float(np.trace(inverse @ coupling)) - float(np.trace(inner))
        rest4 = (
            noise4
            - 2 * float(np.trace(inverse @ through))
            + float(np.trace(inverse @ coupling @ inverse @ coupling))
            - float(np.trace(inner @ inner))
        )
        rest2 = max(rest2, 0.0)
        dimensions = rest2**2 / rest4 if rest4 > 0 and rest2 > 0 else np.inf
        return cls(root, regression, _root(inner), rest2, max(dimensions, 1.0))

    def draw(
        self, draws: int, neurons: int, rng: np.random.Generator
    ) -> Float64[Float64Array, " draws"]:
        """Smallest cosines `(draws,)` between the hidden subspace and the span of the top r
        right singular vectors."""
        r = len(self.root)
        S = rng.standard_normal((draws, neurons, r)) @ self.root
        inner = S @ self.regression
        inner += rng.standard_normal((draws, neurons, r)) @ self.inner_root
        gram = S @ S.swapaxes(1, 2) + inner @ inner.swapaxes(1, 2)
        if np.isinf(self.rest_dimensions) or self.rest_dimensions > 50 * neurons:
            # So many directions that the Gram matrix is its mean plus a Gaussian one.
            spread = rng.standard_normal((draws, neurons, neurons))
            spread /= np.sqrt(min(self.rest_dimensions, 1e300))
            symmetric = (spread + spread.swapaxes(1, 2)) / np.sqrt(2)
            gram += self.rest * (np.eye(neurons) + symmetric)
        else:
            columns = max(1, int(np.rint(self.rest_dimensions)))
            factor = rng.standard_normal((draws, neurons, columns))
            gram += self.rest / columns * (factor @ factor.swapaxes(1, 2))
        values, vectors = np.linalg.eigh(gram)
        top = vectors[:, :, -r:]
        sizes = np.sqrt(np.maximum(values[:, -r:], np.finfo(float).tiny))
        cosines = np.linalg.svd((S.swapaxes(1, 2) @ top) / sizes[:, None, :], compute_uv=False)
        return np.asarray(np.clip(cosines[:, -1], 0.0, 1.0))


def _positive(matrix: Float64[Float64Array, "r r"]) -> Float64[Float64Array, "r r"]:
    """The nearest positive semi-definite matrix: rounding may leave tiny negative eigenvalues."""
    values, vectors = np.linalg.eigh((matrix + matrix.T) / 2)
    return np.asarray((vectors * np.maximum(values, 0.0)) @ vectors.T)


def _root(matrix: Float64[Float64Array, "r r"]) -> Float64[Float64Array, "r r"]:
    values, vectors = np.linalg.eigh((matrix + matrix.T) / 2)
    return np.asarray((vectors * np.sqrt(np.maximum(values, 0.0))) @ vectors.T)
