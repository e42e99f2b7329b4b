"""`fit` learns, but less than the theorem's algorithm would from the same rows."""

from __future__ import annotations

import numpy as np

from mimverify.backends import NumpyBackend
from mimverify.designs import StoredDesign
from mimverify.network import get_activation
from mimverify.support.arrays import Array, Float64Array
from mimverify.training import train_readout
from mimverify.zoo.base import Correct, Task
from mimverify.zoo.record import broken

CATEGORY = "second stage"


@broken(breaks="regression", caught_by="predicted-test-error")
class TwoStepsShortInside(Correct):
    """`fit` takes two steps less than T1; `trajectory` takes all that it is asked for."""

    inside = False

    def first_stage(self, X: Array, y: Array) -> Array:
        self.inside = True
        return super().first_stage(X, y)

    def descend(self, W: Array, task: Task, steps: int) -> Array:
        return super().descend(W, task, max(steps - 2, 1) if self.inside else steps)


@broken(breaks="regression", caught_by="predicted-test-error")
class RidgeTimesThousand(Correct):
    """The penalty, meant for features of unit variance, is given in thousandths and taken whole."""

    def second_stage(self, X: Array, y: Array, W: Array, ridge: float = 1e-3) -> None:
        super().second_stage(X, y, W, ridge=1000 * ridge)


@broken(breaks="regression", caught_by="predicted-readout-error")
class RidgeTimesTen(Correct):
    """The penalty is ten times the one that was asked for."""

    def second_stage(self, X: Array, y: Array, W: Array, ridge: float = 1e-3) -> None:
        super().second_stage(X, y, W, ridge=10 * ridge)


@broken(breaks="regression", caught_by="predicted-test-error")
class KeepsTheBiases(Correct):
    """The biases of stage 1, which are zero, are not drawn anew for stage 2."""

    def second_stage(self, X: Array, y: Array, W: Array, ridge: float = 1e-3) -> None:
        self.readout = train_readout(
            StoredDesign(X, NumpyBackend(X.dtype.name)),
            y,
            W,
            activation=get_activation("log-cosh"),
            neurons=len(W),  # features of equal direction and bias would be the same
            rng=_Zeros(np.random.PCG64()),
            ridge=ridge,
        )


class _Zeros(np.random.Generator):
    """Draws zeros."""

    def standard_normal(self, size: int) -> Float64Array:  # type: ignore[override]
        return np.zeros(size)
