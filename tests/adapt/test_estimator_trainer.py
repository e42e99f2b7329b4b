"""Regressors as trainers."""

from __future__ import annotations

import pytest

from mimverify import InputError, adapt


def test_regressors_pass_through_and_others_are_refused() -> None:
    linear = pytest.importorskip("sklearn.linear_model", reason="needs the extra sklearn")
    ridge = linear.Ridge()
    assert adapt.sklearn(ridge) is ridge
    for wrong, words in (
        (linear.Ridge, "is a class"),
        (linear.LogisticRegression(), "is a classifier"),
        (object(), "has no fit, predict"),
    ):
        with pytest.raises(InputError, match=words):
            adapt.sklearn(wrong)
