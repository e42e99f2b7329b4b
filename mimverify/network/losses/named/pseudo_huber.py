"""The pseudo-Huber loss: infinitely differentiable, linear far beyond δ."""

from __future__ import annotations

from array_api_compat import array_namespace

from mimverify.network.losses.loss import Loss, loss_of_difference
from mimverify.network.losses.named_loss import NamedLoss
from mimverify.support.arrays import Array
from mimverify.support.validation import number

__all__ = ["PSEUDO_HUBER", "pseudo_huber"]


def pseudo_huber(delta: float = 1.0) -> Loss:
    """δ² (√(1 + (u/δ)²) − 1)."""
    delta = number("delta", delta, minimum=0.0, exclusive=True)

    def root(u: Array) -> Array:
        xp = array_namespace(u)
        return xp.hypot(xp.ones_like(u), u / delta)  # (u/δ)² would overflow

    return loss_of_difference(
        PSEUDO_HUBER.specification(delta),
        lambda u: u**2 / (1 + root(u)),
        lambda u: u / root(u),
        curvature_bound=1.0,
        lipschitz=True,
    )


PSEUDO_HUBER = NamedLoss("pseudo-huber", pseudo_huber, default=1.0)
