"""The smooth rectifier log(1 + e^z)."""

from __future__ import annotations

from array_api_compat import array_namespace

from mimverify.network.activations.activation import Activation
from mimverify.network.activations.named.relu import relu
from mimverify.network.hyperbolic_functions import quarter_sech2_of_half
from mimverify.support.arrays import Array


def _softplus(z: Array) -> Array:
    xp = array_namespace(z)
    return relu(z) + xp.log1p(xp.exp(-xp.abs(z)))


def _sigmoid(z: Array) -> Array:
    return (1 + array_namespace(z).tanh(z / 2)) / 2


SOFTPLUS = Activation(
    "softplus",
    "log(1 + e^z)",
    value=_softplus,
    first=_sigmoid,
    second=quarter_sech2_of_half,
    parity="none",
    smooth=True,
    slope_at_zero=0.5,
    curvature_at_zero=0.25,
    curvature_bound=0.25,
    gap_order=None,
)
