"""How strong a direction must be to be found, with which probability: from theory, no simulation.

A direction z of strength λ = E[T (z² − 1)] (T of variance 1, so that |λ| ≤ √(E z⁴ − 1), √2 for
Gaussian z) makes an eigenvalue at λ + (k/n) u/λ, u = E[T² z²] (theory.md D4), which scatters by
spread/√n between data sets. It is found where it exceeds the threshold.
"""

from __future__ import annotations

import math

from mimverify.support.errors import InputError
from mimverify.support.validation import integer, number

__all__ = ["WEAK_SPREAD", "detectable_strength", "predicted_power", "strength_of"]

#: √E[T² (z² − 1)²] of a weak direction, whose z² hardly depends on T.
WEAK_SPREAD = math.sqrt(2)


def predicted_power(
    threshold: float,
    strength: float,
    *,
    components: int,
    samples: int,
    second: float = 1.0,
    spread: float = WEAK_SPREAD,
) -> float:
    """The probability that a direction's eigenvalue exceeds `threshold` in modulus.

    To first order in k/n, of a direction well out of the bulk (λ² n/k > 1: else 0).

    **Arguments**

    - `strength`: λ, of either sign.
    - `second`: u = E[T² z²].
    - `spread`: √n times the eigenvalue's deviation. Of labels with law (T, z), whitened by their
      own covariance and T divided by its own deviation, that of
      T (z² − 1) − λ z² − λ (T² − 1)/2.

    **Raises** `InputError` for arguments out of range.
    """
    size = abs(number("strength", strength))
    threshold = number("threshold", threshold, minimum=0.0)
    k, n = integer("components", components, minimum=1), integer("samples", samples, minimum=2)
    second = number("second", second, minimum=0.0)
    spread = number("spread", spread, minimum=0.0, exclusive=True)
    if size * size * n <= k:
        return 0.0
    location = size + (k / n) * second / size
    return _normal_cdf((location - threshold) * math.sqrt(n) / spread)


def detectable_strength(threshold: float, *, components: int, samples: int, power: float) -> float:
    """The weakest λ that is found with this probability (weak: u = 1, `WEAK_SPREAD`)."""
    if not 0 < number("power", power) < 1:
        raise InputError(f"power={power}: expected a probability between 0 and 1")
    from scipy.special import ndtri

    location = threshold + float(ndtri(power)) * WEAK_SPREAD / math.sqrt(samples)
    return strength_of(location, components, samples)


def strength_of(location: float, components: int, samples: int) -> float:
    """|λ| of a direction (u = 1) whose eigenvalue is at ±`location`: of λ + (k/n)/λ the larger
    root, and √(k/n), where directions vanish in the bulk, if there is none."""
    ratio = components / samples
    inside = location * location - 4 * ratio
    return math.sqrt(ratio) if inside <= 0 else (abs(location) + math.sqrt(inside)) / 2


def _normal_cdf(z: float) -> float:
    return math.erfc(-z / math.sqrt(2)) / 2
