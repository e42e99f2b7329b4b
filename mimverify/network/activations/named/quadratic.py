"""The activation z²/2, with which stage 1 is power iteration exactly (theory.md E2)."""

from __future__ import annotations

import math

from array_api_compat import array_namespace

from mimverify.network.activations.activation import Activation
from mimverify.network.fused import Fused
from mimverify.support.arrays import Array
from mimverify.support.scratch import library


def _half_square(z: Array) -> Array:
    return z**2 / 2


def _identity(z: Array) -> Array:
    return 1 * z


def _ones(z: Array) -> Array:
    return array_namespace(z).ones_like(z)


def _first(z: Array) -> None:
    pass  # σ'(z) = z


def _both(z: Array, value: Array, spare: Array) -> None:
    _value(z, value)


def _value(z: Array, value: Array) -> None:
    library(z).multiply(z, z, out=value)
    value *= 0.5


QUADRATIC = Activation(
    "quadratic",
    "z²/2",
    value=_half_square,
    first=_identity,
    second=_ones,
    parity="even",
    smooth=True,
    slope_at_zero=0.0,
    curvature_at_zero=1.0,
    curvature_bound=1.0,
    gap_order=math.inf,
    fused=Fused(_first, _both, _value),
)
