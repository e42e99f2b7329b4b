"""The absolute loss, whose derivative jumps."""

from __future__ import annotations

from array_api_compat import array_namespace

from mimverify.network.losses.loss import loss_of_difference

__all__ = ["L1"]

L1 = loss_of_difference(
    "l1",
    lambda u: array_namespace(u).abs(u),
    lambda u: array_namespace(u).sign(u),
    curvature_bound=0.0,
    lipschitz=True,
    smooth=False,
)
