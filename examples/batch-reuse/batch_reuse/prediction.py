"""The overlap with the hidden direction after two steps, as d → ∞ at n = α d. [derived]

The closed form of Dandi et al. (arXiv:2402.03220), whose general case is the dynamical mean-field
theory of two steps, for unit rows w_j, a_j = ±scale/m, ReLU without biases, squared loss, rate
η = rate · m/scale (so that η |a_j| = rate), m → ∞, and a link with E[y] = E[y z] = 0.

*First step.* f ≈ 0, so w_j moves by s_j · rate · (1/n) Σ_i y_i 1{h_ij > 0} x_i, with s_j the sign
of a_j and h = X Wᵀ. Since E[y z] = 0 that vector is noise, but one with a memory of the rows that
it was computed from: with α = n/d and V = E[y²],

    h'_ij = h_ij + s_j (rate/α · y_i 1{h_ij > 0} + κ_i + ι_ij),   κ, ι ~ N(0, rate² V/(4α)),

the first part being x_i's own share, ‖x_i‖² = d times rate/n, κ the noise that all neurons share
(the mean ½ of 1{h > 0}), ι that of neuron j.

*Second step.* The output has become f(y, κ) = scale · ½ Σ_s s E[relu(h'_s)], and

    u·w''_j = s_j · rate · E[z (y − f(y, κ)) 1{h'_j > 0}] + O(1/√d).

The probability that h' > 0 depends on y through the memory: a *function* of y is correlated with
z, and E[y² z] ≠ 0 suffices, the term of first order in the memory. On a fresh batch the memory is
missing, y and 1{h' > 0} are independent, and E[y z] = 0 leaves only O(1/√d); if the link is even,
every function of y is, and E[z F(y)] = 0. At small rates the overlap is

    rate²/α · E[y² z]/(2 √(2π)) = O(rate²).

On a fresh batch of n rows the mean overlap of the neurons is normal with mean 0 and variance

    rate²/n · E[(y − f)² z² B(κ)²] + 1/(d m) + rate²/(2 n m) · E[y² z²],
    B = mean_j s_j 1{h'_j > 0} = Φ(κ/√(1 + Var ι)) − ½.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.polynomial.hermite_e import hermegauss
from numpy.polynomial.legendre import leggauss
from numpy.typing import NDArray
from scipy.special import ndtr
from scipy.stats import norm

from batch_reuse.links import ALTERNATING, CUTS, HALF_ALTERNATING, interval_moments
from mimverify import Link

__all__ = ["Atoms", "atoms", "fresh_deviation", "reused_overlap"]

_SIGNS = (1.0, -1.0)


@dataclass(frozen=True)
class Atoms:
    """The law of a label with few values.

    **Arguments**

    - `values`: y, `(k,)`; `moments`: E[(1, z, z²) 1{y}], `(k, 3)`.
    """

    values: NDArray[np.float64]
    moments: NDArray[np.float64]

    def mean(self, functions: NDArray[np.float64], power: int) -> float:
        """E[z^power f(y)] of f's values `(k,)`."""
        return float(functions @ self.moments[:, power])


def atoms(link: Link) -> Atoms:
    """The law of a label of `batch_reuse.links`."""
    edges = (0.0, *CUTS, np.inf)
    right = [interval_moments(low, high) for low, high in pairwise(edges)]
    plus, minus = right[0] + right[2], right[1] + right[3]
    mirror = np.array([1.0, -1.0, 1.0])
    if link is HALF_ALTERNATING:
        left = sum(right) * mirror
        return Atoms(np.sqrt(2) * np.array([1.0, -1.0, 0.0]), np.array([plus, minus, left]))
    assert link is ALTERNATING, link
    return Atoms(np.array([1.0, -1.0]), np.array([plus * (1 + mirror), minus * (1 + mirror)]))


class _SecondStep:
    """Preactivations and output before the second step, by quadrature over (h, κ)."""

    def __init__(self, law: Atoms, rate: float, ratio: float, scale: float, memory: bool) -> None:
        self.law, self.rate = law, rate
        variance = law.mean(law.values**2, 0)
        self.spread = rate * np.sqrt(variance / (4 * ratio))  # of κ, and of ι
        nodes, weights = hermegauss(64)
        self.kappa, self.kappa_weights = self.spread * nodes, weights / weights.sum()
        self.memory = rate / ratio * law.values if memory else 0 * law.values
        # |h| = 9 t³: h > 0 and h < 0 apart, since the memory jumps at 0, and dense near 0, since
        # all happens there at small rates.
        t, t_weights = leggauss(300)
        t, t_weights = (t + 1) / 2, t_weights / 2
        h = np.concatenate([-9 * t**3, 9 * t**3])
        self.h, self.h_weights = h, np.tile(27 * t**2 * t_weights, 2) * norm.pdf(h)
        kick = np.where(h > 0, self.memory[:, None, None], 0.0) + self.kappa[None, :, None]
        self.shifted = {s: h + s * kick for s in _SIGNS}  # (k, κ, h), without ι
        self.f = scale / 2 * sum(s * self._relu(self.shifted[s]) @ self.h_weights for s in _SIGNS)

    def _relu(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        """E[relu(x + ι)]."""
        ratio = x / self.spread
        return np.asarray(x * ndtr(ratio) + self.spread * norm.pdf(ratio))

    def positive(self, s: float) -> NDArray[np.float64]:
        """P(h' > 0 | y, κ) of neurons with this sign, `(k, κ)`."""
        return np.asarray(ndtr(self.shifted[s] / self.spread) @ self.h_weights)

    def residual(self) -> NDArray[np.float64]:
        """y − f(y, κ), `(k, κ)`."""
        return np.asarray(self.law.values[:, None] - self.f)


def reused_overlap(link: Link, *, rate: float, ratio: float, scale: float = 1.0) -> float:
    """The mean of u·w_j over neurons after two steps on the same n = `ratio` · d rows.

    **Arguments**

    - `rate`: η |a_j|.
    - `scale`: m |a_j|; 0: the network's own output is negligible.
    """
    after = _SecondStep(atoms(link), rate, ratio, scale, memory=True)
    total = 0.0
    for s in _SIGNS:
        F = (after.residual() * after.positive(s)) @ after.kappa_weights
        total += s * rate * after.law.mean(F, 1)
    return total / 2


def fresh_deviation(
    link: Link, *, rate: float, dim: int, samples: int, neurons: int, scale: float = 1.0
) -> float:
    """Standard deviation of the same where the second step has `samples` rows of its own."""
    after = _SecondStep(atoms(link), rate, samples / dim, scale, memory=False)
    B = ndtr(after.kappa / np.sqrt(1 + after.spread**2)) - 0.5
    shared = after.law.mean((after.residual() ** 2 * B**2) @ after.kappa_weights, 2)
    own = after.law.mean(after.law.values**2, 2) / (2 * neurons)
    return float(np.sqrt(rate**2 / samples * (shared + own) + 1 / (dim * neurons)))
