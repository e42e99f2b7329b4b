"""The first layer is right; what `fit` makes of it is not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from mimverify.support.arrays import Array
from mimverify.zoo.base import Correct, Task
from mimverify.zoo.record import broken

CATEGORY = "second stage"


@broken(breaks="regression", caught_by="test-error")
class RandomFeatures(Correct):
    """`fit` never trains the first layer."""

    def first_stage(self, X: Array, y: Array) -> Array:
        return np.random.default_rng(self.random_state).standard_normal((64, X.shape[1]))


@broken(breaks="regression", caught_by="test-error-decay")
class OneStepInside(Correct):
    """`fit` takes a single step, whatever the dimension; `trajectory` takes all."""

    inside = False

    def first_stage(self, X: Array, y: Array) -> Array:
        self.inside = True
        return super().first_stage(X, y)

    def advance(self, t: int, W: Array, task: Task) -> Array:
        return W if self.inside and t else super().advance(t, W, task)


@broken(breaks="regression", caught_by="fresh-readout")
class ReusesStageOne(Correct):
    """The second stage trains on the first stage's data."""

    def fit(self, X: Array, y: Array) -> None:
        half = len(y) // 2
        self.second_stage(X[:half], y[:half], self.first_stage(X[:half], y[:half]))


@broken(breaks="regression", caught_by="test-error")
class SwapsNeurons(Correct):
    """Predictions pair each output weight with the bias of the next neuron."""

    def predict(self, X: Array) -> Array:
        return replace(self.readout, biases=np.roll(self.readout.biases, 1)).predict(X)


@broken(breaks="regression", caught_by="test-error")
class TooMuchRidge(Correct):
    """The penalty, meant for a mean, is multiplied by n where the sum is divided by it."""

    def second_stage(self, X: Array, y: Array, W: Array, ridge: float = 1e-3) -> None:
        super().second_stage(X, y, W, ridge=len(y) ** 2 * ridge)


@broken(breaks="regression", caught_by="test-error")
class NearestNeighbour(Correct):
    """It memorises the data and answers with the label of the nearest row."""

    def fit(self, X: Array, y: Array) -> None:
        self.memory = X, y

    def predict(self, X: Array) -> Array:
        rows, labels = self.memory
        gaps = (rows * rows).sum(axis=1) - 2 * X @ rows.T
        return labels[gaps.argmin(axis=1)]


@broken(breaks="regression", caught_by="test-error")
class TrainsAgainstTheLabels(Correct):
    """The second stage fits −y."""

    def second_stage(self, X: Array, y: Array, W: Array, ridge: float = 1e-3) -> None:
        super().second_stage(X, -y, W, ridge)


@broken(breaks="regression", caught_by="fresh-first-layer")
class FirstStageSeesAll(Correct):
    """The first layer trains on the rows of both stages."""

    def fit(self, X: Array, y: Array) -> None:
        W = self.first_stage(X, y)
        self.second_stage(X[len(y) // 2 :], y[len(y) // 2 :], W)


@broken(
    breaks="regression",
    caught_by="pointwise-prediction",
    causes=("predictions depend on the rows that are predicted together",),
)
class StandardisesTheTestSet(Correct):
    """Inputs are standardised by the moments of the rows that are predicted together."""

    def predict(self, X: Array) -> Array:
        return super().predict((X - X.mean(axis=0)) / (X.std(axis=0) + 1e-3))
