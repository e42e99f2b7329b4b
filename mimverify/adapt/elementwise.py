"""Functions of one number as Torch modules, with derivatives that keep their accuracy.

Automatic differentiation of a formula cancels where the formula of its derivative does not.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import torch

from mimverify.support.arrays import Array

__all__ = ["Elementwise"]

_Function: TypeAlias = Callable[[Array], Array]


class _Elementwise(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, z: Array, value: _Function, derivative: _Function) -> Array:
        ctx.save_for_backward(z)
        ctx.derivative = derivative
        return value(z)

    @staticmethod
    def backward(ctx: Any, *upstream: Array) -> Array:
        (z,) = ctx.saved_tensors
        return upstream[0] * ctx.derivative(z), None, None


class Elementwise(torch.nn.Module):
    """z ↦ value(z), of any shape; without parameters."""

    def __init__(self, value: _Function, derivative: _Function) -> None:
        super().__init__()
        self._value, self._derivative = value, derivative

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = _Elementwise.apply(z, self._value, self._derivative)  # type: ignore[no-untyped-call]
        return result
