"""Functions of one number as Torch modules, with derivatives that keep their accuracy.

Automatic differentiation of a formula cancels where the formula of its derivative does not.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from mimverify.support.arrays import Array

__all__ = ["Elementwise"]


class _Elementwise(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, z: Any, value: Any, derivative: Any) -> Any:
        ctx.save_for_backward(z)
        ctx.derivative = derivative
        return value(z)

    @staticmethod
    def backward(ctx: Any, *upstream: Any) -> Any:
        (z,) = ctx.saved_tensors
        return upstream[0] * ctx.derivative(z), None, None


class Elementwise(torch.nn.Module):
    """z ↦ value(z), of any shape; without parameters."""

    def __init__(
        self, value: Callable[[Array], Array], derivative: Callable[[Array], Array]
    ) -> None:
        super().__init__()
        self._value, self._derivative = value, derivative

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = _Elementwise.apply(z, self._value, self._derivative)  # type: ignore[no-untyped-call]
        return result
