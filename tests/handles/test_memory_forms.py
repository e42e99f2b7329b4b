"""Memory forms: equal numbers in other memory, for each form, method and handle."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from mimverify.handles import InProcessTrainer, TrainerHandle
from mimverify.handles.isolated import SpawnedTrainer
from mimverify.handles.memory_forms import MEMORY_FORMS, PLAIN, lay_out
from mimverify.handles.methods import SIGNATURES
from mimverify.support.arrays import NumpyArray
from mimverify.support.errors import InputError

STUBS = Path(__file__).parents[1] / "helpers" / "stubs"
N, M, D = 6, 4, 3
PHYSICS = {"eta": 0.5, "beta": 0.1, "activation": "square", "loss": "squared"}
METHODS = [method for method, signature in SIGNATURES.items() if signature.arrays]


def arrays(dtype: str = "float64") -> dict[str, NumpyArray]:
    rng = np.random.default_rng(0)
    shapes = {"X": (N, D), "y": (N,), "W": (M, D), "W0": (M, D), "a": (M,), "b": (M,)}
    return {name: rng.standard_normal(shape).astype(dtype) for name, shape in shapes.items()}


def awkward() -> dict[str, NumpyArray]:
    """Shapes and dtypes that no claim has: those of a pack may be any."""
    return {
        "scalar": np.array(3.0),
        "empty": np.zeros((0, D)),
        "one": np.array([[7.0]]),
        "cube": np.arange(24.0).reshape(2, 3, 4),
        "counts": np.arange(5),
        "flags": np.array([True, False, True]),
        "swapped": np.arange(4).astype(">f4"),
    }


@pytest.mark.parametrize("form", MEMORY_FORMS)
@pytest.mark.parametrize("given", [arrays(), arrays("float32"), awkward()])
def test_a_form_changes_no_number(form: str, given: dict[str, NumpyArray]) -> None:
    before = {name: array.copy() for name, array in given.items()}
    made = lay_out(given, form)
    assert list(made) == list(given)
    for name, array in made.items():
        assert type(array) is np.ndarray
        assert (array.dtype, array.shape) == (given[name].dtype, given[name].shape)
        np.testing.assert_array_equal(array, given[name])
        assert not np.may_share_memory(array, given[name])
    for name, array in made.items():  # in private memory: a caller's stays as it was
        if array.flags.writeable:
            array[...] = 0
        np.testing.assert_array_equal(given[name], before[name])


#: What is true of X in each form, and of no plain array.
SPECIAL = {
    PLAIN: lambda X: X.flags.c_contiguous and X.flags.owndata,
    "Fortran": lambda X: X.flags.f_contiguous and not X.flags.c_contiguous,
    "strided": lambda X: X.strides == (4 * D * X.itemsize, 2 * X.itemsize),
    "reversed": lambda X: max(X.strides) < 0,
    "columns": lambda X: X.strides[0] > D * X.itemsize,
    "read-only": lambda X: not X.flags.writeable,
    "misaligned": lambda X: not X.flags.aligned,
    "shared": lambda X: X.flags.c_contiguous,
}


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("form", MEMORY_FORMS)
def test_a_form_is_what_it_says(form: str, dtype: str) -> None:
    made = lay_out(arrays(dtype), form)
    assert SPECIAL[form](made["X"])
    writable = form != "read-only"
    assert all(array.flags.writeable is writable for array in made.values())
    aligned = form != "misaligned"
    assert all(array.flags.aligned is aligned for array in made.values())
    assert MEMORY_FORMS[form].text
    assert MEMORY_FORMS[form].remedy


def test_columns_are_those_of_one_table() -> None:
    made = lay_out(arrays(), "columns")
    assert made["X"].base is not None
    assert made["X"].base is made["y"].base
    assert made["W"].base is made["a"].base
    assert made["W"].base is not made["X"].base


def test_equal_arguments_are_shared_and_others_are_not() -> None:
    given = arrays()
    assert not np.may_share_memory(lay_out(given, "shared")["a"], lay_out(given, "shared")["b"])
    given |= {"b": given["a"].copy(), "W": given["X"][:M].copy()}
    made = lay_out(given, "shared")
    assert made["a"] is made["b"]
    assert np.shares_memory(made["W"], made["X"])
    assert not np.may_share_memory(made["y"], made["X"])


@pytest.mark.parametrize("form", ["strided", "columns"])
def test_what_lies_between_is_finite_and_different(form: str) -> None:
    made = lay_out(arrays(), form)["X"]
    memory = made.base
    assert isinstance(memory, np.ndarray)
    assert np.isfinite(memory).all()
    assert not np.array_equal(memory.ravel()[: made.size].reshape(made.shape), made)


def test_another_form_is_refused() -> None:
    with pytest.raises(InputError, match="form='diagonal': expected one of"):
        lay_out(arrays(), "diagonal")


# -- in both handles -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def handles() -> Iterator[tuple[TrainerHandle, TrainerHandle]]:
    """A trainer that reports the memory of its arguments, isolated and in process."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(STUBS))
        ReportsMemory = importlib.import_module("stub_trainers").ReportsMemory
        with (
            SpawnedTrainer("stub_trainers:ReportsMemory", time_limit=20.0) as isolated,
            InProcessTrainer(ReportsMemory) as in_process,
        ):
            yield isolated, in_process


def seen(handle: TrainerHandle, method: str, form: str, frozen: bool) -> NumpyArray:
    """What the trainer reports of its arguments in a call."""
    given = arrays() | {"b": arrays()["a"]}
    for array in given.values():
        array.setflags(write=not frozen)  # frozen ones are sent to a worker once

    def call(name: str, form: str) -> NumpyArray | None:
        signature = SIGNATURES[name]
        options = {key: {"steps": 2, **PHYSICS}[key] for key in signature.options}
        chosen = {key: given[key] for key in signature.arrays}
        return handle.call(name, chosen, options, form=form)

    if method in ("fit", "predict"):
        call("fit", form if method == "fit" else PLAIN)
        reported = call("predict", form if method == "predict" else PLAIN)
    else:
        call(method, PLAIN)
        reported = call(method, form)
    assert reported is not None
    return reported


@pytest.mark.parametrize("frozen", [False, True])
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("form", MEMORY_FORMS)
def test_every_method_gets_its_arguments_in_every_form_in_both_handles(
    handles: tuple[TrainerHandle, TrainerHandle], method: str, form: str, frozen: bool
) -> None:
    isolated, in_process = (seen(handle, method, form, frozen) for handle in handles)
    np.testing.assert_array_equal(isolated, in_process)
    plain = seen(handles[0], method, PLAIN, frozen)
    sums = np.arange(plain.size) % 2 == 1
    if method in ("trajectory", "step"):
        np.testing.assert_allclose(isolated.ravel()[sums], plain.ravel()[sums])
    nothing_to_share = form == "shared" and method in ("fit", "predict")
    assert np.array_equal(isolated, plain) is (form == PLAIN or nothing_to_share)


def test_both_handles_refuse_another_form(handles: tuple[TrainerHandle, TrainerHandle]) -> None:
    for handle in handles:
        with pytest.raises(InputError, match="form='F'"):
            handle.call("predict", {"X": arrays()["X"]}, {}, form="F")
