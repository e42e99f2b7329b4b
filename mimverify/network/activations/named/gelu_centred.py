"""GELU without its linear term, for which E3 holds (theory.md §3)."""

from __future__ import annotations

import math

from mimverify.network.activations.activation import Activation
from mimverify.network.activations.named.gelu import CURVATURE, gelu_second
from mimverify.network.normal_functions import erf, normal_pdf
from mimverify.support.arrays import Array

_SQRT2 = math.sqrt(2)


def _value(z: Array) -> Array:
    return z * erf(z / _SQRT2) / 2


def _first(z: Array) -> Array:
    return erf(z / _SQRT2) / 2 + z * normal_pdf(z)


GELU_CENTRED = Activation(
    "gelu-centred",
    "z Φ(z) − z/2",
    value=_value,
    first=_first,
    second=gelu_second,
    parity="even",
    smooth=True,
    slope_at_zero=0.0,
    curvature_at_zero=CURVATURE,
    curvature_bound=CURVATURE,
    gap_order=2.0,
)
