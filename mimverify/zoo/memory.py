"""Arguments overwritten, or read wrongly in memory that is not laid out as usual."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from mimverify.support.arrays import Array, NumpyArray
from mimverify.zoo.base import Correct, Task
from mimverify.zoo.record import broken

CATEGORY = "memory"


# -- what is the caller's is overwritten -------------------------------------------------------


@broken(
    caught_by="arguments-unchanged",
    causes=("arguments changed by the call", "{} arguments refused"),
)
class UpdatesInPlace(Correct):
    """The weights are updated in the array that the caller handed over."""

    def descend(self, W: Array, task: Task, steps: int) -> Array:
        weights = [W.copy()]
        for t in range(steps):
            W[...] = self.advance(t, W, task)
            weights.append(W.copy())
        return np.array(weights)


@broken(
    caught_by="arguments-unchanged",
    only="weights in Fortran order",
    causes=("arguments changed by the call",),
)
class DescendsInFortranOrder(Correct):
    """It works in place on weights in Fortran order, which are the caller's if those were in it."""

    def descend(self, W: Array, task: Task, steps: int) -> Array:
        return UpdatesInPlace.descend(self, np.asfortranarray(W), task, steps)  # type: ignore[arg-type]


@broken(
    caught_by="arguments-unchanged",
    causes=("earlier results changed by a later call",),
)
class ReturnsItsBuffer(Correct):
    """All trajectories of one shape are returned in the same memory, so that each overwrites the
    one before."""

    def descend(self, W: Array, task: Task, steps: int) -> Array:
        weights = super().descend(W, task, steps)
        buffers: dict[object, NumpyArray] = self.__dict__.setdefault("_buffers", {})
        buffer = buffers.setdefault((weights.shape, weights.dtype), np.empty_like(weights))
        buffer[...] = weights
        return buffer


@broken(
    caught_by="memory-layout",
    only="a and b that are one array",
    causes=("biases scaled with the output weights in the same memory {}",),
)
class ScalesAndRestores(Correct):
    """The output weights are divided by n in place, where they can be written, and restored at the
    end: biases in the same memory are divided too."""

    def descend(self, W: Array, task: Task, steps: int) -> Array:
        a = task.a if task.a.flags.writeable else task.a.copy()
        before, scaled = a.copy(), replace(task, a=a)
        a /= len(task.y)
        try:
            return super().descend(W, scaled, steps)
        finally:
            a[...] = before

    def output(self, P: Array, task: Task) -> Array:
        return super().output(P, task) * len(task.y)

    def gradient(self, W: Array, task: Task) -> Array:
        return super().gradient(W, task) * len(task.y)


@broken(
    caught_by="arguments-unchanged-by-fit",
    breaks="regression",
    causes=("arguments changed by the call", "{} arguments refused"),
)
class CentresLabelsInPlace(Correct):
    """`fit` subtracts the mean from the caller's labels, and `predict` adds it again."""

    def fit(self, X: Array, y: Array) -> None:
        self.mean = y.mean()
        y -= self.mean
        super().fit(X, y)

    def predict(self, X: Array) -> Array:
        return super().predict(X) + self.mean


@broken(
    caught_by="arguments-unchanged-by-fit",
    breaks="regression",
    only="float64",
    causes=("arguments changed by the call", "{} arguments refused"),
)
class StandardisesInPlace(Correct):
    """`fit` standardises its inputs in float64, which copies only those of another dtype."""

    def fit(self, X: Array, y: Array) -> None:
        X = X.astype(np.float64, copy=False)
        self.mean, self.scale = X.mean(axis=0), X.std(axis=0)
        X -= self.mean
        X /= self.scale
        super().fit(X, y)

    def predict(self, X: Array) -> Array:
        return super().predict((X - self.mean) / self.scale)


@broken(
    caught_by="arguments-unchanged-by-fit",
    breaks="regression",
    causes=("arguments changed by the call", "{} arguments refused"),
)
class SortsRowsInPlace(Correct):
    """`predict` sorts the caller's rows for faster access, and puts the predictions alone back."""

    def predict(self, X: Array) -> Array:
        order = np.argsort(X[:, 0])
        X[...] = X[order]
        predictions = np.empty(len(X))
        predictions[order] = super().predict(X)
        return predictions


