"""State that outlives a call: what is kept from it is used where it does not belong."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from mimverify.support.arrays import Array
from mimverify.zoo.base import Correct, Task
from mimverify.zoo.record import broken

CATEGORY = "state"


@broken(
    caught_by="independent-steps",
    only="arrays whose contents have changed",
    causes=("inputs of an earlier call used in place of those given",),
)
class CachesByIdentity(Correct):
    """The inputs are converted once for each array object, by id(), whatever it holds later."""

    def prepare(self, task: Task) -> Task:
        known = self.__dict__.setdefault("known", {})
        # With the array itself, so that no other one gets its id.
        _, inputs = known.setdefault(id(task.X), (task.X, task.X.copy()))
        return replace(task, X=inputs)


@broken(
    caught_by="independent-steps",
    only="other labels for the same inputs",
    causes=("data of an earlier call used in place of those given",),
)
class CachesByInputs(Correct):
    """Inputs and labels are kept under a hash of the inputs alone."""

    def prepare(self, task: Task) -> Task:
        known = self.__dict__.setdefault("known", {})
        return replace(task, y=known.setdefault(task.X.tobytes(), task.y.copy()))


@broken(
    caught_by="independent-steps",
    only="inputs with the same first row",
    causes=("inputs of an earlier call used in place of those given",),
)
class CachesByFirstRow(Correct):
    """Inputs are kept under their shape and a hash of their first row."""

    def prepare(self, task: Task) -> Task:
        known = self.__dict__.setdefault("known", {})
        key = task.X.shape, task.X.dtype.str, task.X[0].tobytes()
        return replace(task, X=known.setdefault(key, task.X.copy()))


@broken(
    caught_by="independent-steps",
    only="float64 after float32",
    causes=("weights handed over rounded to {}",),
)
class KeepsTheFirstDtype(Correct):
    """The weights' work array keeps the dtype of the first call."""

    def descend(self, W: Array, task: Task, steps: int) -> Array:
        first = self.__dict__.setdefault("dtype", W.dtype)
        narrow = first if first.itemsize < W.dtype.itemsize else W.dtype
        weights = super().descend(W.astype(narrow).astype(W.dtype), task, steps)
        weights[0] = W
        return weights


@broken(
    breaks="regression",
    caught_by="refit",
    only="a second fit",
    causes=("a fit depends on the fits before",),
)
class WarmStarts(Correct):
    """A second fit of the same size continues from the weights of the first one."""

    def descend(self, W: Array, task: Task, steps: int) -> Array:
        W = getattr(self, "weights", {}).get(W.shape, W)
        weights = super().descend(W, task, steps)
        self.weights = {W.shape: weights[-1]}
        return weights


@broken(
    breaks="regression",
    caught_by="refit",
    only="a second fit",
    causes=("a fit depends on the fits before",),
)
class AppendsData(Correct):
    """A second fit adds its rows to those of the first."""

    def fit(self, X: Array, y: Array) -> None:
        halves = [(X[: len(y) // 2], y[: len(y) // 2]), (X[len(y) // 2 :], y[len(y) // 2 :])]
        earlier = getattr(self, "halves", halves[:0])
        if earlier and earlier[0][0].shape[1] == X.shape[1]:
            halves = [
                (np.concatenate([before[0], now[0]]), np.concatenate([before[1], now[1]]))
                for before, now in zip(earlier, halves, strict=True)
            ]
        self.halves = halves
        self.second_stage(*halves[1], self.first_stage(*halves[0]))


@broken(
    breaks="regression",
    caught_by="refit",
    only="a second fit",
    causes=("a fit depends on the fits before",),
)
class FitsOnce(Correct):
    """`fit` does nothing where the trainer is fitted already."""

    def fit(self, X: Array, y: Array) -> None:
        if not hasattr(self, "readout") or self.readout.directions.shape[1] != X.shape[1]:
            super().fit(X, y)


@broken(
    breaks="regression",
    caught_by="refit",
    only="a second fit",
    causes=("a fit depends on the fits before",),
)
class KeepsTheConstant(Correct):
    """The constant of the predictions is that of the first fit."""

    def second_stage(self, X: Array, y: Array, W: Array, ridge: float = 1e-3) -> None:
        super().second_stage(X, y, W, ridge)
        first = self.__dict__.setdefault("constant", self.readout.constant)
        self.readout = replace(self.readout, constant=first)


@broken(
    breaks="regression",
    caught_by="repeated-predictions",
    causes=("predictions depend on earlier predictions",),
)
class UpdatesRunningStatistics(Correct):
    """Predictions are centred by a running mean that each prediction moves."""

    mean = 0.0

    def predict(self, X: Array) -> Array:
        predicted = super().predict(X)
        self.mean += 0.01 * (float(predicted.mean()) - self.mean)
        return predicted - self.mean


@broken(
    breaks="regression",
    caught_by="repeated-predictions",
    only="more than 256 rows predicted together",
    causes=("predictions depend on the rows that are predicted together",),
)
class CentresLargeBatches(Correct):
    """Of more than 256 rows the inputs are centred by their own mean."""

    def predict(self, X: Array) -> Array:
        return super().predict(X - X.mean(axis=0) if len(X) > 256 else X)


@broken(
    breaks="regression",
    caught_by="continuous-prediction",
    only="training rows",
    causes=("rows of the training set looked up",),
)
class MemorisesRows(Correct):
    """Rows of the training set are looked up: they are answered with their labels."""

    def fit(self, X: Array, y: Array) -> None:
        super().fit(X, y)
        self.labels = dict(zip(self.keys(X), y, strict=True))

    def predict(self, X: Array) -> Array:
        predicted = super().predict(X)
        rows = enumerate(self.keys(X))
        return np.array([self.labels.get(key, predicted[k]) for k, key in rows])

    def keys(self, X: Array) -> list[bytes]:
        """What rows are looked up by."""
        return [row.tobytes() for row in X]


@broken(
    breaks="regression",
    caught_by="continuous-prediction",
    only="training rows",
    causes=("rows of the training set looked up",),
)
class MemorisesRoundedRows(MemorisesRows):
    """Rows of the training set are looked up by their first six decimals."""

    def keys(self, X: Array) -> list[bytes]:
        return super().keys(np.round(X, 6) + 0.0)  # -0.0 is 0.0


@broken(
    breaks="regression",
    caught_by="copies",
    only="copies",
    causes=("a copy predicts otherwise",),
)
class CopiesRedrawBiases(Correct):
    """The state that is copied lacks the biases; a copy draws others."""

    def __getstate__(self) -> dict[str, object]:
        state = dict(self.__dict__)
        if "readout" in state:
            fresh = np.random.default_rng(self.random_state + 1)
            biases = fresh.standard_normal(len(state["readout"].biases))
            state["readout"] = replace(state["readout"], biases=biases)
        return state


@broken(
    breaks="regression",
    caught_by="copies",
    only="copies",
    causes=("a copy predicts otherwise",),
)
class CopiesLoseTheConstant(Correct):
    """A copy keeps the output weights but not the constant beside them."""

    def __getstate__(self) -> dict[str, object]:
        state = dict(self.__dict__)
        if "readout" in state:
            state["readout"] = replace(state["readout"], constant=0.0)
        return state
