"""What is done with a trainer's object beyond calling its methods."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch

from mimverify.handles import InProcessTrainer, TrainerHandle
from mimverify.handles.isolated import SpawnedTrainer
from mimverify.handles.operations import COPIES, FIRST_LAYER, OPERATIONS, REFILL, label, operate
from mimverify.support.errors import InputError, TrainerError
from mimverify.zoo import Correct

X = np.arange(12.0).reshape(4, 3)
Y = np.arange(4.0)


class Line:
    """It predicts the mean label plus how many arrays of inputs it has seen, by id()."""

    def __init__(self) -> None:
        self.seen: dict[int, np.ndarray] = {}

    def fit(self, X: np.ndarray, y: np.ndarray) -> None:
        self.mean = float(y.mean())
        self.first_layer_ = X[:2]

    def predict(self, X: np.ndarray) -> np.ndarray:
        self.seen[id(X)] = X
        return np.full(len(X), self.mean + len(self.seen))


class Locked(Line):
    """It can be copied in no way."""

    def __init__(self) -> None:
        super().__init__()
        self.lock = threading.Lock()


@pytest.fixture(params=["in this process", "in a worker"])
def handle(request: pytest.FixtureRequest) -> Iterator[TrainerHandle]:
    made: TrainerHandle
    if request.param == "in a worker":
        made = SpawnedTrainer("mimverify.zoo:Correct", time_limit=60.0)
    else:
        made = InProcessTrainer(Correct)
    with made:
        yield made


def fitted(handle: TrainerHandle) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    inputs = rng.standard_normal((300, 6))
    handle.call("fit", {"X": inputs, "y": inputs[:, 0] ** 2}, {})
    predicted = handle.call("predict", {"X": inputs}, {})
    assert predicted is not None
    return inputs, predicted


@pytest.mark.parametrize("how", COPIES)
def test_a_copy_takes_the_trainers_place(handle: TrainerHandle, how: str) -> None:
    inputs, predicted = fitted(handle)
    assert handle.call(how, {}, {}) is None
    np.testing.assert_array_equal(handle.call("predict", {"X": inputs}, {}), predicted)


def test_the_first_layer_is_read(handle: TrainerHandle) -> None:
    assert handle.call(FIRST_LAYER, {}, {}) is None  # not fitted yet
    fitted(handle)
    W = handle.call(FIRST_LAYER, {}, {})
    assert W is not None
    assert W.shape == (64, 6)
    handle.fresh(1)
    assert handle.call(FIRST_LAYER, {}, {}) is None


def test_no_method_can_have_the_name_of_an_operation() -> None:
    assert not any(name.isidentifier() for name in OPERATIONS)


def test_messages_name_an_attribute_without_parentheses() -> None:
    assert [label(name) for name in ("fit", FIRST_LAYER)] == ["fit()", "first_layer_"]


def seen_arrays(handle: TrainerHandle) -> list[float]:
    values = []
    for factor in (1, 2, 3):
        predicted = handle.call("predict", {"X": factor * X}, {})
        assert predicted is not None
        values.append(float(predicted[0]) - Y.mean())
    return values


def test_arguments_are_the_same_arrays_only_where_this_is_asked_for() -> None:
    with InProcessTrainer(Line) as handle:
        handle.call("fit", {"X": X, "y": Y}, {})
        assert seen_arrays(handle) == [1, 2, 3]
        handle.fresh(None)
        handle.call(REFILL, {}, {})
        handle.call("fit", {"X": X, "y": Y}, {})
        assert seen_arrays(handle) == [1, 1, 1]
        handle.fresh(None)  # a new trainer is called with new arrays again
        handle.call("fit", {"X": X, "y": Y}, {})
        assert seen_arrays(handle) == [1, 2, 3]


def test_arrays_of_other_shapes_and_dtypes_are_others() -> None:
    with InProcessTrainer(Line) as handle:
        handle.call(REFILL, {}, {})
        handle.call("fit", {"X": X, "y": Y}, {})
        for inputs, seen in ((X, 1), (X[:2], 2), (X.astype("float32"), 3), (5 * X, 3)):
            predicted = handle.call("predict", {"X": inputs}, {})
            assert predicted is not None
            assert predicted[0] == Y.mean() + seen


def test_the_trainer_gets_the_new_contents() -> None:
    class Sums:
        def predict(self, X: np.ndarray) -> np.ndarray:
            return X.sum(axis=1)

    with InProcessTrainer(Sums) as handle:
        handle.call(REFILL, {}, {})
        for factor in (1, 2):
            got = handle.call("predict", {"X": factor * X}, {})
            np.testing.assert_array_equal(got, factor * X.sum(axis=1))


@pytest.mark.parametrize("how", COPIES)
def test_what_cannot_be_copied_is_an_error_and_stays(how: str) -> None:
    with InProcessTrainer(Locked) as handle:
        handle.call("fit", {"X": X, "y": Y}, {})
        with pytest.raises(TrainerError, match=f"{how} of Locked raised TypeError") as caught:
            handle.call(how, {}, {})
        assert caught.value.kind == "raised"
        assert handle.call("predict", {"X": X}, {}) is not None


@pytest.mark.parametrize(
    "value",
    [
        np.ones(3),
        np.ones((2, 3, 4)),
        [["a", "b"]],
        [[1.0], [2.0, 3.0]],
        np.ones((2, 3), dtype=bool),
        torch.nn.Linear(3, 2),
        "W",
    ],
    ids=str,
)
def test_what_is_no_array_of_two_axes_is_no_first_layer(value: Any) -> None:
    trainer = Line()
    trainer.first_layer_ = value
    assert operate(trainer, FIRST_LAYER) == (trainer, None)


def test_a_first_layer_that_is_not_finite_is_an_error() -> None:
    trainer = Line()
    trainer.first_layer_ = np.array([[1.0, 2.0], [np.nan, 4.0]])
    with pytest.raises(TrainerError, match=r"^first_layer_: nan at m 1, d 0 \(1 of 4") as caught:
        operate(trainer, FIRST_LAYER)
    assert caught.value.kind == "non-finite"
    trainer.first_layer_ = np.ma.masked_invalid(trainer.first_layer_)
    with pytest.raises(TrainerError, match=r"^first_layer_: a masked array with 1 masked"):
        operate(trainer, FIRST_LAYER)


def test_errors_name_the_trainer_whose_arguments_are_refilled() -> None:
    with InProcessTrainer(Line) as handle:
        handle.call(REFILL, {}, {})
        with pytest.raises(InputError, match="method='operation_counts': Line does not offer it"):
            handle.call("operation_counts", {}, {})


def test_a_property_that_raises_is_an_error() -> None:
    class Broken(Line):
        @property
        def first_layer_(self) -> np.ndarray:  # type: ignore[override]
            raise RuntimeError("no weights")

    with pytest.raises(TrainerError, match=r"^first_layer_ of .*Broken raised RuntimeError"):
        operate(Broken(), FIRST_LAYER)


def test_lists_are_read_as_arrays() -> None:
    trainer = Line()
    trainer.first_layer_ = [[1, 2], [3, 4]]  # type: ignore[assignment]
    _, W = operate(trainer, FIRST_LAYER)
    np.testing.assert_array_equal(W, [[1.0, 2.0], [3.0, 4.0]])
