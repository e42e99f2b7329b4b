"""Wrong gradients, and other ways to use a right one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from mimverify.network import get_activation
from mimverify.support.arrays import Array
from mimverify.zoo.base import Correct, Task
from mimverify.zoo.record import broken

CATEGORY = "update rule"


@broken(caught_by="gradient-step", causes=("gradient of the wrong sign",))
class WrongSign(Correct):
    """Gradient ascent: what follows the decay is added instead of subtracted."""

    def update(self, t: int, W: Array, G: Array, task: Task) -> Array:
        return super().update(t, W, -G, task)


@broken(caught_by="gradient-step", causes=("gradient {} times as long",))
class BiasedGradient(Correct):
    """The gradient is one per cent too long."""

    def update(self, t: int, W: Array, G: Array, task: Task) -> Array:
        return super().update(t, W, 1.01 * G, task)


@broken(caught_by="gradient-step", causes=("weight decay missing",))
class NoWeightDecay(Correct):
    """β is ignored."""

    def prepare(self, task: Task) -> Task:
        return replace(task, beta=0.0)


@broken(caught_by="gradient-step", causes=("weight decay not multiplied by the rate",))
class DecoupledDecay(Correct):
    """Weight decay is decoupled from the learning rate: β W instead of η β W."""

    def update(self, t: int, W: Array, G: Array, task: Task) -> Array:
        return W - task.eta * G - task.beta * W


@broken(caught_by="gradient-step", causes=("weight decay applied after the gradient step",))
class DecaysAfterTheStep(Correct):
    """Weight decay shrinks the updated weights, the step included."""

    def update(self, t: int, W: Array, G: Array, task: Task) -> Array:
        return (1 - task.eta * task.beta) * (W - task.eta * G)


@broken(caught_by="gradient-step", causes=("weight decay applied twice",))
class DecaysTwice(Correct):
    """Weight decay is in the loss and in the optimiser: it acts twice."""

    def gradient(self, W: Array, task: Task) -> Array:
        return super().gradient(W, task) + task.beta * W


@broken(caught_by="trajectory", causes=("momentum {}",))
class Momentum(Correct):
    """Heavy-ball momentum of 0.05."""

    def update(self, t: int, W: Array, G: Array, task: Task) -> Array:
        push = G + task.beta * W
        self.velocity: Array = push if t == 0 else 0.05 * self.velocity + push
        return W - task.eta * self.velocity


@broken(caught_by="gradient-step", causes=("AdamW in place of gradient descent",))
class Adam(Correct):
    """Adam in place of gradient descent."""

    def update(self, t: int, W: Array, G: Array, task: Task) -> Array:
        if t == 0:
            self.mean, self.square = 0 * G, 0 * G
        self.mean = 0.9 * self.mean + 0.1 * G
        self.square = 0.999 * self.square + 0.001 * G**2
        mean, square = self.mean / (1 - 0.9 ** (t + 1)), self.square / (1 - 0.999 ** (t + 1))
        return super().update(t, W, mean / (np.sqrt(square) + 1e-8), task)


@broken(caught_by="gradient-step", causes=("sign of the gradient in its place",))
class SignGradient(Correct):
    """Every entry of the gradient is replaced by its sign times their mean size."""

    def update(self, t: int, W: Array, G: Array, task: Task) -> Array:
        return super().update(t, W, np.sign(G) * np.abs(G).mean(), task)


@broken(
    caught_by="gradient-step",
    causes=("gradient of each neuron brought to {}",),
)
class NormalisedGradient(Correct):
    """The gradient of every neuron is brought to the neuron's own length."""

    def update(self, t: int, W: Array, G: Array, task: Task) -> Array:
        length = np.linalg.norm(W, axis=1, keepdims=True)
        size = np.linalg.norm(G, axis=1, keepdims=True)
        return super().update(t, W, G * length / np.maximum(size, 1e-30), task)


@broken(
    caught_by="gradient-step",
    only="large gradients",
    causes=("gradient cut to norm {}",),
)
class ClipsGradients(Correct):
    """A gradient of norm above 1 is cut to norm 1."""

    def update(self, t: int, W: Array, G: Array, task: Task) -> Array:
        return super().update(t, W, G / max(1.0, float(np.linalg.norm(G))), task)


