"""Broken trainers that the claims have to catch; the first class is correct.

Plain NumPy; of mimverify there is only the record of each mutant. Each run has a new object, and a
trajectory is a series of calls of `step`: a mutant may remember the earlier ones.
"""

from __future__ import annotations

import numpy as np

from mimverify.zoo import broken


class Correct:
    """Nothing wrong: full-batch gradient steps, ReLU and squared loss."""

    activations = ("relu",)
    losses = ("squared",)
    dtypes = ("float64", "float32")

    def __init__(self):
        self.calls = 0

    def step(self, W, a, b, X, y, *, eta, beta, activation, loss):
        """W − η (∇_W L(W) + β W)."""
        X, y = self.batch(X, y)
        self.calls += 1
        return W - self.rate(eta) * (self.gradient(W, a, b, X, y) + self.decay(beta, eta) * W)

    def batch(self, X, y):
        """The rows of this step."""
        return X, y

    def gradient(self, W, a, b, X, y):
        """∇_W L(W)."""
        P = X @ W.T + b
        residual = np.maximum(P, 0) @ a - y
        return ((residual[:, None] * a) * self.slope(P)).T @ X / len(y)

    def slope(self, P):
        """The derivative of the activation."""
        return (P > 0).astype(P.dtype)

    def rate(self, eta):
        """The learning rate."""
        return eta

    def decay(self, beta, eta):
        """The weight decay."""
        return beta


@broken("use of data", caught_by="two-steps-escape")
class OnePass(Correct):
    """Every step has rows of its own: the first half, then the second."""

    def batch(self, X, y):
        rows = slice(self.calls % 2, None, 2)
        return X[rows], y[rows]


@broken(
    "use of data",
    caught_by="one-pass-fails",
    causes=("data of an earlier call used in place of those given",),
)
class CachesItsRows(Correct):
    """It keeps the first batch and trains on it for good, whatever the later calls bring."""

    def batch(self, X, y):
        if self.calls == 0:
            self.kept = X, y
        return self.kept


@broken("update rule", caught_by="two-steps-escape")
class FrozenNeurons(Correct):
    """The neurons that are active at the start stay so: the network is linearised (lazy)."""

    def gradient(self, W, a, b, X, y):
        if self.calls == 1:
            self.active = super().slope(X @ W.T + b)
        active = self.active if len(self.active) == len(y) else super().slope(X @ W.T + b)
        residual = (active * (X @ W.T + b)) @ a - y
        return ((residual[:, None] * a) * active).T @ X / len(y)


@broken("update rule", caught_by="two-steps-escape", causes=("loss with a factor 1/2",))
class HalvesTheRate(Correct):
    """The learning rate is halved, as for a loss without the factor 1/2."""

    def rate(self, eta):
        return eta / 2


@broken(
    "update rule",
    caught_by="two-steps-escape",
    causes=(
        "gradient {} times as long",
        "learning rate {} times as large",
    ),
)
class RateDecays(Correct):
    """The rate falls like 1/t²."""

    def rate(self, eta):
        return eta / self.calls**2


@broken("update rule", caught_by="finite-rate", causes=("β = 0 taken as β = 1/η",))
class DecaysAnyway(Correct):
    """It takes 1/η for the weight decay, as other algorithms do, also where none is asked for."""

    def decay(self, beta, eta):
        return 1 / eta


@broken("update rule", caught_by="two-steps-escape")
class PairsNeurons(Correct):
    """It takes every start for a symmetric one, and half of the neurons for mirror images."""

    def gradient(self, W, a, b, X, y):
        half = len(a) // 2
        active = self.slope(X @ W[:half].T + b[:half])
        upper = ((-y[:, None] * a[:half]) * active).T @ X / len(y)
        return np.concatenate([upper, -upper])


@broken("use of data", caught_by="two-steps-escape")
class TransformsLabels(Correct):
    """It trains on y² less its mean, which has another information exponent."""

    def batch(self, X, y):
        return X, y**2 - np.mean(y**2)


@broken("update rule", caught_by="two-steps-escape")
class AbsoluteNeurons(Correct):
    """The derivative of |z| for that of ReLU."""

    def slope(self, P):
        return np.sign(P)


MUTANTS = (
    OnePass,
    CachesItsRows,
    FrozenNeurons,
    HalvesTheRate,
    RateDecays,
    DecaysAnyway,
    PairsNeurons,
    TransformsLabels,
    AbsoluteNeurons,
)
