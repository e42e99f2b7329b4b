"""Whether independent values follow a known continuous law.

Values go through the law's distribution function; the result is tested for uniformity by
the exact two-sided Kolmogorov–Smirnov test, whose power has a bound without further
assumptions (Dvoretzky–Kiefer–Wolfowitz with Massart's constant).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from mimverify.support.arrays import ArrayLike, Float64Array
from mimverify.support.errors import InputError
from mimverify.support.validation import array


@dataclass(frozen=True)
class UniformityTest:
    """Result of `uniformity_test`: the test fails where `p_value` ≤ `alpha`."""

    distance: float
    p_value: float
    samples: int
    alpha: float

    @property
    def rejected(self) -> bool:
        """Whether the law is rejected."""
        return self.p_value <= self.alpha

    @property
    def detectable(self) -> float:
        """Distance between distribution functions that is caught with probability 0.95."""
        return dkw_radius(self.samples, self.alpha) + dkw_radius(self.samples, 0.05)


def dkw_radius(samples: int, alpha: float) -> float:
    """ε with P(sup|F_N − F| > ε) ≤ α for any law (two-sided, Massart 1990)."""
    return math.sqrt(math.log(2 / alpha) / (2 * samples))


def uniformity_test(values: ArrayLike, *, alpha: float) -> UniformityTest:
    """Exact two-sided Kolmogorov–Smirnov test of values `(N,)` against uniform on [0, 1].

    The false-alarm probability is exactly at most `alpha` for independent values.
    **Raises** `InputError` for values outside [0, 1].
    """
    v = np.sort(array("values", values, (None,), dtype="float64"))
    if v[0] < 0 or v[-1] > 1:
        raise InputError(f"values in [{v[0]:g}, {v[-1]:g}]: expected them in [0, 1]")
    n = len(v)
    k = np.arange(1, n + 1)
    distance = float(max(np.max(k / n - v), np.max(v - (k - 1) / n)))
    from scipy.stats import kstwo  # scipy.stats takes long to import

    return UniformityTest(distance, float(kstwo.sf(distance, n)), n, alpha)


def null_overlap_cdf(overlap: ArrayLike, *, rank: int, dim: int) -> Float64Array:
    """P(‖U ŵ‖² ≤ overlap) for ŵ uniform on the sphere: Beta(r/2, (d − r)/2) (theory.md D6).

    Of any shape, that of `overlap`.

    **Raises** `InputError` unless 1 ≤ rank < dim.
    """
    from scipy.special import betainc

    if not 1 <= rank < dim:
        raise InputError(f"rank={rank}, dim={dim}: expected 1 ≤ rank < dim")
    return np.asarray(betainc(rank / 2, (dim - rank) / 2, np.clip(overlap, 0, 1)))
