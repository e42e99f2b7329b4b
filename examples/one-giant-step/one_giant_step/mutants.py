"""Broken trainers that the claims have to catch; the first class is correct.

Plain NumPy; of mimverify there is only the record of each mutant, which overrides one method of
`Correct`.
"""

from __future__ import annotations

import numpy as np

from mimverify.zoo import broken


class Correct:
    """Nothing wrong: one full-batch gradient step with weight decay, ReLU and squared loss."""

    activations = ("relu",)
    losses = ("squared",)
    dtypes = ("float64", "float32")

    def step(self, W, a, b, X, y, *, eta, beta, activation, loss):
        """W − η (∇_W L(W) + β W)."""
        return W - eta * (self.gradient(W, a, b, X, y) + self.decay(beta, eta) * W)

    def gradient(self, W, a, b, X, y):
        """∇_W L(W)."""
        P = X @ W.T + b
        residual = np.maximum(P, 0) @ a - self.labels(X, y)
        return ((residual[:, None] * a) * self.slope(P)).T @ X / len(y)

    def labels(self, X, y):
        """What it is trained on."""
        return y

    def slope(self, P):
        """The derivative of the activation."""
        return (P > 0).astype(P.dtype)

    def decay(self, beta, eta):
        """The weight decay."""
        return beta


@broken("update rule", caught_by="start-cancels", causes=("weight decay missing",))
class KeepsTheStart(Correct):
    """No weight decay: W_1 keeps W_0, and with it the noise of d − 1 directions."""

    def decay(self, beta, eta):
        return 0.0


@broken("update rule", caught_by="start-cancels", causes=("weight decay applied twice",))
class DecaysTwice(Correct):
    """The decay is subtracted twice: W_1 keeps −W_0."""

    def decay(self, beta, eta):
        return 2 * beta


@broken("use of data", caught_by="start-cancels", causes=("only the first half of the rows used",))
class TrainsOnHalf(Correct):
    """It trains on half of the rows."""

    def gradient(self, W, a, b, X, y):
        half = len(y) // 2
        return super().gradient(W, a, b, X[:half], y[:half])


@broken("update rule", caught_by="start-cancels")
class LinearNeurons(Correct):
    """The derivative of ReLU is taken to be 1: the step sees Σ y x, which has been removed."""

    def slope(self, P):
        return np.ones_like(P)


# The first step, from f = 0, is that of either.
@broken(
    "use of data",
    caught_by="start-cancels",
    causes=(
        "labels clipped {}",
        "loss huber",
    ),
)
class ClipsLabels(Correct):
    """Labels are clipped at ±1: of another degree than the target's."""

    def labels(self, X, y):
        return np.clip(y, -1, 1)


@broken("update rule", caught_by="start-cancels", causes=("learning rate {} times as large",))
class SmallSteps(Correct):
    """The rate is capped at 1, as if a step had to be small: the start is not cancelled."""

    def step(self, W, a, b, X, y, *, eta, beta, activation, loss):
        return super().step(
            W, a, b, X, y, eta=min(eta, 1.0), beta=beta, activation=activation, loss=loss
        )


@broken("use of data", caught_by="start-cancels")
class RemovesItAgain(Correct):
    """It removes the linear part by itself, also where it was to be kept."""

    def labels(self, X, y):
        return y - X @ np.linalg.lstsq(X, y, rcond=None)[0]


@broken("update rule", caught_by="start-cancels")
class SpectralMethod(Correct):
    """It iterates on (1/n) Σ y x xᵀ until it has found the direction: better than one step can."""

    def gradient(self, W, a, b, X, y):
        H = (X.T * y) @ X / len(y)
        directions = W
        for _ in range(20):
            directions = directions @ H
            directions /= np.linalg.norm(directions, axis=1, keepdims=True)
        return -a[:, None] * directions


MUTANTS = (
    KeepsTheStart,
    DecaysTwice,
    TrainsOnHalf,
    LinearNeurons,
    ClipsLabels,
    SmallSteps,
    RemovesItAgain,
    SpectralMethod,
)
