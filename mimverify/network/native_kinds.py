"""Which activations and losses are the package's own: those that native code has, by name.

By the functions' identity, which copies and pickles keep: what carries the name of one of ours,
with another function, is not one of ours.
"""

from __future__ import annotations

from mimverify.native import NATIVE_ACTIVATIONS, NATIVE_LOSSES
from mimverify.network.activations import ACTIVATIONS, Activation
from mimverify.network.losses import LOSSES, Loss, get_loss


def activation_kind(activation: Activation) -> str | None:
    """The name of a built-in activation that native code has; None for any other."""
    ours = ACTIVATIONS.get(activation.name)
    if ours is None or activation.name not in NATIVE_ACTIVATIONS:
        return None
    same = ours.value is activation.value and ours.first is activation.first
    return activation.name if same else None


def loss_kind(loss: Loss) -> tuple[str, float] | None:
    """The name and δ of a built-in loss that native code has; None for any other."""
    head, _, delta = loss.name.partition(":")
    if head not in LOSSES or head not in NATIVE_LOSSES:
        return None
    if get_loss(loss.name).derivative is not loss.derivative:
        return None
    return head, float(delta or LOSSES[head].default or 1.0)
