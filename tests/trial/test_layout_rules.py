"""Rules about how arguments lie in memory, and about the arrays of earlier calls."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from mimverify.handles.memory_forms import MEMORY_FORMS, PLAIN, lay_out
from mimverify.support.arrays import Float64Array, NumpyArray
from mimverify.trial.diagnosis.localisation import Divergence, localise
from mimverify.trial.diagnosis.rules.memory_layout import READ_IN_C_ORDER, read_in_c_order
from mimverify.trial.reference.oracle import Options, exact_step
from mimverify.trial.trainer.calls import Call

OPTIONS: Options = {"eta": 0.7, "beta": 0.2, "activation": "log-cosh", "loss": "squared"}
#: Forms in which the first entry is followed by what is not the second.
MISREAD = ("Fortran", "strided", "columns")

Arrays = dict[str, NumpyArray]
#: From arrays that are laid out in memory to the weights after a step.
Step = Callable[[Arrays], Float64Array]


def arrays_of(seed: int = 0, n: int = 23, d: int = 7, m: int = 5) -> Arrays:
    rng = np.random.default_rng(seed)
    shapes = {"W": (m, d), "a": (m,), "b": (m,), "X": (n, d), "y": (n,)}
    return {name: rng.standard_normal(shape) for name, shape in shapes.items()}


def exact(arrays: Arrays, **others: NumpyArray) -> Float64Array:
    """A right step from arrays some of which are replaced."""
    given: Options = {**arrays, **others, **OPTIONS}
    return exact_step(**given)


def call(arrays: Arrays, form: str, step: Step) -> Call:
    return Call("step", arrays, OPTIONS, step(lay_out(arrays, form)), form=form)


def named(found: Divergence | None) -> list[str]:
    assert found is not None
    assert found.behaves_like is not None, found
    return [str(each) for each in found.behaves_like.named]


def without_strides(*names: str) -> Step:
    """A step that takes the memory from an array's first entry on for its rows."""

    def step(arrays: Arrays) -> Float64Array:
        read = {
            name: np.lib.stride_tricks.as_strided(
                array, strides=np.empty(array.shape, array.dtype).strides
            ).copy()
            for name, array in arrays.items()
            if name in names
        }
        return exact(arrays, **read)

    return step


@pytest.mark.parametrize("form", MISREAD)
@pytest.mark.parametrize("names", ["X", "W", "WX"])
def test_what_is_read_without_strides_is_named(names: str, form: str) -> None:
    found = localise([call(arrays_of(), form, without_strides(*names))])
    assert named(found) == [READ_IN_C_ORDER.format(" and ".join(names))]


@pytest.mark.parametrize("form", ["strided", "columns"])
def test_labels_read_without_strides_are_named(form: str) -> None:
    found = localise([call(arrays_of(), form, without_strides("y"))])
    assert named(found) == [READ_IN_C_ORDER.format("y")]


@pytest.mark.parametrize("form", MEMORY_FORMS)
def test_a_right_step_in_any_form_is_right(form: str) -> None:
    assert localise([call(arrays_of(), form, exact)]) is None


@pytest.mark.parametrize("form", MEMORY_FORMS)
def test_another_fault_is_not_taken_for_one_of_memory(form: str) -> None:
    other = {"y": arrays_of(1)["y"]}
    found = localise([call(arrays_of(), form, lambda given: exact(given, **other))])
    assert named(found) == []


@pytest.mark.parametrize("form", [PLAIN, "read-only", "shared", "misaligned", "reversed"])
def test_forms_without_gaps_are_not_misread(form: str) -> None:
    assert "X" not in read_in_c_order(arrays_of(), form)


def test_weights_written_in_the_order_of_memory_are_named() -> None:
    def step(arrays: Arrays) -> Float64Array:
        new = np.empty_like(arrays["W"])
        new.ravel(order="K")[...] = exact(arrays).ravel()
        return new

    found = localise([call(arrays_of(), "Fortran", step)])
    assert named(found) == ["new weights written as if contiguous in C order"]


def test_biases_scaled_in_the_memory_of_the_output_weights_are_named() -> None:
    arrays = arrays_of()
    arrays["b"] = arrays["a"]
    n = len(arrays["y"])
    found = localise(
        [
            call(
                arrays,
                "shared",
                lambda given: exact(given, b=given["b"] / n),
            )
        ]
    )
    (name,) = named(found)
    assert name == "biases scaled with the output weights in the same memory by 1/n"


def test_inputs_of_an_earlier_call_are_named() -> None:
    before, now = arrays_of(0), arrays_of(1)
    right = call(before, PLAIN, exact)
    wrong = call(now, PLAIN, lambda given: exact(given, X=before["X"]))
    found = localise([right, wrong])
    assert named(found) == [
        "inputs of an earlier call used in place of those given (1 call before)"
    ]
