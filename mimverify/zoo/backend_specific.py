"""Defaults and pitfalls of particular libraries."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from mimverify.support.arrays import Array, FloatArray
from mimverify.zoo.base import Correct, Task
from mimverify.zoo.record import broken

if TYPE_CHECKING:
    from jaxtyping import Float

CATEGORY = "backend-specific"


def ten_bits(array: Float[FloatArray, "*shape"]) -> Float[FloatArray, "*shape"]:
    """`array` truncated to TF32's 10-bit mantissa; float64 is returned unchanged."""
    if array.dtype != np.float32:
        return array
    return (np.ascontiguousarray(array).view(np.uint32) & np.uint32(0xFFFFE000)).view(np.float32)


@broken(
    caught_by="trajectory",
    only="the second step and later ones",
    causes=("gradients accumulated from step to step",),
)
class ForgetsZeroGrad(Correct):
    """Torch without zero_grad(): gradients accumulate from step to step."""

    def advance(self, t: int, W: Array, task: Task) -> Array:
        G = self.gradient(W, task)
        self.grad: Array = G if t == 0 else self.grad + G
        return self.update(t, W, self.grad, task)


@broken(
    caught_by="gradient-step",
    only="float32",
    causes=("operands of X Wᵀ rounded to {}",),
)
class TensorCores(Correct):
    """The matrix product of the preactivations runs in TF32, as on a GPU left to itself."""

    def gradient(self, W: Array, task: Task) -> Array:
        P = ten_bits(task.X) @ ten_bits(W).T + task.b
        slope = self.slope(self.output(P, task), task)
        return (slope[:, None] * self.first(P, task) * task.a).T @ task.X / len(task.y)


@broken(caught_by="gradient-step", only="gelu", causes=("GELU by its tanh approximation",))
class ApproximateGelu(Correct):
    """GELU by its tanh approximation, the default of JAX."""

    def first(self, P: Array, task: Task) -> Array:
        if task.activation.name != "gelu":
            return super().first(P, task)
        c = math.sqrt(2 / math.pi)
        tanh = np.tanh(c * (P + 0.044715 * P**3))
        return (1 + tanh) / 2 + P / 2 * (1 - tanh**2) * c * (1 + 3 * 0.044715 * P**2)


@broken(
    caught_by="gradient-step",
    only="softplus in float64",
    causes=("Torch's softplus, linear above 20",),
)
class LinearSoftplus(Correct):
    """Softplus is linear beyond 20, the default of Torch: its slope errs by 2·10⁻⁹ there."""

    def first(self, P: Array, task: Task) -> Array:
        first = super().first(P, task)
        return np.where(P > 20, 1, first) if task.activation.name == "softplus" else first


@broken(
    caught_by="gradient-step",
    only="huber loss",
    causes=("smooth L1 loss in place of the Huber loss",),
)
class SmoothL1(Correct):
    """Torch's smooth_l1_loss with beta = 0.5 stands in for the Huber loss."""

    def slope(self, f: Array, task: Task) -> Array:
        if task.loss.name == "huber":
            return np.clip((f - task.y) / 0.5, -1, 1)
        return super().slope(f, task)


@broken(
    caught_by="gradient-step",
    causes=("every output compared with every label, (n, 1) with (n,)",),
)
class SumsOverNeurons(Correct):
    """Broadcasting (n, 1) against (n,): every output is compared with every label."""

    def slope(self, f: Array, task: Task) -> Array:
        return task.loss.derivative(f[:, None], task.y[None, :]).mean(axis=1)
