"""Activations: each a file in `named`, which nothing lists."""

from mimverify.network.activations.activation import Activation
from mimverify.network.activations.registry import (
    ACTIVATIONS,
    DEFAULT_ACTIVATION,
    get_activation,
)

__all__ = ["ACTIVATIONS", "DEFAULT_ACTIVATION", "Activation", "get_activation"]
