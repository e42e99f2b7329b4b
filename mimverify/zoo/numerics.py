"""The right formulas in the wrong arithmetic."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from mimverify.support.arrays import Array, FloatArray
from mimverify.zoo.base import Correct, Task
from mimverify.zoo.record import broken

if TYPE_CHECKING:
    from jaxtyping import Float

CATEGORY = "numerics"


def bfloat16(array: Float[FloatArray, "*shape"]) -> Float[FloatArray, "*shape"]:
    """`array` truncated to the 8 significant bits of bfloat16; dtype kept."""
    bits = array.astype(np.float32).view(np.uint32) & np.uint32(0xFFFF0000)
    return bits.view(np.float32).astype(array.dtype)


@broken(caught_by="gradient-step", causes=("gradient rounded to {}",))
class HalfPrecisionSums(Correct):
    """The sum over the rows is accumulated in float16."""

    def gradient(self, W: Array, task: Task) -> Array:
        total = np.zeros(W.shape, np.float16)
        for rows in np.array_split(np.arange(len(task.y)), min(8, len(task.y))):
            mean = super().gradient(W, replace(task, X=task.X[rows], y=task.y[rows]))
            with np.errstate(over="ignore"):
                total += (mean * (len(rows) / len(task.y))).astype(np.float16)
        return total.astype(W.dtype)


@broken(caught_by="gradient-step", causes=("every weight rounded to {}",))
class Bfloat16Weights(Correct):
    """The weights are kept in bfloat16 between steps."""

    def update(self, t: int, W: Array, G: Array, task: Task) -> Array:
        return bfloat16(super().update(t, W, G, task))


@broken(caught_by="gradient-step", only="float64", causes=("float32 arithmetic",))
class SinglePrecisionInside(Correct):
    """It computes in float32 whatever it is given, and returns the dtype of its input."""

    def advance(self, t: int, W: Array, task: Task) -> Array:
        arrays = {name: getattr(task, name).astype(np.float32) for name in ("X", "y", "a", "b")}
        return super().advance(t, W.astype(np.float32), replace(task, **arrays)).astype(W.dtype)


@broken(
    caught_by="gradient-step",
    only="float64",
    causes=("every weight rounded to {}",),
)
class ReturnsSinglePrecision(Correct):
    """It computes in float64 and returns float32."""

    def descend(self, W: Array, task: Task, steps: int) -> Array:
        return super().descend(W, task, steps).astype(np.float32)


@broken(
    caught_by="gradient-step",
    only="log-cosh loss of large labels",
    causes=("derivative of the loss taken as 0 where it overflows",),
)
class HidesNaN(Correct):
    """tanh u = (e^{4u} − 1)/(e^{2u} + 1)² is NaN for large u, and NaN is replaced by zero."""

    def slope(self, f: Array, task: Task) -> Array:
        if task.loss.name != "log-cosh":
            return super().slope(f, task)
        u = f - task.y
        with np.errstate(over="ignore", invalid="ignore"):
            square = np.exp(2 * np.abs(u))
            size = (square**2 - 1) / (square + 1) ** 2
        return np.sign(u) * np.nan_to_num(size, nan=0.0)


@broken(
    caught_by="gradient-step",
    only="preactivations above 15",
    causes=("preactivations clipped {}",),
)
class ClipsPreactivations(Correct):
    """Preactivations are clipped at ±15, against overflow of the exponential."""

    def output(self, P: Array, task: Task) -> Array:
        return super().output(np.clip(P, -15, 15), task)


@broken(
    caught_by="gradient-step",
    only="log-cosh loss in float64",
    causes=("residuals clipped {}",),
)
class GuardsAgainstOverflow(Correct):
    """tanh u is taken at ±10 beyond ±10: it errs by 4·10⁻⁹."""

    def slope(self, f: Array, task: Task) -> Array:
        if task.loss.name != "log-cosh":
            return super().slope(f, task)
        return np.tanh(np.clip(f - task.y, -10, 10))


@broken(
    caught_by="gradient-step",
    only="large scales",
    causes=("outputs and labels clipped {}", "labels clipped {}"),
)
class Overflows(Correct):
    """Outputs and labels are held as fixed-point numbers that end at ±16."""

    def slope(self, f: Array, task: Task) -> Array:
        y = np.clip(task.y, -16, 16)
        return super().slope(np.clip(f, -16, 16), replace(task, y=y))


@broken(
    caught_by="gradient-step",
    only="small gradients",
    causes=("entries of the gradient {} taken as zero",),
)
class FlushesSmallNumbers(Correct):
    """Entries of the gradient below 10⁻⁴ are taken as zero."""

    def update(self, t: int, W: Array, G: Array, task: Task) -> Array:
        return super().update(t, W, np.where(np.abs(G) < 1e-4, 0 * G, G), task)


@broken(
    caught_by="gradient-step",
    causes=("derivative of the activation by a difference quotient",),
)
class DividesWithEpsilon(Correct):
    """σ' is a difference quotient of width 10⁻³."""

    def first(self, P: Array, task: Task) -> Array:
        value, h = task.activation.value, 1e-3
        return (value(P + h) - value(P)) / h
