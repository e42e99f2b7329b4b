"""What one step learns from a target of degree two, without a free constant. [derived]

A step with η β = 1 from unit rows ŵ_j (the decay cancels the start) is W_1 = −η ∇L(W_0). From the
symmetric start f ≡ 0, so that with ReLU and squared loss w_j is a multiple of

    g_j = (1/n) Σ_i y_i 1{ŵ_j·x_i > 0} x_i.

*Signal.* 1{h > 0} = 1/2 + c (h − He3(h)/6 + …), c = 1/√(2π), without He2. For y = λ He2(z)/2 + …,
z = u·x, ρ = ŵ·u,

    E[y z 1{h > 0}] = c λ ρ (1 − ρ²/2).

A part of degree one would add half of E[y x] to *every* neuron: it has been removed. A part of
degree three meets the coefficient of He2, 0: a direction that only parts of degree above two show
is not learned.

*Linear part.* It is removed as in the paper, y − mean(y) − β̂·x with β̂ = (1/n) Σ y x, from the
same rows. That takes d/n of its own label from each row, a factor 1 − d/n of the signal; and with
it goes the noise that belongs to the constant 1/2 of 1{h > 0}, half of all noise. With v = E[y²]
after the removal there remains

    v/(4n) in each direction across u, E[y² z²]/(4n) along it.

If θ = E[y x] is not 0, β̂ − (1/n) Σ x x·β̂ has size ‖θ‖ √(d/n) and adds ‖θ‖²/(4n) to each direction.

*Samples.* Since E ρ² = 1/d, half of the weight is signal, A = 1/2, at

    n = (π/2) (v + ‖θ‖²) d²/Σ λ_k²,   λ_k the eigenvalues of E[∇² y],

and at n = α d the odds A/(1 − A) are proportional to 1/d.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

__all__ = ["HE2", "log_odds", "samples_for_half"]

#: λ, E[y²] and E[y² z²] of y = He2(z)/√2.
HE2 = (math.sqrt(2), 1.0, 5.0)


def samples_for_half(dim: int, *, eigenvalue: float = HE2[0], variance: float = HE2[1]) -> int:
    """n at which half of ‖W_1‖² lies in the hidden direction: (π/2) v d²/λ²."""
    return round(math.pi / 2 * variance / eigenvalue**2 * dim**2)


def log_odds(cosines: NDArray[np.float64], *, dim: int, samples: int) -> float:
    """log(A/(1 − A)) after one step on y = He2(z)/√2, given the neurons' starts.

    **Arguments**

    - `cosines`: ρ of the neurons `(m,)`.
    """
    eigenvalue, variance, along = HE2
    amplitude = eigenvalue * cosines * (1 - cosines**2 / 2) * (1 - dim / samples)
    signal = float(np.mean(amplitude**2)) / (2 * math.pi) + along / (4 * samples)
    return math.log(signal / ((dim - 1) * variance / (4 * samples)))
