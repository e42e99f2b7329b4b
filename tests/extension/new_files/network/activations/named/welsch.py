"""The activation 1 − e^(−z²/2), which is bounded."""

from __future__ import annotations

from array_api_compat import array_namespace

from mimverify.network.activations.activation import Activation
from mimverify.support.arrays import Array


def _bell(z: Array) -> Array:
    return array_namespace(z).exp(-(z**2) / 2)


def _value(z: Array) -> Array:
    return -array_namespace(z).expm1(-(z**2) / 2)


def _first(z: Array) -> Array:
    return z * _bell(z)


def _second(z: Array) -> Array:
    return (1 - z**2) * _bell(z)


WELSCH = Activation(
    "welsch",
    "1 − e^(−z²/2)",
    value=_value,
    first=_first,
    second=_second,
    parity="even",
    smooth=True,
    slope_at_zero=0.0,
    curvature_at_zero=1.0,
    curvature_bound=1.0,
    gap_order=2.0,
)