@broken(
    caught_by="arguments-unchanged-by-fit",
    breaks="regression",
    causes=("earlier results changed by a later call",),
)
class ReturnsItsPredictions(Correct):
    """Predictions are returned in memory that the next ones are written to."""

    def predict(self, X: Array) -> Array:
        found = super().predict(X)
        buffer: NumpyArray = self.__dict__.setdefault("_buffer", np.empty(1 << 14))
        buffer[: len(found)] = found
        return buffer[: len(found)]


# -- memory is read wrongly, or refused --------------------------------------------------------


@broken(
    caught_by="memory-layout",
    only="inputs in Fortran order",
    causes=("{} read as if contiguous in C order",),
)
class ReadsInMemoryOrder(Correct):
    """The inputs are flattened in the order of memory (`order="K"`), and taken for rows."""

    def prepare(self, task: Task) -> Task:
        return replace(task, X=task.X.ravel(order="K").reshape(task.X.shape))


@broken(
    caught_by="memory-layout",
    only="views of larger arrays",
    causes=("{} read as if contiguous in C order",),
)
class IgnoresStrides(Correct):
    """The address of the inputs is passed on without their strides, as to a C function."""

    def prepare(self, task: Task) -> Task:
        X = task.X if min(task.X.strides, default=0) > 0 else np.ascontiguousarray(task.X)
        itemsize = X.itemsize
        strides: list[int] = []
        for size in reversed(X.shape):
            strides.insert(0, itemsize)
            itemsize *= size
        rows = np.lib.stride_tricks.as_strided(X, strides=tuple(strides))
        return replace(task, X=rows.copy())


@broken(
    caught_by="memory-layout",
    only="weights in Fortran order",
    causes=("new weights written as if contiguous in C order",),
)
class FillsInMemoryOrder(Correct):
    """New weights are laid out as the old ones (`empty_like`), and filled as if in C order."""

    def advance(self, t: int, W: Array, task: Task) -> Array:
        new = np.empty_like(W)
        new.ravel(order="K")[...] = super().advance(t, W, task).ravel()
        return new


@broken(
    caught_by="memory-layout",
    only="negative strides",
    causes=("rows and labels paired wrongly",),
)
class FlipsTheInputsBack(Correct):
    """Rows in reversed order are put in the order of memory, which Torch asks for; their labels
    are not."""

    def prepare(self, task: Task) -> Task:
        return replace(task, X=task.X[::-1].copy()) if task.X.strides[0] < 0 else task


@broken(
    caught_by="memory-layout",
    only="read-only arguments",
    causes=("{} arguments refused",),
)
class RefusesReadOnly(Correct):
    """Read-only inputs are refused, as by a typed memoryview of Cython that is not const."""

    def prepare(self, task: Task) -> Task:
        if not task.X.flags.writeable:
            raise ValueError("buffer source array is read-only")
        return task


@broken(
    caught_by="memory-layout",
    only="misaligned float64 arguments",
    causes=("X rounded to {}",),
)
class AlignsInSinglePrecision(Correct):
    """Misaligned inputs are copied to aligned memory that was reserved in float32."""

    def prepare(self, task: Task) -> Task:
        if task.X.flags.aligned:
            return task
        aligned = np.require(task.X, np.float32, ["ALIGNED"])
        return replace(task, X=aligned.astype(task.X.dtype))


@broken(
    caught_by="memory-layout-of-fit",
    breaks="regression",
    only="inputs in Fortran order",
    causes=("{} read as if contiguous in C order",),
)
class FitsInMemoryOrder(Correct):
    """`fit` takes its inputs as they lie in memory, whatever their order."""

    def fit(self, X: Array, y: Array) -> None:
        super().fit(X.ravel(order="K").reshape(X.shape), y)


@broken(
    caught_by="memory-layout-of-fit",
    breaks="regression",
    only="columns of a larger table",
    causes=("{} read as if contiguous in C order",),
)
class PredictsTheWholeBuffer(Correct):
    """`predict` takes the memory behind its rows (`X.base`), not the view."""

    def predict(self, X: Array) -> Array:
        memory = X.base
        if isinstance(memory, np.ndarray) and memory.dtype == X.dtype:
            X = memory.ravel()[: X.size].reshape(X.shape)
        return super().predict(X)
