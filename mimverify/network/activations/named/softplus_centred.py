"""Softplus without its linear term, for which E3 holds (theory.md §3)."""

from __future__ import annotations

from mimverify.network.activations.activation import Activation
from mimverify.network.hyperbolic_functions import log_cosh, quarter_sech2_of_half, tanh
from mimverify.support.arrays import Array


def _value(z: Array) -> Array:
    return log_cosh(z / 2)  # log(1 + e^z) = z/2 + log(2 cosh(z/2))


def _first(z: Array) -> Array:
    return tanh(z / 2) / 2


SOFTPLUS_CENTRED = Activation(
    "softplus-centred",
    "log(1 + e^z) − z/2 − log 2",
    value=_value,
    first=_first,
    second=quarter_sech2_of_half,
    parity="even",
    smooth=True,
    slope_at_zero=0.0,
    curvature_at_zero=0.25,
    curvature_bound=0.25,
    gap_order=2.0,
)
