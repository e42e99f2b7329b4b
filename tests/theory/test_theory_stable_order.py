"""Tests of `mimverify.theory.labels.stable_order`."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from mimverify.theory.labels.stable_order import stable_order


@settings(deadline=None)
@given(
    hnp.arrays(
        np.float64,
        st.integers(1, 70),
        elements=st.sampled_from([0.0, -0.0, 1.0, -1.0, 1e-300, -np.inf, np.inf, 0.5]),
    )
)
def test_ties_keep_their_order(values: np.ndarray) -> None:
    """Few different values, of which many are equal: zeros of either sign are."""
    np.testing.assert_array_equal(stable_order(values), np.argsort(values, kind="stable"))


@pytest.mark.parametrize("different", [1, 2, 1000, 50_000])
def test_many_numbers(different: int) -> None:
    """Sizes at which NumPy's sort goes about it in another way."""
    rng = np.random.default_rng(different)
    values = rng.standard_normal(different)[rng.integers(different, size=50_000)]
    for some in (values, np.sort(values), -np.sort(values), values[::-1]):
        np.testing.assert_array_equal(stable_order(some), np.argsort(some, kind="stable"))
