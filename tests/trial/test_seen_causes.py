"""Causes that are seen in a trainer's predictions and counts; none in those of a right one."""

from __future__ import annotations

import numpy as np
import pytest

from mimverify.handles import InProcessTrainer
from mimverify.handles.memory_forms import PLAIN
from mimverify.support.arrays import Float64Array, NumpyArray
from mimverify.trial.diagnosis.causes import reconcile
from mimverify.trial.diagnosis.seen import look, seen
from mimverify.trial.trainer.calls import RecordedTrainer

N, D, ROWS = 60, 3, 40


class LeastSquares:
    """A right trainer, with a method for each thing that can go wrong."""

    random_state = 0

    def fit(self, X: NumpyArray, y: NumpyArray) -> None:
        self.weights = np.linalg.lstsq(X, y, rcond=None)[0]

    def predict(self, X: NumpyArray) -> NumpyArray:
        return np.asarray(X @ self.weights)


class NearestNeighbour(LeastSquares):
    """It knows all labels, as the rows beside them do."""

    def fit(self, X: NumpyArray, y: NumpyArray) -> None:
        self.X, self.y = X, y

    def predict(self, X: NumpyArray) -> NumpyArray:
        nearest = ((X[:, None] - self.X) ** 2).sum(axis=2).argmin(axis=1)
        return np.asarray(self.y[nearest])


class Interpolates(NearestNeighbour):
    """It passes through all labels, continuously."""

    def kernel(self, X: NumpyArray) -> Float64Array:
        return np.exp(-np.sqrt(((X[:, None] - self.X) ** 2).sum(axis=2)))

    def predict(self, X: NumpyArray) -> NumpyArray:
        return np.asarray(self.kernel(X) @ np.linalg.solve(self.kernel(self.X), self.y))


class Chance(LeastSquares):
    """Predictions with noise of which nobody knows the seed."""

    def predict(self, X: NumpyArray) -> NumpyArray:
        return super().predict(X) + np.random.default_rng().standard_normal(len(X))


class FitsOnce(LeastSquares):
    def fit(self, X: NumpyArray, y: NumpyArray) -> None:
        if not hasattr(self, "weights"):
            super().fit(X, y)


class AveragesFits(LeastSquares):
    def fit(self, X: NumpyArray, y: NumpyArray) -> None:
        before = getattr(self, "weights", None)
        super().fit(X, y)
        if before is not None:
            self.weights = (self.weights + before) / 2


class Counts(LeastSquares):
    calls = 0

    def predict(self, X: NumpyArray) -> NumpyArray:
        self.calls += 1
        return super().predict(X) * self.calls


class Centres(LeastSquares):
    def predict(self, X: NumpyArray) -> NumpyArray:
        return super().predict(X - X.mean(axis=0))


class LooksUp(LeastSquares):
    def fit(self, X: NumpyArray, y: NumpyArray) -> None:
        super().fit(X, y)
        self.labels = dict(zip((row.tobytes() for row in X), y, strict=True))

    def predict(self, X: NumpyArray) -> NumpyArray:
        found = zip(X, super().predict(X), strict=True)
        return np.array([self.labels.get(row.tobytes(), value) for row, value in found])


class CopiesNothing(LeastSquares):
    def __getstate__(self) -> dict[str, NumpyArray]:
        return {name: 0 * value for name, value in self.__dict__.items()}


class IgnoresStrides(LeastSquares):
    def predict(self, X: NumpyArray) -> NumpyArray:
        rows = np.lib.stride_tricks.as_strided(X, strides=np.empty(X.shape, X.dtype).strides)
        return super().predict(rows.copy())


class FitsWithoutStrides(LeastSquares):
    def fit(self, X: NumpyArray, y: NumpyArray) -> None:
        super().fit(X.ravel(order="K").reshape(X.shape), y)


RIGHT = (LeastSquares, NearestNeighbour, Interpolates, Chance)
WRONG = {
    FitsOnce: "a fit depends on the fits before (the second changes nothing)",
    AveragesFits: "a fit depends on the fits before",
    Counts: "predictions depend on earlier predictions",
    Centres: "predictions depend on the rows that are predicted together",
    LooksUp: "rows of the training set looked up (they are answered with their labels)",
    CopiesNothing: "a copy predicts otherwise (copy.deepcopy)",
    IgnoresStrides: "X read as if contiguous in C order",
    FitsWithoutStrides: "X read as if contiguous in C order",
}


def after_calls(trainer: type, *, fit: str = PLAIN, predict: str = PLAIN) -> RecordedTrainer:
    """Two fits by one trainer, and a copy that predicts."""
    rng = np.random.default_rng(0)
    record = RecordedTrainer(InProcessTrainer(trainer))
    record.fresh(0)
    for scale in (1.0, 3.0):
        X = rng.standard_normal((N, D))
        y = scale * X[:, 0] + np.sin(5 * X[:, 1])
        record.call("fit", {"X": X, "y": y}, {}, form=fit)
    record.call("copy.deepcopy", {}, {})
    record.call("predict", {"X": rng.standard_normal((ROWS, D))}, {}, form=predict)
    return record


@pytest.mark.parametrize("form", [PLAIN, "Fortran", "strided"])
@pytest.mark.parametrize("trainer", RIGHT)
def test_nothing_is_seen_in_a_right_trainer(trainer: type[LeastSquares], form: str) -> None:
    assert look(after_calls(trainer, fit=form, predict=form)) == ()


@pytest.mark.parametrize("trainer", WRONG)
def test_what_is_wrong_is_seen_and_nothing_else(trainer: type[LeastSquares]) -> None:
    forms: dict[type, dict[str, str]] = {
        IgnoresStrides: {"predict": "strided"},
        FitsWithoutStrides: {"fit": "Fortran"},
    }
    record = after_calls(trainer, **forms.get(trainer, {}))
    calls, latest = list(record.calls), record.latest
    assert [str(each) for each in look(record)] == [WRONG[trainer]]
    assert (record.calls, record.latest) == (calls, latest)


def test_what_was_seen_is_named_beside_the_rules_once() -> None:
    causes = reconcile({}, {"a": [seen("counts add up", "x")], "b": [seen("counts add up", "y")]})
    assert [str(each) for each in causes.named] == ["counts add up (x, or y)"]
    assert causes.lines == ["counts add up (x, or y): seen in a, b"]
    assert causes.to_json()["claims"] == ["a", "b"]
    assert reconcile({}, {"a": []}).lines == []
