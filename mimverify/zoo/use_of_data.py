"""Rows left out, drawn, reused or changed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from mimverify.support.arrays import Array, NumpyArray
from mimverify.zoo.base import Correct, Task
from mimverify.zoo.record import broken

CATEGORY = "use of data"


def rows_of(task: Task, rows: slice | NumpyArray) -> Task:
    """The task with these rows alone."""
    return replace(task, X=task.X[rows], y=task.y[rows])


@broken(caught_by="gradient-step", causes=("only the first half of the rows used",))
class TrainsOnHalf(Correct):
    """Every step reuses the first half of the rows; the other half is never seen."""

    def prepare(self, task: Task) -> Task:
        return rows_of(task, slice(max(1, len(task.y) // 2)))


@broken(
    caught_by="trajectory",
    only="the second step and later ones",
    causes=("rows divided among the steps",),
)
class FreshSamples(Correct):
    """From the second step on each step has rows of its own, where all are to be reused."""

    def advance(self, t: int, W: Array, task: Task) -> Array:
        chunks = np.array_split(np.arange(len(task.y)), min(4, len(task.y)))
        return super().advance(t, W, rows_of(task, chunks[t % len(chunks)]) if t else task)


@broken(caught_by="one-pass", causes=("rows drawn, each counted 0, 1 or several times",))
class Bootstrap(Correct):
    """It trains on as many rows drawn with replacement."""

    def prepare(self, task: Task) -> Task:
        rng = np.random.default_rng(self.random_state)
        return rows_of(task, rng.integers(len(task.y), size=len(task.y)))


@broken(caught_by="gradient-step", causes=("rows drawn, each counted 0, 1 or several times",))
class Minibatches(Correct):
    """Stochastic gradient descent: half of the rows, drawn anew for each step."""

    def advance(self, t: int, W: Array, task: Task) -> Array:
        n = len(task.y)
        rows = np.random.default_rng([self.random_state, t]).permutation(n)[: max(1, n // 2)]
        return super().advance(t, W, rows_of(task, rows))


@broken(caught_by="power-iteration", only="more than 512 rows", causes=("last rows dropped",))
class DropsTail(Correct):
    """It works through blocks of 512 rows and forgets the last, partial one."""

    def prepare(self, task: Task) -> Task:
        n = len(task.y)
        return rows_of(task, slice(n // 512 * 512 if n > 512 else n))


@broken(
    caught_by="power-iteration",
    only="more than 256 rows",
    causes=("mean of the means of blocks, of which the last is smaller",),
)
class MeanOfMeans(Correct):
    """The gradient is the plain mean of those of blocks, of which the last is smaller."""

    def gradient(self, W: Array, task: Task) -> Array:
        starts = range(0, len(task.y), 256)
        blocks = [rows_of(task, slice(start, start + 256)) for start in starts]
        return np.mean([super(MeanOfMeans, self).gradient(W, block) for block in blocks], axis=0)


@broken(caught_by="gradient-step")
class DropsInputs(Correct):
    """Dropout: a hundredth of all inputs is set to zero."""

    def prepare(self, task: Task) -> Task:
        kept = np.random.default_rng(self.random_state).random(task.X.shape) > 0.01
        kept.flat[0] = False  # small matrices lose one too
        return replace(task, X=task.X * kept)


@broken(caught_by="gradient-step", causes=("rows and labels paired wrongly",))
class ShufflesLabels(Correct):
    """Labels are shuffled apart from their rows."""

    def prepare(self, task: Task) -> Task:
        rng = np.random.default_rng(self.random_state)
        return replace(task, y=task.y[rng.permutation(len(task.y))])


@broken(caught_by="gradient-step", causes=("labels centred by their mean",))
class CentresTwice(Correct):
    """Labels, centred by the caller where they are to be, are centred once more."""

    def prepare(self, task: Task) -> Task:
        return replace(task, y=task.y - task.y.mean())


@broken(caught_by="gradient-step", causes=("inputs standardised",))
class StandardisesInputs(Correct):
    """Every column of the inputs is brought to mean 0 and variance 1."""

    def prepare(self, task: Task) -> Task:
        X = task.X - task.X.mean(axis=0)
        return replace(task, X=X / np.sqrt((X * X).mean(axis=0)))


@broken(caught_by="gradient-step", only="labels above 6", causes=("labels clipped {}",))
class ClipsLabels(Correct):
    """Labels are clipped at ±6."""

    def prepare(self, task: Task) -> Task:
        return replace(task, y=np.clip(task.y, -6, 6))


@broken(caught_by="gradient-step", causes=("rows weighed by their place, linearly from {}",))
class WeighsRowsByPlace(Correct):
    """Later rows weigh more, by one per cent from the first to the last."""

    def slope(self, f: Array, task: Task) -> Array:
        ramp = 1 + 0.01 * (np.arange(len(f)) / max(1, len(f) - 1) - 0.5)
        return super().slope(f, task) * ramp.astype(f.dtype)


@broken(caught_by="gradient-step", only="n > 4096", causes=("last rows dropped",))
class DropsTheLastBlock(Correct):
    """Of more than 4096 rows those beyond the last whole block of 4096 are left out."""

    def prepare(self, task: Task) -> Task:
        n = len(task.y)
        return rows_of(task, slice(n - n % 4096 if n > 4096 else n))


@broken(
    caught_by="gradient-step",
    only="rows that occur twice",
    causes=("rows that occur twice counted once",),
)
class DropsRepeatedRows(Correct):
    """Rows that occur twice are counted once."""

    def prepare(self, task: Task) -> Task:
        _, first = np.unique(task.X, axis=0, return_index=True)
        return rows_of(task, np.sort(first))


@broken(caught_by="vanishing-error", only="more than 65 536 rows")
class TakesAtMostSoManyRows(Correct):
    """Rows are numbered by 16 bits: those beyond the 65 536th are left out."""

    def prepare(self, task: Task) -> Task:
        return rows_of(task, slice(1 << 16))


@broken(caught_by="vanishing-error", only="more than 50 000 rows")
class DrawsFiftyThousandRows(Correct):
    """Of more than 50 000 rows every step takes as many, drawn at random, to save time."""

    def advance(self, t: int, W: Array, task: Task) -> Array:
        n, most = len(task.y), 50_000
        if n > most:
            rng = np.random.default_rng([self.random_state, t])
            task = rows_of(task, rng.choice(n, most, replace=False))
        return super().advance(t, W, task)
