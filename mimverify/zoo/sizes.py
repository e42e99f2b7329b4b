"""Arrays too long for an index, a block or a buffer, or as long on one axis as on another."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from mimverify.support.arrays import Array
from mimverify.zoo.base import Correct, Task
from mimverify.zoo.record import broken

CATEGORY = "sizes"


@broken(caught_by="gradient-step", only="n > 65536", causes=("row indices taken modulo {}",))
class SixteenBitIndex(Correct):
    """Row indices are 16-bit numbers: rows beyond 65536 are read from the start again."""

    def prepare(self, task: Task) -> Task:
        rows = np.arange(len(task.y)).astype(np.uint16)
        return replace(task, X=task.X[rows], y=task.y[rows])


@broken(caught_by="gradient-step", only="n > 65535", causes=("gradient {} times as long",))
class SixteenBitCount(Correct):
    """Rows are counted in 16 bits: the mean is divided by n modulo 65536."""

    def gradient(self, W: Array, task: Task) -> Array:
        n = len(task.y)
        return super().gradient(W, task) * (n / (n % 65536 or 65536))


@broken(
    caught_by="gradient-step",
    only="n > 65535",
    causes=("last rows dropped, but counted in n",),
)
class GridOfBlocks(Correct):
    """One block of threads for each row, and at most 65535 blocks: no row beyond these is met."""

    def gradient(self, W: Array, task: Task) -> Array:
        most = min(len(task.y), 65535)
        kept = replace(task, X=task.X[:most], y=task.y[:most])
        return super().gradient(W, kept) * (most / len(task.y))


@broken(caught_by="gradient-step", only="m > 256", causes=("neuron indices taken modulo {}",))
class EightBitNeurons(Correct):
    """Neurons are numbered in 8 bits: those beyond 256 see the weights of the first ones."""

    def gradient(self, W: Array, task: Task) -> Array:
        return super().gradient(W[np.arange(len(W)).astype(np.uint8)], task)


@broken(caught_by="gradient-step", only="m > 256", causes=("neurons without their gradient",))
class DropsTheLastNeurons(Correct):
    """Of more than 256 neurons those beyond the last whole block of 256 get no gradient."""

    def gradient(self, W: Array, task: Task) -> Array:
        G = super().gradient(W, task)
        if len(W) > 256:
            G[len(W) // 256 * 256 :] = 0
        return G


@broken(
    caught_by="gradient-step",
    only="m > 1024",
    causes=("neurons left out of the output",),
)
class OneBlockOfThreads(Correct):
    """A thread for each neuron and one block of 1024 threads: f leaves out the neurons beyond."""

    def output(self, P: Array, task: Task) -> Array:
        return task.activation.value(P[:, :1024]) @ task.a[:1024]


@broken(
    caught_by="gradient-step",
    only="d > 512",
    causes=("last columns left out of the preactivations",),
)
class DropsTheLastColumns(Correct):
    """Tiles of 512 columns: what is left of more than 512 is not added to the projections."""

    def gradient(self, W: Array, task: Task) -> Array:
        whole = len(W.T) if len(W.T) <= 512 else len(W.T) // 512 * 512
        P = task.X[:, :whole] @ W[:, :whole].T + task.b
        R = self.slope(self.output(P, task), task)[:, None] * self.first(P, task) * task.a
        return R.T @ task.X / len(task.y)


@broken(
    caught_by="gradient-step",
    only="d > 1024",
    causes=("coordinates without their gradient",),
)
class SharedBuffer(Correct):
    """A buffer holds 1024 entries of the gradient's row; those beyond stay zero."""

    def gradient(self, W: Array, task: Task) -> Array:
        G = super().gradient(W, task)
        G[:, 1024:] = 0
        return G


@broken(caught_by="gradient-step", only="n = d", causes=("inputs transposed",))
class TransposesSquareInputs(Correct):
    """Inputs are taken as (d, n) wherever their first axis has length d."""

    def prepare(self, task: Task) -> Task:
        n, d = task.X.shape
        return replace(task, X=task.X.T) if n == d else task


@broken(
    caught_by="gradient-step",
    only="n = m",
    causes=("output weights multiplied along the rows instead of the neurons",),
)
class BroadcastsAlongRows(Correct):
    """Output weights multiply the first axis of (n, m) arrays on which their length fits."""

    def gradient(self, W: Array, task: Task) -> Array:
        P = task.X @ W.T + task.b
        first = self.first(P, task)
        weighted = task.a[:, None] * first if len(first) == len(task.a) else first * task.a
        R = self.slope(self.output(P, task), task)[:, None] * weighted
        return R.T @ task.X / len(task.y)


@broken(
    caught_by="gradient-step",
    only="n = m = d",
    causes=("gradient summed over the columns instead of the rows",),
)
class NamesAxesByLength(Correct):
    """Axes are found by their length: where all three are one number the sum runs over columns."""

    def gradient(self, W: Array, task: Task) -> Array:
        if len({len(W), *task.X.shape}) > 1:
            return super().gradient(W, task)
        P = task.X @ W.T + task.b
        R = self.slope(self.output(P, task), task)[:, None] * self.first(P, task) * task.a
        return R.T @ task.X.T / len(task.y)
