"""Shapes in annotations are checked under test."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import mimverify
from mimverify.measure import angles
from shape_checker import CHECKED, shape_checked


def test_an_array_of_another_shape_is_refused() -> None:
    assert "mimverify.measure.angles._top_directions" in CHECKED
    angles._top_directions(np.eye(3), 2)
    with pytest.raises(Exception, match="m d"):
        angles._top_directions(np.ones(3), 2)
    with pytest.raises(Exception, match="_top_directions"):
        angles._top_directions(np.eye(3, dtype="float32"), 2)


def test_what_passed_once_is_checked_again_with_every_other_shape_dtype_or_result() -> None:
    def product(A: Any, *others: Any, cut: int = 0) -> Any:
        return (A @ others[0])[cut:]

    product.__annotations__ = {  # as strings, of this module's names
        "A": 'Float64[np.ndarray, "n m"]',
        "others": 'Float64[np.ndarray, "m k"]',
        "return": 'Float64[np.ndarray, "n k"]',
    }
    checked = shape_checked(product)
    A, B = np.ones((2, 3)), np.ones((3, 4))
    for _ in range(2):  # what has passed goes on passing, and what is refused being refused
        assert checked(A, B).shape == (2, 4)
        assert checked(A, B, B).shape == (2, 4)
        with pytest.raises(Exception, match=r"return: .*n k"):
            checked(A, B, cut=1)
        with pytest.raises(Exception, match=r"others: .*m k"):
            checked(A, np.ones((2, 4)))
        with pytest.raises(Exception, match=r"others: .*m k"):
            checked(A, B, np.ones((3, 5)))
        with pytest.raises(Exception, match=r"A: .*n m"):
            checked(A.astype("float32"), B)
        with pytest.raises(Exception, match=r"A: .*n m"):
            checked(A.tolist(), B)
        with pytest.raises(TypeError, match="unexpected keyword"):
            checked(A, B, cup=1)


def test_wrong_types_still_reach_the_librarys_own_checks() -> None:
    with pytest.raises(mimverify.InputError, match="W has"):
        mimverify.alignment("no weights", np.eye(2))
