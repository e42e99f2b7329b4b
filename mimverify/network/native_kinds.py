"""Which activations and losses are the package's own: those that native code has, by name.

By identity: what carries the name of one of ours, with another function, is not one of ours.
"""

from __future__ import annotations

from mimverify.native import NATIVE_ACTIVATIONS, NATIVE_LOSSES
from mimverify.network.activations import ACTIVATIONS, Activation
from mimverify.network.losses import LOSSES, Loss, get_loss


def activation_kind(activation: Activation) -> str | None:
    """The name of a built-in activation that native code has; None for any other."""
    own = ACTIVATIONS.get(activation.name) is activation
    return activation.name if own and activation.name in NATIVE_ACTIVATIONS else None


def loss_kind(loss: Loss) -> tuple[str, float] | None:
    """The name and δ of a built-in loss that native code has; None for any other."""
    head, _, delta = loss.name.partition(":")
    if head not in LOSSES or head not in NATIVE_LOSSES or get_loss(loss.name) is not loss:
        return None
    return head, float(delta) if delta else 1.0
