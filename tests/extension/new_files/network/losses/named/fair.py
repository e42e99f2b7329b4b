"""The Fair loss: of bounded derivative, with a jump of the third one alone."""

from __future__ import annotations

from array_api_compat import array_namespace

from mimverify.network.losses.loss import Loss, loss_of_difference
from mimverify.network.losses.named_loss import NamedLoss
from mimverify.support.arrays import Array
from mimverify.support.validation import number


def fair(delta: float = 1.0) -> Loss:
    """δ² (|u|/δ − log(1 + |u|/δ))."""
    delta = number("delta", delta, minimum=0.0, exclusive=True)

    def size(u: Array) -> Array:
        return array_namespace(u).abs(u) / delta

    return loss_of_difference(
        FAIR.specification(delta),
        lambda u: delta**2 * (size(u) - array_namespace(u).log1p(size(u))),
        lambda u: u / (1 + size(u)),
        curvature_bound=1.0,
        lipschitz=True,
    )


FAIR = NamedLoss("fair", fair, default=1.0)
