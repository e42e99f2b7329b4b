"""The activation √(1 + z²) − 1."""

from __future__ import annotations

from array_api_compat import array_namespace

from mimverify.network.activations.activation import Activation
from mimverify.network.fused import Fused
from mimverify.support.arrays import Array
from mimverify.support.scratch import library


def _pseudo_huber(z: Array) -> Array:
    return z**2 / (1 + array_namespace(z).sqrt(1 + z**2))  # √(1+z²) − 1 without cancellation


def _slope(z: Array) -> Array:
    return z / array_namespace(z).sqrt(1 + z**2)


def _curvature(z: Array) -> Array:
    return (1 + z**2) ** -1.5


def _first(z: Array) -> None:
    xp = library(z)
    root = z * z
    root += 1
    z /= xp.sqrt(root, out=root)


def _both(z: Array, value: Array, spare: Array) -> None:
    xp = library(z)
    xp.multiply(z, z, out=value)
    xp.add(value, 1, out=spare)
    xp.sqrt(spare, out=spare)
    z /= spare
    spare += 1
    value /= spare  # √(1 + z²) − 1 without cancellation


def _value(z: Array, value: Array) -> None:
    xp = library(z)
    z *= z
    xp.add(z, 1, out=value)
    xp.sqrt(value, out=value)
    value += 1
    xp.divide(z, value, out=value)


PSEUDO_HUBER = Activation(
    "pseudo-huber",
    "√(1 + z²) − 1",
    value=_pseudo_huber,
    first=_slope,
    second=_curvature,
    parity="even",
    smooth=True,
    slope_at_zero=0.0,
    curvature_at_zero=1.0,
    curvature_bound=1.0,
    gap_order=2.0,
    fused=Fused(_first, _both, _value),
)
