"""`fit` does something else with its two halves of rows; the steps themselves are right."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from mimverify.support.arrays import Array
from mimverify.zoo.base import Correct, Task
from mimverify.zoo.record import broken

CATEGORY = "fit"


@broken(breaks="regression", caught_by="second-stage-sign")
class SwapsHalves(Correct):
    """The second half of the rows trains the first layer, the first half the output weights."""

    def fit(self, X: Array, y: Array) -> None:
        half = len(y) // 2
        self.second_stage(X[:half], y[:half], self.first_stage(X[half:], y[half:]))


@broken(breaks="regression", caught_by="first-layer-data")
class UsesTheSecondHalfTwice(Correct):
    """Both stages train on the second half of the rows."""

    def fit(self, X: Array, y: Array) -> None:
        half = len(y) // 2
        self.second_stage(X[half:], y[half:], self.first_stage(X[half:], y[half:]))


@broken(breaks="regression", caught_by="second-stage-sign")
class ShufflesBeforeSplitting(Correct):
    """The rows of both stages are shuffled before they are split in halves."""

    def fit(self, X: Array, y: Array) -> None:
        order = np.random.default_rng(self.random_state).permutation(len(y))
        super().fit(X[order], y[order])


@broken(breaks="regression", caught_by="second-stage-sign")
class TakesEveryOtherRow(Correct):
    """Even rows train the first layer, odd rows the output weights."""

    def fit(self, X: Array, y: Array) -> None:
        order = np.concatenate([np.arange(0, len(y), 2), np.arange(1, len(y), 2)])
        super().fit(X[order], y[order])


@broken(breaks="regression", caught_by="second-stage-sign")
class MeanOfBothHalves(Correct):
    """Predictions have the mean of all labels, where that of stage 2's is fitted."""

    def fit(self, X: Array, y: Array) -> None:
        super().fit(X, y)
        off = float(y.mean() - y[len(y) // 2 :].mean())
        self.readout = replace(self.readout, constant=self.readout.constant + off)


@broken(breaks="regression", caught_by="first-layer-data")
class StandardisesByAllRows(Correct):
    """Inputs are standardised by the moments of both halves of the rows."""

    def fit(self, X: Array, y: Array) -> None:
        self.mean, self.scale = X.mean(axis=0), X.std(axis=0)
        super().fit((X - self.mean) / self.scale, y)

    def predict(self, X: Array) -> Array:
        return super().predict((X - self.mean) / self.scale)


@broken(breaks="regression", caught_by="fit-symmetries", only="labels off zero")
class ForgetsTheConstant(Correct):
    """Stage 2's labels are centred, and their mean is not added to the predictions."""

    def second_stage(self, X: Array, y: Array, W: Array, ridge: float = 1e-3) -> None:
        super().second_stage(X, y - y.mean(), W, ridge)


@broken(breaks="regression", caught_by="fit-symmetries")
class CountsTheLastBlockTwice(Correct):
    """The output weights are fitted with the last 64 rows counted twice."""

    def second_stage(self, X: Array, y: Array, W: Array, ridge: float = 1e-3) -> None:
        rows = np.concatenate([np.arange(len(y)), np.arange(len(y))[-64:]])
        super().second_stage(X[rows], y[rows], W, ridge)


@broken(breaks="regression", caught_by="first-layer-data")
class FineTunes(Correct):
    """The first layer takes one more step on the second half of the rows."""

    def second_stage(self, X: Array, y: Array, W: Array, ridge: float = 1e-3) -> None:
        H = (X.T * np.clip(y - y.mean(), -1, 1)) @ X / len(y)
        super().second_stage(X, y, W + 0.1 * (W @ H) / np.linalg.norm(H, 2), ridge)


@broken(breaks="regression", caught_by="predicts-through-first-layer")
class AddsALinearRegression(Correct):
    """A linear regression on the inputs is added to the predictions."""

    def second_stage(self, X: Array, y: Array, W: Array, ridge: float = 1e-3) -> None:
        super().second_stage(X, y, W, ridge)
        self.linear = np.linalg.lstsq(X, y - self.readout.predict(X), rcond=None)[0]

    def predict(self, X: Array) -> Array:
        return super().predict(X) + X @ self.linear


@broken(breaks="regression", caught_by="first-layer-error")
class ShowsTheStart(Correct):
    """`first_layer_` is the start, not what was trained."""

    def descend(self, W: Array, task: Task, steps: int) -> Array:
        self.start = W
        return super().descend(W, task, steps)

    def second_stage(self, X: Array, y: Array, W: Array, ridge: float = 1e-3) -> None:
        super().second_stage(X, y, W, ridge)
        self.first_layer_ = self.start


class _Zeros(np.random.Generator):
    """Every normal variable is 0."""

    def standard_normal(self, size: Any = None, *_: Any, **__: Any) -> Any:  # as NumPy's
        return np.zeros(size or ())


@broken(breaks="regression", caught_by="odd-part", only="links that are not even")
class KeepsZeroBiases(Correct):
    """The biases are not redrawn for stage 2: they stay zero."""

    def biases(self) -> np.random.Generator:
        return _Zeros(np.random.PCG64())


@broken(breaks="regression", caught_by="rotated-inputs", only="axes that are special")
class ScreensCoordinates(Correct):
    """The two coordinates that vary most with the labels are further directions of stage 2."""

    def second_stage(self, X: Array, y: Array, W: Array, ridge: float = 1e-3) -> None:
        H = (X.T * np.clip(y - y.mean(), -1, 1)) @ X / len(y)
        first, second = np.eye(X.shape[1], dtype=W.dtype)[np.abs(H).max(axis=1).argsort()[-2:]]
        further = np.array([first, second, first + second, first - second])
        super().second_stage(X, y, np.vstack([W, np.tile(further, (16, 1))]), ridge)
