"""Shapes in annotations are checked under test."""

from __future__ import annotations

import numpy as np
import pytest

import mimverify
from mimverify.measure import angles
from shape_checker import CHECKED


def test_an_array_of_another_shape_is_refused() -> None:
    assert "mimverify.measure.angles._top_directions" in CHECKED
    angles._top_directions(np.eye(3), 2)
    with pytest.raises(Exception, match="m d"):
        angles._top_directions(np.ones(3), 2)
    with pytest.raises(Exception, match="_top_directions"):
        angles._top_directions(np.eye(3, dtype="float32"), 2)


def test_wrong_types_still_reach_the_librarys_own_checks() -> None:
    with pytest.raises(mimverify.InputError, match="W has"):
        mimverify.alignment("no weights", np.eye(2))
