"""Which pass a run takes, for its records."""

from __future__ import annotations

from mimverify.backends import backend_class
from mimverify.native import pass_in_use
from mimverify.network.activations import Activation
from mimverify.network.losses import Loss
from mimverify.network.native_kinds import activation_kind, loss_kind


def pass_name(backend: str, activation: Activation, loss: Loss) -> str:
    """`"native avx512"` and the like for the native library at that level, else the backend."""
    if not backend_class(backend).native_pass:
        return backend
    if activation_kind(activation) is None or loss_kind(loss) is None:
        return backend
    return pass_in_use()[0]
