"""Tests of `mimverify.support.validation`, `mimverify.support.errors` and `mimverify.backends`."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mimverify.backends import NumpyBackend, get_backend
from mimverify.support.errors import DivergenceError, InputError, MimverifyError, TrainerError
from mimverify.support.validation import (
    array,
    canonical,
    choice,
    data,
    dtype_name,
    integer,
    not_constant,
    number,
    shortest,
)


def refused(message: str, function: Any, *arguments: Any, **options: Any) -> None:
    """The call raises an `InputError` of one line that contains `message`."""
    with pytest.raises(InputError, match=re.escape(message)) as caught:
        function(*arguments, **options)
    assert "\n" not in str(caught.value)


# --- names and numbers ----------------------------------------------------------------


@pytest.mark.parametrize("spelling", ["log-cosh", "Log-Cosh", "logcosh", "LOG_COSH", " log cosh"])
def test_spellings_of_one_name(spelling: str) -> None:
    assert canonical(spelling) == "logcosh"
    assert choice("loss", spelling, ["squared", "log-cosh"]) == "log-cosh"


@pytest.mark.parametrize("spelling", ["log/cosh", "log+cosh", "log(cosh)", "log.cosh", "log−cosh"])
def test_punctuation_makes_another_name(spelling: str) -> None:
    assert canonical(spelling) != "logcosh"
    with pytest.raises(InputError, match="expected one of squared, log-cosh"):
        choice("loss", spelling, ["squared", "log-cosh"])


def test_choice_names_argument_value_and_nearest() -> None:
    refused(
        "loss='hubber': expected one of huber, l1 (did you mean 'huber'?)",
        choice, "loss", "hubber", ["huber", "l1"],
    )  # fmt: skip
    with pytest.raises(InputError, match=r"expected one of huber, l1$"):
        choice("loss", "zzz", ["huber", "l1"])
    for value in (None, 3, ["huber"], b"huber"):
        refused("loss=", choice, "loss", value, ["huber", "l1"])


def test_of_very_many_names_the_nearest_is_given() -> None:
    names = [f"name-{k}" for k in range(100)]
    with pytest.raises(InputError) as caught:
        choice("kind", "mane-77", names)
    assert str(caught.value).startswith("kind='mane-77': expected one of 100 names, such as ")
    assert str(caught.value).endswith("(did you mean 'name-77'?)")
    assert len(str(caught.value)) < 120


@pytest.mark.parametrize("value", [2, np.int8(2), np.uint64(2)])
def test_integers_accepted(value: Any) -> None:
    result = integer("k", value, minimum=2, maximum=2)
    assert result == 2
    assert type(result) is int


@pytest.mark.parametrize("value", [2.0, np.float64(2), "2", None, [2], 1, 4, 10**30])
def test_integers_refused(value: Any) -> None:
    refused("k=", integer, "k", value, minimum=2, maximum=3)


def test_booleans_are_no_numbers() -> None:
    refused("k=True: expected an integer", integer, "k", True, minimum=0)
    refused("k=np.True_: expected an integer", integer, "k", np.True_, minimum=0)
    refused("k=True: expected a finite number", number, "k", True, minimum=0)


def test_integer_bound_in_message() -> None:
    refused("k=1: expected an integer of at least 2 and at most 3",
            integer, "k", 1, minimum=2, maximum=3)  # fmt: skip
    assert integer("k", 10**30, minimum=2) == 10**30


@pytest.mark.parametrize("value", [0.5, np.float32(0.5), np.float64(0.5)])
def test_numbers_accepted(value: Any) -> None:
    assert number("eta", value) == 0.5
    assert type(number("eta", value)) is float


@pytest.mark.parametrize("value", [True, "1", None, np.nan, np.inf, -np.inf, 1j, [1.0]])
def test_numbers_refused(value: Any) -> None:
    refused("eta=", number, "eta", value)


def test_number_bounds() -> None:
    assert number("eta", 0, minimum=0) == 0.0
    refused("eta=0: expected a finite number above 0", number, "eta", 0, minimum=0, exclusive=True)
    refused("eta=-1: expected a finite number of at least 0", number, "eta", -1, minimum=0)


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_shortest_text_reads_back(value: float) -> None:
    assert float(shortest(value)) == value
    assert float(shortest(float(np.float64(value)))) == value


def test_shortest_text_is_short() -> None:
    assert [shortest(v) for v in (1.0, -0.5, 1e-3, 1e300, 1 / 3)] == [
        "1", "-0.5", "0.001", "1e+300", "0.3333333333333333",
    ]  # fmt: skip


@pytest.mark.parametrize("value", ["float32", "f4", "single", np.float32, np.dtype("float32")])
def test_dtype_names(value: Any) -> None:
    assert dtype_name("dtype", value) == "float32"


@pytest.mark.parametrize("value", ["float16", int, "no such dtype", torch.float32, complex])
def test_dtype_names_refused(value: Any) -> None:
    refused("expected one of float32, float64", dtype_name, "dtype", value)


# --- arrays ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        (np.ones((2, 3), np.float32), "float32"),
        (np.ones((2, 3), np.float16), "float64"),
        (np.ones((2, 3), np.int8), "float64"),
        (np.ones((2, 3), ">f8"), "float64"),
        ([[1, 2, 3], [4, 5, 6]], "float64"),
        (torch.ones((2, 3)), "float32"),
        (torch.ones((2, 3), dtype=torch.float64, requires_grad=True), "float64"),
    ],
)
def test_arrays_keep_float32_only(value: Any, kept: str) -> None:
    result = array("X", value, (None, 3))
    assert result.shape == (2, 3)
    assert result.dtype == np.dtype(kept)
    assert array("X", value, (2, None), dtype="float32").dtype == np.float32


def test_arrays_are_not_copied_without_need() -> None:
    X = np.ones((2, 3))
    assert array("X", X, (2, 3)) is X


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (np.ones(3), "X has shape (3,): expected (*, 3)"),
        (np.ones((3, 2)), "X has shape (3, 2): expected (*, 3)"),
        (np.ones((0, 3)), "X has shape (0, 3): expected at least one entry"),
        (np.ones((2, 3), complex), "X has dtype complex128: expected real numbers"),
        (np.ones((2, 3), bool), "X has dtype bool: expected real numbers"),
        ([["a", "b", "c"]], "expected real numbers"),
        ([[1, 2, 3], [4, 5]], "X: expected an array of numbers"),
        ([[1, None, 3]], "X has dtype object: expected real numbers"),
        (torch.ones((2, 3), dtype=torch.bfloat16), "X: expected an array of numbers"),
        ([[1, 2, 3], [4, np.nan, 6]], "X[1, 1]=nan: expected finite entries only"),
        ([[1, 2, -np.inf]], "X[0, 2]=-inf: expected finite entries only"),
    ],
)
def test_arrays_refused(value: Any, message: str) -> None:
    refused(message, array, "X", value, (None, 3))


def test_arrays_too_large_for_the_dtype() -> None:
    refused("X[0]=inf", array, "X", [1e39], (None,), dtype="float32")


def test_data_takes_the_dtype_of_the_inputs() -> None:
    X, y = data(np.ones((2, 3), np.float32), np.ones(2))
    assert X.dtype == y.dtype == np.float32
    assert data([[1.0], [2.0]], [1, 2], dtype="float32")[1].dtype == np.float32
    refused("y has shape (3,): expected (2)", data, np.ones((2, 3)), np.ones(3))
    refused("y has shape (2, 1): expected (2)", data, np.ones((2, 3)), np.ones((2, 1)))


def test_constant_labels() -> None:
    refused("y is constant (3)", not_constant, np.full(4, 3.0))
    not_constant(np.array([3.0, np.nextafter(3.0, 4.0)]))


# --- errors ---------------------------------------------------------------------------


def test_every_deliberate_error_is_a_mimverify_error() -> None:
    assert issubclass(InputError, MimverifyError)
    assert issubclass(InputError, ValueError)
    error = DivergenceError(3, "the gradient is not finite")
    assert isinstance(error, (MimverifyError, ArithmeticError))
    assert (error.step, error.reason) == (3, "the gradient is not finite")
    assert str(error) == "training diverged at step 3: the gradient is not finite"


def test_trainer_errors_have_known_kinds() -> None:
    for kind in TrainerError.KINDS:
        assert TrainerError(kind, "why").kind == kind
    with pytest.raises(ValueError, match="kind='other'"):
        TrainerError("other", "why")


# --- backends -------------------------------------------------------------------------


def test_backend_places_and_returns(any_library: str, dtype: str) -> None:
    backend = get_backend(any_library, dtype)
    assert (backend.name, backend.dtype, backend.device) == (any_library, dtype, "cpu")
    source = np.arange(6.0).reshape(2, 3)
    placed = backend.asarray(source)
    assert str(placed.dtype).endswith(dtype)
    back = backend.to_numpy(placed)
    assert back.dtype == np.dtype(dtype)
    np.testing.assert_array_equal(back, source)
    back[0, 0] = 7  # a copy: training goes on with other numbers
    assert float(placed[0, 0]) == 0


def test_backend_takes_any_memory_layout(any_library: str) -> None:
    backend = get_backend(any_library, "float64")
    source = np.arange(12.0).reshape(3, 4)
    frozen = source.copy()
    frozen.setflags(write=False)  # Torch would warn, and warnings are errors here
    for view in (source[::-1], source.T, source[:, ::2], frozen, np.asfortranarray(source)):
        np.testing.assert_array_equal(backend.to_numpy(backend.asarray(view)), view)


def test_backend_takes_its_own_arrays(any_library: str) -> None:
    backend = get_backend(any_library, "float64")
    own = backend.asarray(np.arange(3.0))
    np.testing.assert_array_equal(backend.to_numpy(backend.asarray(own)), [0, 1, 2])


def test_torch_backend_detaches() -> None:
    backend = get_backend("torch", "float64")
    tensor = torch.arange(3.0, dtype=torch.float64, requires_grad=True)
    np.testing.assert_array_equal(backend.to_numpy(2 * tensor), [0, 2, 4])


def test_unit_roundoff(any_library: str) -> None:
    # The largest relative error of rounding: 1 + u rounds to 1 (ties to even), 1 + 2u does not.
    for dtype in (np.float32, np.float64):
        u = dtype(get_backend(any_library, dtype.__name__).unit_roundoff)
        assert dtype(1) + u == 1
        assert dtype(1) + 2 * u > 1


def test_backends_refuse_with_a_hint() -> None:
    refused("did you mean 'numpy'", get_backend, "nunpy", "float64")
    refused("dtype='float16'", get_backend, "numpy", "float16")
    refused("the numpy backend has only 'cpu'", NumpyBackend, "float64", "cuda")
    refused("device='nonsense': Torch cannot use it", get_backend, "torch", "float64", "nonsense")
