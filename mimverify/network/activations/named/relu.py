"""The rectifier, which is not smooth."""

from __future__ import annotations

from array_api_compat import array_namespace

from mimverify.network.activations.activation import Activation
from mimverify.support.arrays import Array


def relu(z: Array) -> Array:
    """max(z, 0)."""
    return array_namespace(z).where(z > 0, z, 0 * z)


def _step(z: Array) -> Array:
    xp = array_namespace(z)
    return xp.where(z > 0, xp.ones_like(z), xp.zeros_like(z))


def _zeros(z: Array) -> Array:
    return array_namespace(z).zeros_like(z)


RELU = Activation(
    "relu",
    "max(z, 0)",
    value=relu,
    first=_step,
    second=_zeros,
    parity="none",
    smooth=False,
    slope_at_zero=0.5,
    curvature_at_zero=0.0,
    curvature_bound=0.0,
    gap_order=None,
)
