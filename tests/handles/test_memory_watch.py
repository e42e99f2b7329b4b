"""What calls change that is not theirs is found, and nothing else, in both handles."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from mimverify.handles import InProcessTrainer, TrainerHandle
from mimverify.handles.isolated import SpawnedTrainer
from mimverify.handles.memory_forms import MEMORY_FORMS, PLAIN
from mimverify.handles.memory_watch import kind_of_change
from mimverify.support.arrays import NumpyArray

STUBS = Path(__file__).parents[1] / "helpers" / "stubs"
N, M, D = 6, 4, 3


@pytest.fixture(scope="module")
def handles() -> Iterator[dict[str, TrainerHandle]]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(STUBS))
        ChangesMemory = importlib.import_module("stub_trainers").ChangesMemory
        with (
            SpawnedTrainer("stub_trainers:ChangesMemory", time_limit=20.0) as isolated,
            InProcessTrainer(ChangesMemory) as in_process,
        ):
            yield {"isolated": isolated, "in process": in_process}


@pytest.fixture(params=["isolated", "in process"])
def handle(request: pytest.FixtureRequest, handles: dict[str, TrainerHandle]) -> TrainerHandle:
    chosen = handles[request.param]
    chosen.fresh(None)
    return chosen


def arrays() -> dict[str, NumpyArray]:
    rng = np.random.default_rng(0)
    shapes = {"W": (M, D), "a": (M,), "b": (M,), "X": (N, D), "y": (N,)}
    return {name: rng.standard_normal(shape) for name, shape in shapes.items()}


def changes(
    handle: TrainerHandle, what: str, form: str = PLAIN, *, watched: bool = True, factor: float = 1
) -> tuple[str, ...]:
    """What a step does that changes this."""
    options = {"eta": 1.0, "beta": 0.0, "activation": what, "loss": "squared"}
    given = arrays()
    given["W"] = given["W"] * factor
    handle.call("step", given, options, form=form, watched=watched)
    return handle.take_changes()


@pytest.mark.parametrize("form", MEMORY_FORMS)
def test_a_call_that_changes_nothing_is_not_accused(handle: TrainerHandle, form: str) -> None:
    for factor in range(1, 4):
        assert changes(handle, "nothing", form, factor=factor) == ()


@pytest.mark.parametrize("name", ["W", "a", "b", "X", "y"])
@pytest.mark.parametrize("form", MEMORY_FORMS)
def test_a_changed_argument_is_named_with_its_entry(
    handle: TrainerHandle, form: str, name: str
) -> None:
    (found,) = changes(handle, name, form)
    last = arrays()[name].flat[-1]
    place = ", ".join(str(size - 1) for size in arrays()[name].shape)
    assert found.startswith(f"step() changed its argument {name}: [{place}] was {last}, and is ")
    assert kind_of_change(found) == "arguments changed by the call"
    assert "(1 of " in found
    assert changes(handle, "nothing", form) == ()  # reported once


def test_calls_that_are_not_watched_are_not_compared(handle: TrainerHandle) -> None:
    assert changes(handle, "W", watched=False) == ()


def test_an_argument_of_an_earlier_call_is_named(handle: TrainerHandle) -> None:
    assert changes(handle, "nothing") == ()
    (found,) = changes(handle, "earlier")
    assert found.startswith("step() changed X, an argument of the earlier step(): [0, 0] was ")
    assert kind_of_change(found) == "arguments of an earlier call changed"


def test_memory_around_the_arguments_is_compared(handle: TrainerHandle) -> None:
    (found,) = changes(handle, "beside", "columns")
    assert found == "step() wrote into the memory between its arguments"
    assert kind_of_change(found) == "memory between the arguments written"


def test_a_result_in_memory_that_is_used_again(handle: TrainerHandle) -> None:
    assert changes(handle, "buffer") == ()
    (found,) = changes(handle, "buffer", factor=2)
    assert found.startswith("step() changed the result of the earlier step(): [0, 0] was ")
    assert kind_of_change(found) == "earlier results changed by a later call"
    handle.fresh(None)
    assert changes(handle, "buffer") == ()


def test_a_result_in_the_memory_of_an_argument(handle: TrainerHandle) -> None:
    (found,) = changes(handle, "returns-W")
    assert found == "the result of step() lies in the memory of its argument W"
    assert kind_of_change(found) == "results returned in the memory of an argument"


def test_fit_and_predict_are_watched(handle: TrainerHandle) -> None:
    given = arrays()
    handle.call("fit", {"X": given["X"], "y": given["y"]}, {}, watched=True)
    (found,) = handle.take_changes()
    assert found.startswith("fit() changed its argument y: [0] was ")
    handle.call("predict", {"X": given["X"]}, {}, watched=True)
    (found,) = handle.take_changes()
    assert found.startswith("predict() changed its argument X: ")
    np.testing.assert_array_equal(given["X"], arrays()["X"])  # the caller's own are not
    np.testing.assert_array_equal(given["y"], arrays()["y"])


class Column:
    """Returns lists and reshaped arguments."""

    def step(self, W, a, b, X, y, **_):
        y.resize((len(y), 1), refcheck=False)
        return W.tolist()

    def trajectory(self, W, *arrays, steps, **_):
        return [W] * (steps + 1)  # copied by whoever makes it an array


def test_an_argument_of_another_shape() -> None:
    with InProcessTrainer(Column) as trainer:
        (found,) = changes(trainer, "nothing")
        assert found == (
            "step() changed its argument y: it was float64 of shape (6,), "
            "and is float64 of shape (6, 1)"
        )
        given = {"W0" if name == "W" else name: array for name, array in arrays().items()}
        options = {"steps": 2, "eta": 1.0, "beta": 0.0, "activation": "", "loss": ""}
        for _ in range(2):
            trainer.call("trajectory", given, options, watched=True)
        assert trainer.take_changes() == ()


def test_bits_count(handle: TrainerHandle) -> None:
    """−0 is another number than 0, and NaN is the one it was."""
    options = {"eta": 1.0, "beta": 0.0, "activation": "y", "loss": "squared"}
    given = arrays() | {"y": np.zeros(N)}
    handle.call("step", given, options, watched=True)
    (found,) = handle.take_changes()
    assert found.endswith("[5] was 0.0, and is -0.0 (1 of 6 entries)")
    given = arrays() | {"X": np.full((N, D), np.nan)}
    handle.call("step", given, {**options, "activation": "nothing"}, watched=True)
    assert handle.take_changes() == ()
