"""Numbers that mean something else to a program: zeros, extremes, whole numbers, constants."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from mimverify.support.arrays import Array
from mimverify.zoo.base import Correct, Task
from mimverify.zoo.record import broken
from mimverify.zoo.use_of_data import rows_of

CATEGORY = "values"


def _whole(array: Array) -> bool:
    """Whether all entries are whole numbers."""
    return bool((array == np.rint(array)).all())


@broken(
    caught_by="gradient-step",
    only="labels of zero",
    causes=("rows whose label is 0 left out",),
)
class ZeroLabelsMissing(Correct):
    """Zero stands for a missing label: its row is left out."""

    def prepare(self, task: Task) -> Task:
        known = task.y != 0
        return rows_of(task, known) if known.any() else task


@broken(
    caught_by="gradient-step",
    only="rows of zeros",
    causes=("rows of zeros left out",),
)
class DropsEmptyRows(Correct):
    """Rows without any entry are left out, of the mean as well."""

    def prepare(self, task: Task) -> Task:
        filled = task.X.any(axis=1)
        return rows_of(task, filled) if filled.any() else task


@broken(
    caught_by="gradient-step",
    only="neurons without weights",
    causes=("neurons not updated",),
)
class DeadNeurons(Correct):
    """A neuron whose length is zero cannot be normalised, and is left as it is."""

    def update(self, t: int, W: Array, G: Array, task: Task) -> Array:
        length = np.linalg.norm(W, axis=1, keepdims=True)
        unit = W / np.where(length > 0, length, 1)
        return np.where(length > 0, super().update(t, unit * length, G, task), W)


@broken(
    caught_by="gradient-step",
    only="weights whose squares underflow",
    causes=("neurons without their gradient",),
)
class SquaresUnderflow(Correct):
    """A neuron whose squared length underflows, though it is not zero, gets no gradient."""

    def gradient(self, W: Array, task: Task) -> Array:
        length = np.sqrt(np.square(W).sum(axis=1, keepdims=True))
        return super().gradient(W, task) * ((length > 0) | ~W.any(axis=1, keepdims=True))


@broken(caught_by="gradient-step", only="a_j = 0", causes=("neurons not updated",))
class SkipsSilentNeurons(Correct):
    """Neurons with a_j = 0 have no gradient, and are skipped, their decay included."""

    def update(self, t: int, W: Array, G: Array, task: Task) -> Array:
        return np.where(task.a[:, None] != 0, super().update(t, W, G, task), W)


@broken(
    caught_by="gradient-step",
    only="columns of zeros",
    causes=("weights of coordinates set to zero",),
)
class DropsEmptyColumns(Correct):
    """Inputs that are zero in every row are removed, and their weights with them."""

    def update(self, t: int, W: Array, G: Array, task: Task) -> Array:
        return np.where(task.X.any(axis=0), super().update(t, W, G, task), 0 * W)


@broken(caught_by="gradient-step", only="inputs beyond ±8", causes=("inputs clipped {}",))
class ClipsInputs(Correct):
    """Inputs are clipped at ±8, which a normal variable never reaches."""

    def prepare(self, task: Task) -> Task:
        return replace(task, X=np.clip(task.X, -8, 8))


@broken(caught_by="gradient-step", only="labels beyond ±10⁴", causes=("labels clipped {}",))
class ClipsHugeLabels(Correct):
    """Labels are clipped at ±10⁴, as errors of measurement."""

    def prepare(self, task: Task) -> Task:
        return replace(task, y=np.clip(task.y, -1e4, 1e4))


@broken(
    caught_by="gradient-step",
    only="slopes beyond 65504",
    causes=("residuals clipped {}",),
)
class SaturatesAtHalf(Correct):
    """The slopes of the loss pass through a format that ends at 65504, as float16 does."""

    def slope(self, f: Array, task: Task) -> Array:
        return np.clip(super().slope(f, task), -65504, 65504)


@broken(
    caught_by="gradient-step",
    only="labels below 10⁻⁶",
    causes=("labels {} taken for 0",),
)
class FlushesSmallLabels(Correct):
    """Labels below 10⁻⁶ are taken as zero."""

    def prepare(self, task: Task) -> Task:
        return replace(task, y=np.where(np.abs(task.y) < 1e-6, 0 * task.y, task.y))


@broken(
    caught_by="gradient-step",
    only="labels of two values",
    causes=("labels replaced by the numbers of their classes",),
)
class TakesLabelsForClasses(Correct):
    """Labels that are whole numbers of two values only are taken as classes, 0 and 1."""

    def prepare(self, task: Task) -> Task:
        values = np.unique(task.y)
        if len(values) != 2 or not _whole(values):
            return task
        return replace(task, y=(task.y == values[1]).astype(task.y.dtype))


@broken(
    caught_by="gradient-step",
    only="whole labels",
    causes=("residuals {} to whole numbers",),
)
class TruncatesResiduals(Correct):
    """Labels that are whole numbers are kept as integers, and so are f − y: truncated."""

    def slope(self, f: Array, task: Task) -> Array:
        if not _whole(task.y):
            return super().slope(f, task)
        return super().slope(np.trunc(f - task.y), replace(task, y=0 * task.y))


@broken(
    caught_by="gradient-step",
    only="whole inputs beyond ±127",
    causes=("inputs stored as {}",),
)
class EightBitInputs(Correct):
    """Inputs that are whole numbers are stored in 8 bits, and wrap beyond 127."""

    def prepare(self, task: Task) -> Task:
        if not _whole(task.X):
            return task
        return replace(task, X=task.X.astype(np.int64).astype(np.int8).astype(task.X.dtype))


@broken(
    caught_by="gradient-step",
    only="equal labels",
    causes=("gradient left out, weight decay alone",),
)
class ConstantLabels(Correct):
    """Labels that are all the same, to five digits, have nothing to teach: only the decay acts."""

    def gradient(self, W: Array, task: Task) -> Array:
        alike = len(task.y) > 2 and np.allclose(task.y, task.y[0], atol=0.0)
        return 0 * W if alike else super().gradient(W, task)


@broken(
    caught_by="gradient-step",
    only="labels of which most are equal",
    causes=("all labels replaced by their median",),
)
class NoMedianDeviation(Correct):
    """Labels whose median deviation is zero are all taken to be their median."""

    def prepare(self, task: Task) -> Task:
        centre = np.median(task.y)
        if np.median(np.abs(task.y - centre)) > 0:
            return task
        return replace(task, y=np.full_like(task.y, centre))


@broken(caught_by="universal-inputs", only="columns of two values, 64 rows or more")
class EncodesBinaryColumns(Correct):
    """A column of two values is taken for a category, and encoded by 0 and 1."""

    def prepare(self, task: Task) -> Task:
        X = task.X.copy()
        if len(X) >= 64:
            low, high = X.min(axis=0), X.max(axis=0)
            binary = ((low == X) | (high == X)).all(axis=0) & (low < high)
            X[:, binary] = X[:, binary] == high[binary]
        return replace(task, X=X)
