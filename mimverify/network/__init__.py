"""The two-layer network: activations, losses and its symmetric initialisation."""

from mimverify.network.activations import (
    ACTIVATIONS,
    DEFAULT_ACTIVATION,
    Activation,
    get_activation,
)
from mimverify.network.initialisation import Network, symmetric_start
from mimverify.network.losses import DEFAULT_LOSS, LOSSES, Loss, get_loss, huber, pseudo_huber

__all__ = [
    "ACTIVATIONS",
    "DEFAULT_ACTIVATION",
    "DEFAULT_LOSS",
    "LOSSES",
    "Activation",
    "Loss",
    "Network",
    "get_activation",
    "get_loss",
    "huber",
    "pseudo_huber",
    "symmetric_start",
]
