"""Another start than the given one, or the given one misread."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from mimverify.support.arrays import Array
from mimverify.zoo.base import Correct, Task
from mimverify.zoo.record import broken

CATEGORY = "initialisation"


@broken(caught_by="gradient-step")
class StartsElsewhere(Correct):
    """It descends from a start of its own and returns W0 in front of it."""

    def descend(self, W: Array, task: Task, steps: int) -> Array:
        own = np.random.default_rng(self.random_state).standard_normal(W.shape)
        own *= np.linalg.norm(W) / np.linalg.norm(own)
        weights = super().descend(own.astype(W.dtype), task, steps)
        weights[0] = W
        return weights


@broken(caught_by="gradient-step", causes=("start brought to rows of length 1",))
class NormalisesTheStart(Correct):
    """The start is scaled to rows of length 1."""

    def descend(self, W: Array, task: Task, steps: int) -> Array:
        return super().descend(W / np.linalg.norm(W, axis=1, keepdims=True), task, steps)


@broken(caught_by="gradient-step")
class BreaksSymmetry(Correct):
    """A little noise, a thousandth of the start, breaks its symmetry."""

    def advance(self, t: int, W: Array, task: Task) -> Array:
        if t == 0:
            noise = np.random.default_rng(self.random_state).standard_normal(W.shape)
            W = (W + 1e-3 * np.abs(W).mean() * noise).astype(W.dtype)
        return super().advance(t, W, task)


@broken(
    caught_by="gradient-step",
    only="a symmetric start with biases, β ≠ 1/η or odd σ",
    causes=("network output f left out of the residual",),
)
class MirrorsAlways(Correct):
    """It takes f = 0 for granted from any symmetric start, whatever σ, biases and decay."""

    def descend(self, W: Array, task: Task, steps: int) -> Array:
        half = len(task.a) // 2
        mirrored = np.array_equal(W[:half], W[half:])
        self.silent = mirrored and np.array_equal(task.a[:half], -task.a[half:])
        return super().descend(W, task, steps)

    def output(self, P: Array, task: Task) -> Array:
        return 0 * task.y if self.silent else super().output(P, task)


@broken(caught_by="gradient-step", only="b ≠ 0", causes=("biases ignored",))
class IgnoresBiases(Correct):
    """The biases are taken as zero."""

    def prepare(self, task: Task) -> Task:
        return replace(task, b=0 * task.b)


@broken(caught_by="antisymmetry", causes=("output weights without their signs",))
class AbsoluteOutputWeights(Correct):
    """|a| in place of a."""

    def prepare(self, task: Task) -> Task:
        return replace(task, a=np.abs(task.a))


@broken(caught_by="gradient-step", causes=("output weights of one common size",))
class EqualOutputWeights(Correct):
    """Output weights have their signs, but a common size: that of the first."""

    def prepare(self, task: Task) -> Task:
        return replace(task, a=np.sign(task.a) * np.abs(task.a[0]))


@broken(
    caught_by="gradient-step",
    only="antisymmetric a, general W",
    causes=("network output f left out of the residual",),
)
class MirrorsByOutputWeights(Correct):
    """It takes f for 0 where a is antisymmetric, without a look at W."""

    def output(self, P: Array, task: Task) -> Array:
        half = len(task.a) // 2
        mirrored = np.array_equal(task.a[:half], -task.a[half:]) and not task.b.any()
        return 0 * task.y if mirrored and task.activation.even else super().output(P, task)
