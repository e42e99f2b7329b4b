"""One too many, one too few, the one beside it; rows for columns."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from mimverify.support.arrays import Array
from mimverify.zoo.base import Correct, Task
from mimverify.zoo.record import broken

CATEGORY = "off-by-one"


@broken(caught_by="gradient-step", causes=("weights not updated",))
class RepeatsTheStart(Correct):
    """Weights are recorded before the step: W_0 comes twice and the last ones are missing."""

    def descend(self, W: Array, task: Task, steps: int) -> Array:
        weights = super().descend(W, task, steps)
        return np.concatenate([weights[:1], weights[:-1]]) if steps else weights


@broken(
    caught_by="trajectory",
    only="the second step and later ones",
    causes=("gradient at the weights of the step before",),
)
class StaleGradient(Correct):
    """From the second step on the gradient is that of the weights before the last step."""

    def descend(self, W: Array, task: Task, steps: int) -> Array:
        weights = [W]
        for t in range(steps):
            G = self.gradient(weights[max(t - 1, 0)], task)
            weights.append(self.update(t, weights[-1], G, task))
        return np.array(weights)


@broken(caught_by="gradient-step", only="the first step", causes=("weight decay missing",))
class NoDecayAtFirst(Correct):
    """Weight decay begins with the second step."""

    def update(self, t: int, W: Array, G: Array, task: Task) -> Array:
        return super().update(t, W, G, replace(task, beta=task.beta if t else 0.0))


@broken(caught_by="gradient-step", causes=("gradient divided by n − 1 instead of n",))
class DividesByOneLess(Correct):
    """The mean over the rows divides by n − 1."""

    def gradient(self, W: Array, task: Task) -> Array:
        n = len(task.y)
        return super().gradient(W, task) * (n / max(1, n - 1))


@broken(caught_by="gradient-step", causes=("first rows dropped",))
class SkipsTheFirstRow(Correct):
    """The first row is taken for a header."""

    def prepare(self, task: Task) -> Task:
        return replace(task, X=task.X[1:], y=task.y[1:]) if len(task.y) > 1 else task


@broken(
    caught_by="gradient-step",
    only="an odd number of neurons",
    causes=("neurons not updated",),
)
class ForgetsTheLastNeuron(Correct):
    """Neurons move in pairs; an odd one out stays where it is."""

    def descend(self, W: Array, task: Task, steps: int) -> Array:
        weights = super().descend(W, task, steps)
        if len(W) % 2:
            weights[1:, -1] = W[-1]
        return weights


@broken(caught_by="gradient-step", causes=("coordinates not updated",))
class ForgetsTheLastColumn(Correct):
    """The last input is taken for the label column: its weights never move."""

    def update(self, t: int, W: Array, G: Array, task: Task) -> Array:
        updated = super().update(t, W, G, task)
        updated[:, -1] = W[:, -1]
        return updated


@broken(
    caught_by="gradient-step",
    only="b ≠ 0",
    causes=("biases of the neighbouring neurons",),
)
class BiasOfTheNeighbour(Correct):
    """Every neuron has the bias of the one before it."""

    def prepare(self, task: Task) -> Task:
        return replace(task, b=np.roll(task.b, 1))


@broken(caught_by="gradient-step", only="m = d", causes=("gradient transposed",))
class TransposedGradient(Correct):
    """Where m = d, and no shape complains, the gradient is transposed."""

    def gradient(self, W: Array, task: Task) -> Array:
        G = super().gradient(W, task)
        return G.T if W.shape[0] == W.shape[1] else G


@broken(caught_by="gradient-step", only="m > d", causes=("neurons left out of the output",))
class NoMoreNeuronsThanInputs(Correct):
    """Neurons beyond the d-th are left out of the output."""

    def output(self, P: Array, task: Task) -> Array:
        d = task.X.shape[1]
        return task.activation.value(P[:, :d]) @ task.a[:d]


@broken(caught_by="gradient-step", only="n ≤ d", causes=("weights not updated",))
class NeedsMoreRowsThanColumns(Correct):
    """Nothing moves where n ≤ d."""

    def advance(self, t: int, W: Array, task: Task) -> Array:
        n, d = task.X.shape
        return super().advance(t, W, task) if n > d else W
