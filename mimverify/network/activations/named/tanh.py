"""The hyperbolic tangent."""

from __future__ import annotations

import math

from mimverify.network.activations.activation import Activation
from mimverify.network.hyperbolic_functions import sech2, tanh
from mimverify.support.arrays import Array


def _second(z: Array) -> Array:
    return -2 * tanh(z) * sech2(z)


TANH = Activation(
    "tanh",
    "tanh z",
    value=tanh,
    first=sech2,
    second=_second,
    parity="odd",
    smooth=True,
    slope_at_zero=1.0,
    curvature_at_zero=0.0,
    curvature_bound=4 / (3 * math.sqrt(3)),  # 2 t (1 − t²) at t = 1/√3
    gap_order=None,
)
