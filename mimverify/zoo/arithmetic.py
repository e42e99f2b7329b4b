"""The right weights at the wrong cost, and wrong operation counts."""

from __future__ import annotations

import numpy as np

from mimverify.designs import OperationCounts
from mimverify.support.arrays import Array
from mimverify.zoo.base import Correct, Task
from mimverify.zoo.record import broken

CATEGORY = "arithmetic"
_BREAKS = "operation counts"


class Counting(Correct):
    """Nothing wrong either, and it counts: the control of this module."""

    def descend(self, W: Array, task: Task, steps: int) -> Array:
        self.counts = OperationCounts()
        return self.descend_counted(W, task, steps)

    def descend_counted(self, W: Array, task: Task, steps: int) -> Array:
        """What `descend` returns; every product with X is counted by `count`."""
        return super().descend(W, task, steps)

    def gradient(self, W: Array, task: Task) -> Array:
        self.count(2 * task.X.size * len(W), passes=2)
        return super().gradient(W, task)

    def count(self, multiply_adds: int, *, passes: int = 0) -> None:
        """Add to the counts."""
        self.counts.multiply_adds += multiply_adds
        self.counts.design_passes += passes

    def operation_counts(self) -> dict[str, int]:
        """Of the last call of `trajectory`."""
        return self.counts.to_json()


@broken(
    breaks=_BREAKS,
    caught_by="arithmetic",
    causes=("n d² multiply-adds counted beside those of the steps, as of XᵀX",),
)
class FormsTheCovariance(Counting):
    """It forms XᵀX once, to measure its largest curvature: n d² multiply-adds."""

    def descend_counted(self, W: Array, task: Task, steps: int) -> Array:
        self.count(task.X.size * task.X.shape[1], passes=1)
        self.curvature = np.linalg.eigvalsh(task.X.T @ task.X)[-1]
        return super().descend_counted(W, task, steps)


@broken(
    breaks=_BREAKS,
    caught_by="arithmetic",
    causes=("passes over the rows counted for every neuron",),
)
class PassesPerNeuron(Counting):
    """It goes through the rows anew for every neuron: 2 m passes a step."""

    def gradient(self, W: Array, task: Task) -> Array:
        self.count(2 * task.X.size * len(W), passes=2 * len(W))
        P = np.stack([task.X @ w for w in W], axis=1) + task.b
        R = self.slope(self.output(P, task), task)[:, None] * self.first(P, task) * task.a
        return np.stack([r @ task.X for r in R.T]) / len(task.y)


@broken(
    breaks=_BREAKS,
    caught_by="arithmetic",
    causes=("all earlier steps taken again for each: T (T + 1)/2 of them counted",),
)
class StartsOver(Counting):
    """It keeps no weights: for those after t steps it takes all t again, T (T + 1)/2 of them."""

    def descend_counted(self, W: Array, task: Task, steps: int) -> Array:
        runs = [super(StartsOver, self).descend_counted(W, task, t) for t in range(steps + 1)]
        return np.array([run[-1] for run in runs])


@broken(
    breaks=_BREAKS,
    caught_by="arithmetic",
    causes=("half of the multiply-adds counted",),
)
class CountsHalf(Counting):
    """It counts one of the two products of a step and forgets the other."""

    def operation_counts(self) -> dict[str, int]:
        return {name: count // 2 for name, count in super().operation_counts().items()}
