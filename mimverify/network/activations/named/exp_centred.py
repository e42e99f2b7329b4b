"""The exponential without its constant and linear terms: not even (theory.md E3)."""

from __future__ import annotations

import math

from array_api_compat import array_namespace

from mimverify.network.activations.activation import Activation
from mimverify.support.arrays import Array


def _value(z: Array) -> Array:
    # e^z − 1 − z; near zero the series, since expm1(z) − z cancels.
    xp = array_namespace(z)
    near = xp.abs(z) < 0.5
    small = xp.where(near, z, 0 * z)  # powers of large z would overflow
    series = 1 + small / 16
    for k in range(15, 2, -1):  # the first term left out is below 2⁻⁵³ of the sum
        series = 1 + small / k * series
    return xp.where(near, small**2 / 2 * series, xp.expm1(z) - z)


def _first(z: Array) -> Array:
    return array_namespace(z).expm1(z)


def _second(z: Array) -> Array:
    return array_namespace(z).exp(z)


EXP_CENTRED = Activation(
    "exp-centred",
    "e^z − 1 − z",
    value=_value,
    first=_first,
    second=_second,
    parity="none",
    smooth=True,
    slope_at_zero=0.0,
    curvature_at_zero=1.0,
    curvature_bound=math.inf,
    gap_order=1.0,
)