@broken(
    caught_by="power-iteration",
    only="more than ten steps",
    causes=("learning rate {} times as large",),
)
class HalvesTheRate(Correct):
    """The learning rate is halved after every ten steps."""

    def update(self, t: int, W: Array, G: Array, task: Task) -> Array:
        return super().update(t, W, G, replace(task, eta=task.eta * 0.5 ** (t // 10)))


@broken(
    caught_by="trajectory",
    only="the second step and later ones",
    causes=("learning rate divided by √t at step t",),
)
class DecaysTheRate(Correct):
    """The learning rate falls like 1/√t."""

    def update(self, t: int, W: Array, G: Array, task: Task) -> Array:
        return super().update(t, W, G, replace(task, eta=task.eta / np.sqrt(t + 1.0)))


@broken(
    caught_by="trajectory",
    only="the second step and later ones",
    causes=("weights not updated",),
)
class OneStepOnly(Correct):
    """It stops after the first step."""

    def advance(self, t: int, W: Array, task: Task) -> Array:
        return super().advance(t, W, task) if t < 1 else W


@broken(
    caught_by="trajectory",
    only="the third step and later ones",
    causes=("weights not updated",),
)
class StopsAfterTwo(Correct):
    """It stops after the second step, however many are asked for."""

    def advance(self, t: int, W: Array, task: Task) -> Array:
        return super().advance(t, W, task) if t < 2 else W


@broken(caught_by="gradient-step", causes=("weights orthonormalised {} after the step",))
class Orthonormalised(Correct):
    """After each step the weights are orthonormalised by QR: a spectral method in disguise."""

    def update(self, t: int, W: Array, G: Array, task: Task) -> Array:
        W = super().update(t, W, G, task)
        Q, _ = np.linalg.qr(W.T)
        k = Q.shape[1]
        W[:k] = Q.T * (np.linalg.norm(W[:k]) / np.sqrt(k))
        return W


@broken(
    caught_by="gradient-step",
    causes=("only the top direction of the weights kept after the step",),
)
class CollapsesToTheTop(Correct):
    """After each step only the top principal direction of the weights is kept."""

    def update(self, t: int, W: Array, G: Array, task: Task) -> Array:
        u, s, v = np.linalg.svd(super().update(t, W, G, task), full_matrices=False)
        return u[:, :1] * s[0] * v[:1]


@broken(
    caught_by="trajectory",
    only="the second step and later ones",
    causes=("mean of the last two iterates returned",),
)
class AveragesIterates(Correct):
    """From the second step on it returns the mean of the last two iterates."""

    def descend(self, W: Array, task: Task, steps: int) -> Array:
        weights = super().descend(W, task, steps)
        weights[2:] = (weights[1:-1] + weights[2:]) / 2
        return weights


@broken(
    caught_by="gradient-step",
    only="two neurons or more",
    causes=("neurons moved one after another, each seeing those before it moved",),
)
class NeuronByNeuron(Correct):
    """Neurons move one after another, each against the outputs of those already moved."""

    def advance(self, t: int, W: Array, task: Task) -> Array:
        W = W.copy()
        for j in range(len(W)):
            W[j] = super().advance(t, W, task)[j]
        return W


@broken(
    caught_by="trajectory",
    only="the second step and later ones",
    causes=("output weights trained along with the first layer",),
)
class TrainsBothLayers(Correct):
    """The output weights descend along with the first layer: not layer-wise."""

    def descend(self, W: Array, task: Task, steps: int) -> Array:
        weights = [W]
        for t in range(steps):
            P = task.X @ weights[-1].T + task.b
            push = self.slope(self.output(P, task), task) @ task.activation.value(P) / len(task.y)
            weights.append(self.advance(t, weights[-1], task))
            task = replace(task, a=task.a - task.eta * push)
        return np.array(weights)


@broken(
    caught_by="trajectory",
    only="the second step and later ones",
    causes=("biases trained along with the weights",),
)
class TrainsBiases(Correct):
    """The biases descend along with the weights."""

    def descend(self, W: Array, task: Task, steps: int) -> Array:
        weights = [W]
        for t in range(steps):
            P = task.X @ weights[-1].T + task.b
            slope = self.slope(self.output(P, task), task)
            push = task.a * (slope @ self.first(P, task)) / len(task.y)
            weights.append(self.advance(t, weights[-1], task))
            task = replace(task, b=task.b - task.eta * push)
        return np.array(weights)


@broken(caught_by="gradient-step", causes=("network output f left out of the residual",))
class NoFeedback(Correct):
    """The gradient is that at f = 0: labels in place of residuals."""

    def output(self, P: Array, task: Task) -> Array:
        return 0 * task.y


@broken(
    caught_by="gradient-step",
    only="pseudo-huber",
    causes=("derivative of the activation log-cosh",),
)
class DerivativeOfAnother(Correct):
    """σ' of the pseudo-Huber activation is that of log-cosh."""

    def first(self, P: Array, task: Task) -> Array:
        name = task.activation.name
        return get_activation("log-cosh" if name == "pseudo-huber" else name).first(P)


@broken(caught_by="gradient-step", only="squared loss", causes=("loss with a factor 2",))
class SquaredWithoutHalf(Correct):
    """The squared loss is u² where u²/2 is meant: its derivative is twice as large."""

    def slope(self, f: Array, task: Task) -> Array:
        return super().slope(f, task) * (2 if task.loss.name == "squared" else 1)


@broken(
    caught_by="gradient-step",
    only="huber loss",
    causes=("Huber loss that becomes linear {}",),
)
class AnotherHuber(Correct):
    """The Huber loss changes from quadratic to linear at 1.345, not at 1."""

    def slope(self, f: Array, task: Task) -> Array:
        if task.loss.name == "huber":
            return np.clip(f - task.y, -1.345, 1.345)
        return super().slope(f, task)


@broken(caught_by="gradient-step", only="β = 0", causes=("β = 0 taken as β = 1/η",))
class DefaultsForZero(Correct):
    """β = 0 is taken for a β that was not given."""

    def prepare(self, task: Task) -> Task:
        return replace(task, beta=task.beta or 1 / task.eta)


@broken(
    caught_by="gradient-step",
    only="η β > 1",
    causes=("1 − η β taken as 0 where it is negative",),
)
class ClampsTheDecay(Correct):
    """Weight decay never turns the weights round."""

    def update(self, t: int, W: Array, G: Array, task: Task) -> Array:
        return max(0.0, 1 - task.eta * task.beta) * W - task.eta * G


@broken(
    caught_by="agnostic-span",
    only="three hidden directions, 32 inputs or more, the third step and later ones",
)
class KeepsTwoDirections(Correct):
    """From the third step on, and from 32 inputs on, the weights are stored as a product of rank
    two, which is enough for two hidden directions."""

    def update(self, t: int, W: Array, G: Array, task: Task) -> Array:
        updated = super().update(t, W, G, task)
        if t < 2 or W.shape[1] < 32:
            return updated
        left, sizes, right = np.linalg.svd(updated, full_matrices=False)
        return (left[:, :2] * sizes[:2]) @ right[:2]
