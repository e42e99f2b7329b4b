"""Losses: each a file in `named`, which nothing lists."""

from mimverify.network.losses.loss import Loss
from mimverify.network.losses.named.huber import huber
from mimverify.network.losses.named.pseudo_huber import pseudo_huber
from mimverify.network.losses.registry import DEFAULT_LOSS, LOSSES, get_loss, lipschitz_losses

__all__ = [
    "DEFAULT_LOSS",
    "LOSSES",
    "Loss",
    "get_loss",
    "huber",
    "lipschitz_losses",
    "pseudo_huber",
]
