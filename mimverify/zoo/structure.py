"""The symmetric start recognised by less than what it takes, and its short cut taken.

Where E1 holds (theory.md §3) f ≡ 0, and one neuron of each pair determines the other.
"""

from __future__ import annotations

import numpy as np

from mimverify.support.arrays import Array
from mimverify.zoo.base import Correct, Task
from mimverify.zoo.record import broken

CATEGORY = "structure"


class ShortCut(Correct):
    """Nothing wrong either, and half the work where E1 holds: the control of this module."""

    def descend(self, W: Array, task: Task, steps: int) -> Array:
        if len(W) % 2 or not self.recognised(W, task):
            return super().descend(W, task, steps)
        weights = [W]
        for t in range(steps):
            moved = self.half_step(weights[-1][: len(W) // 2], task)
            weights.append(np.concatenate([moved, (-1) ** (t + 1) * moved]))
        return np.array(weights)

    def recognised(self, W: Array, task: Task) -> bool:
        """Whether E1 holds for an even number of neurons."""
        even = task.activation.parity == "even"
        free = self.free(task)
        return even and free and self.mirrored(W, task) and self.unbiased(task)

    def mirrored(self, W: Array, task: Task) -> bool:
        """Whether neurons come in pairs of equal weights and opposite output weights."""
        (first, second), (a, opposite) = np.split(W, 2), np.split(task.a, 2)
        return np.array_equal(first, second) and np.array_equal(a, -opposite)

    def unbiased(self, task: Task) -> bool:
        """Whether b = 0."""
        return not task.b.any()

    def free(self, task: Task) -> bool:
        """Whether β = 1/η, so that a step keeps nothing but the gradient."""
        return abs(task.eta * task.beta - 1) < 1e-12

    def half_step(self, W: Array, task: Task) -> Array:
        """The first half of the neurons, `(m/2, d)`, after a step at f = 0."""
        P = task.X @ W.T + task.b[: len(W)]
        R = self.slope(0 * task.y, task)[:, None] * self.first(P, task) * self.output_weights(task)
        return self.update(0, W, R.T @ task.X / len(task.y), task)

    def output_weights(self, task: Task) -> Array:
        """Those of the first half, `(m/2,)`."""
        return task.a[: len(task.a) // 2]


@broken(
    caught_by="gradient-step",
    only="starts whose first pair is mirrored",
    causes=("second half of the neurons taken for the mirror image of the first",),
)
class TrustsTheFirstPair(ShortCut):
    """A start is taken for symmetric if its first pair is mirrored."""

    def mirrored(self, W: Array, task: Task) -> bool:
        half = len(W) // 2
        return np.array_equal(W[0], W[half]) and bool(task.a[0] == -task.a[half])


@broken(
    caught_by="gradient-step",
    only="mirrored W with Σ a = 0",
    causes=("second half of the neurons taken for the mirror image of the first",),
)
class TrustsTheSum(ShortCut):
    """A start is taken for symmetric if W is mirrored and the output weights add up to zero."""

    def mirrored(self, W: Array, task: Task) -> bool:
        first, second = np.split(W, 2)
        return np.array_equal(first, second) and bool(task.a.sum() == 0)


@broken(
    caught_by="gradient-step",
    only="starts whose output is zero",
    causes=("second half of the neurons taken for the mirror image of the first",),
)
class TrustsTheOutput(ShortCut):
    """A start is taken for symmetric, half against half, if the network's output is zero."""

    def mirrored(self, W: Array, task: Task) -> bool:
        f = self.output(task.X @ W.T, task)
        return bool(np.abs(f).max() < 1e-6 * np.abs(task.a).sum())


@broken(
    caught_by="gradient-step",
    only="a symmetric start with biases",
    causes=("second half of the neurons taken for the mirror image of the first",),
)
class ForgetsBiases(ShortCut):
    """A start is taken for symmetric whatever its biases."""

    def unbiased(self, task: Task) -> bool:
        return True


@broken(
    caught_by="gradient-step",
    only="biases that add up to zero",
    causes=("second half of the neurons taken for the mirror image of the first",),
)
class AddsUpBiases(ShortCut):
    """A start is taken for symmetric if its biases add up to zero."""

    def unbiased(self, task: Task) -> bool:
        return bool(abs(task.b.sum()) < 1e-6)


@broken(
    caught_by="trajectory",
    only="mirrored biases, the second step and later ones",
    causes=("second half of the neurons taken for the mirror image of the first",),
)
class MirrorsBiases(ShortCut):
    """A start is taken for symmetric if its biases are mirrored as well."""

    def unbiased(self, task: Task) -> bool:
        first, second = np.split(task.b, 2)
        return np.array_equal(first, second)


@broken(
    caught_by="gradient-step",
    only="a symmetric start and β ≠ 1/η",
    causes=("second half of the neurons taken for the mirror image of the first",),
)
class ForgetsTheDecay(ShortCut):
    """The short cut of a symmetric start is taken whatever the weight decay."""

    def free(self, task: Task) -> bool:
        return True


@broken(
    caught_by="gradient-step",
    only="symmetric starts with unequal |a_j|",
    causes=("output weights of one common size",),
)
class OneOutputWeight(ShortCut):
    """On a symmetric start all output weights are taken to be as large as the first."""

    def output_weights(self, task: Task) -> Array:
        return np.full_like(super().output_weights(task), task.a[0])
