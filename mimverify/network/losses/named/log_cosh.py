"""The loss log cosh (f − y)."""

from __future__ import annotations

import math

from array_api_compat import array_namespace

from mimverify.network.hyperbolic_functions import tanh
from mimverify.network.losses.loss import loss_of_difference
from mimverify.support.arrays import Array

__all__ = ["LOG_COSH"]


def _value(u: Array) -> Array:
    # Only reports use it: unlike the activation's, it need not be accurate near zero.
    xp = array_namespace(u)
    return xp.abs(u) + xp.log1p(xp.exp(-2 * xp.abs(u))) - math.log(2)


LOG_COSH = loss_of_difference("log-cosh", _value, tanh, curvature_bound=1.0, lipschitz=True)
