"""The Gaussian error linear unit z Φ(z)."""

from __future__ import annotations

import math

from mimverify.network.activations.activation import Activation
from mimverify.network.normal_functions import normal_cdf, normal_pdf
from mimverify.support.arrays import Array

#: σ''(0) = 2 φ(0), which is sup |σ''| too; without the linear term it is the same.
CURVATURE = 2 / math.sqrt(2 * math.pi)


def _gelu(z: Array) -> Array:
    return z * normal_cdf(z)


def _first(z: Array) -> Array:
    return normal_cdf(z) + z * normal_pdf(z)


def gelu_second(z: Array) -> Array:
    """(2 − z²) φ(z)."""
    return (2 - z**2) * normal_pdf(z)


GELU = Activation(
    "gelu",
    "z Φ(z)",
    value=_gelu,
    first=_first,
    second=gelu_second,
    parity="none",
    smooth=True,
    slope_at_zero=0.5,
    curvature_at_zero=CURVATURE,
    curvature_bound=CURVATURE,
    gap_order=None,
)
