"""Only one of `step` and `trajectory` is wrong: two ways to one step, mended or compiled apart."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from mimverify.designs import OperationCounts
from mimverify.network import get_activation, get_loss
from mimverify.support.arrays import Array
from mimverify.zoo.arithmetic import Counting
from mimverify.zoo.base import Correct, Task
from mimverify.zoo.record import broken
from mimverify.zoo.use_of_data import rows_of

CATEGORY = "one method"
_BLOCK = 4096


class Both(Correct):
    """Nothing wrong either, and it offers `step` beside `trajectory`: the control of this module.

    The two share no code that a mutant overrides: `step` takes the step of `taken`, which calls
    neither `prepare` nor `advance`.
    """

    def step(
        self, W: Array, a: Array, b: Array, X: Array, y: Array, *,
        eta: float, beta: float, activation: str, loss: str,
    ) -> Array:  # fmt: skip
        """The weights `(m, d)` after one step."""
        return self.taken(
            W, Task(X, y, a, b, eta, beta, get_activation(activation), get_loss(loss))
        )

    def taken(self, W: Array, task: Task) -> Array:
        """What `step` returns."""
        return Correct.advance(self, 0, W, task)


# -- `trajectory` alone is wrong -------------------------------------------------------------


@broken(
    caught_by="trajectory",
    only="`trajectory`, n > 4096",
    causes=("last rows dropped",),
)
class TrajectoryDropsTheLastBlock(Both):
    """`trajectory` works through whole blocks of 4096 rows and leaves the last, partial one out."""

    def prepare(self, task: Task) -> Task:
        n = len(task.y)
        return rows_of(task, slice(n - n % _BLOCK if n > _BLOCK else n))


@broken(
    caught_by="trajectory",
    only="`trajectory`, β = 0",
    causes=("β = 0 taken as β = 1/η",),
)
class TrajectoryTakesNoDecayForTheDefault(Both):
    """`trajectory` takes β = 0 for "not given" and uses 1/η; `step` does not."""

    def prepare(self, task: Task) -> Task:
        return replace(task, beta=task.beta or 1 / task.eta)


@broken(
    caught_by="trajectory",
    only="`trajectory`, η β > 1",
    causes=("1 − η β taken as 0 where it is negative",),
)
class TrajectoryClampsTheDecay(Both):
    """`trajectory` computes the factor 1 − η β once, and never lets it be negative."""

    def prepare(self, task: Task) -> Task:
        return replace(task, beta=min(task.beta, 1 / task.eta))


@broken(
    caught_by="trajectory",
    only="`trajectory`, rows that occur twice",
    causes=("rows that occur twice counted once",),
)
class TrajectoryDropsRepeatedRows(Both):
    """`trajectory` removes rows that occur twice before its first step."""

    def prepare(self, task: Task) -> Task:
        _, first = np.unique(task.X, axis=0, return_index=True)
        return rows_of(task, np.sort(first))


@broken(
    caught_by="trajectory",
    only="`trajectory`, n > 4096, the second step and later ones",
    causes=("last rows dropped",),
)
class LaterStepsDropTheLastBlock(Both):
    """After a first step on all rows the loop of `trajectory` takes whole blocks alone."""

    def advance(self, t: int, W: Array, task: Task) -> Array:
        n = len(task.y)
        rows = slice(n - n % _BLOCK if t and n > _BLOCK else n)
        return super().advance(t, W, rows_of(task, rows))


# -- `step` alone is wrong ---------------------------------------------------------------------


@broken(caught_by="gradient-step", only="`step`, b ≠ 0", causes=("biases ignored",))
class StepIgnoresTheBiases(Both):
    """`step` was written before the biases, and leaves them out."""

    def taken(self, W: Array, task: Task) -> Array:
        return super().taken(W, replace(task, b=0 * task.b))


@broken(
    caught_by="gradient-step",
    only="`step`, another β than in its first call",
    causes=("weight decay {} times as strong",),
)
class StepKeepsTheFirstDecay(Both):
    """`step` keeps the weight decay of its first call, as a compiled closure does."""

    def taken(self, W: Array, task: Task) -> Array:
        self.kept = getattr(self, "kept", task.beta)
        return super().taken(W, replace(task, beta=self.kept))


@broken(
    caught_by="gradient-step",
    only="`step`, n > 4096",
    causes=("last rows dropped",),
)
class StepTakesOneBlock(Both):
    """`step` takes the first 4096 rows for all: the loop over blocks is in `trajectory` alone."""

    def taken(self, W: Array, task: Task) -> Array:
        return super().taken(W, rows_of(task, slice(_BLOCK)))


@broken(
    caught_by="power-iteration",
    only="`step` from weights that it has returned",
    causes=("gradient at the weights of the step before",),
)
class StepGoesOnFromItsOwn(Both):
    """Called with the weights that it has returned, `step` takes the preactivations it had there
    before the last step."""

    def taken(self, W: Array, task: Task) -> Array:
        last = getattr(self, "last", None)
        behind = W if last is None or not np.array_equal(last[1], W) else last[0]
        after = self.update(0, W, self.gradient(behind, task), task)
        self.last = W, after
        return after


@broken(
    breaks="operation counts",
    caught_by="arithmetic",
    only="the counts of `step`",
    causes=("counts add up over calls",),
)
class StepAddsToTheCounts(Both, Counting):
    """`trajectory` sets its counts to zero at its beginning; `step` adds to those of all calls."""

    def __init__(self) -> None:
        self.counts = OperationCounts()
