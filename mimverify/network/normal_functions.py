"""Functions of the normal law that GELU and its like are made of, elementwise."""

from __future__ import annotations

import math

from array_api_compat import array_namespace

from mimverify.network.special_functions import special
from mimverify.support.arrays import Array

__all__ = ["erf", "normal_cdf", "normal_pdf"]


def normal_cdf(z: Array) -> Array:
    """Φ(z)."""
    return special("ndtr", z)


def erf(z: Array) -> Array:
    """The error function, 2 Φ(√2 z) − 1."""
    return special("erf", z)


def normal_pdf(z: Array) -> Array:
    """φ(z) = Φ'(z)."""
    return array_namespace(z).exp(-(z**2) / 2) / math.sqrt(2 * math.pi)
