"""The Huber loss: the square near zero, linear beyond δ."""

from __future__ import annotations

from mimverify.network.losses.loss import Loss, loss_of_difference
from mimverify.network.losses.named_loss import NamedLoss
from mimverify.support.arrays import Array
from mimverify.support.validation import number

__all__ = ["HUBER", "huber"]


def huber(delta: float = 1.0) -> Loss:
    """u²/2 for |u| ≤ δ, δ|u| − δ²/2 beyond."""
    delta = number("delta", delta, minimum=0.0, exclusive=True)

    def clip(u: Array) -> Array:
        return u.clip(-delta, delta)  # all libraries have it; the namespace's is far slower

    return loss_of_difference(
        HUBER.specification(delta),
        lambda u: clip(u) * (u - clip(u) / 2),
        clip,
        curvature_bound=1.0,
        lipschitz=True,
    )


HUBER = NamedLoss("huber", huber, default=1.0)
