"""Scores of predictions: what they mean, and that they find what is wrong."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from scipy.stats import norm

from mimverify.studies import LIMIT, Comparison, beyond, false_alarms
from mimverify.studies.comparison import of_runs
from mimverify.support.errors import InputError


def compared(measurement: float, *, runs: int = 10, prediction_error: float = 0.0) -> Comparison:
    return Comparison(
        {"T1": 3}, "alignment", prediction=0.5, prediction_error=prediction_error,
        measurement=measurement, standard_error=0.1, runs=runs,
    )  # fmt: skip


def test_z_is_the_ratio_where_errors_are_known() -> None:
    known = compared(0.9, runs=10**9)
    assert known.ratio == pytest.approx(4.0)
    assert known.z == pytest.approx(4.0, abs=1e-6)
    both = compared(1.0, runs=10**9, prediction_error=0.1)
    assert both.ratio == pytest.approx(0.5 / math.hypot(0.1, 0.1))
    assert both.z == pytest.approx(both.ratio, abs=1e-6)


def test_few_runs_say_less() -> None:
    assert 0 < compared(0.9, runs=4).z < compared(0.9, runs=40).z < 4.0
    assert compared(0.1, runs=4).z == -compared(0.9, runs=4).z


@pytest.mark.parametrize("runs", [3, 10])
def test_scores_are_standard_normal_where_the_prediction_holds(runs: int) -> None:
    """1500 comparisons of normal runs: quantiles of z within five standard errors of the
    normal's, which chance breaks with probability 2e-6."""
    rng = np.random.default_rng([5, runs])
    z = [
        of_runs({}, "number", values, prediction=1.0).z for values in rng.normal(1, 2, (1500, runs))
    ]
    for level in (1.0, 2.0, 2.5):
        expected = norm.sf(level)
        for found in (np.mean(np.array(z) > level), np.mean(np.array(z) < -level)):
            assert abs(found - expected) < 5 * math.sqrt(expected / 1500)


def test_a_wrong_prediction_is_beyond() -> None:
    rng = np.random.default_rng(6)
    values = rng.normal(1.0, 0.1, 20)
    right, wrong = (of_runs({}, "number", values, prediction=p) for p in (1.0, 1.3))
    assert beyond([right, wrong]) == [wrong]
    assert wrong.z < -LIMIT


def test_the_chance_of_a_false_alarm() -> None:
    assert false_alarms(1) == pytest.approx(6.334e-5, rel=1e-3)
    assert false_alarms(100) == pytest.approx(100 * false_alarms(1))
    assert false_alarms(10**9) == 1.0


def test_scales() -> None:
    odds = of_runs({}, "alignment", [0.1, -0.1, 0.05], prediction=0.0, scale="log-odds")
    assert odds.shown[0] == 0.5
    size = of_runs({}, "n_half", [1.0, 1.1, 1.05], prediction=1.0, scale="log")
    assert size.shown[0] == pytest.approx(math.e)
    record = json.loads(json.dumps(size.to_json(), allow_nan=False))
    assert record["z"] == size.z
    assert record["predicted"] == size.shown[0]


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"standard_error": 0.0}, "with an error"),
        ({"measurement": math.nan}, "finite"),
        ({"runs": 1}, "two runs"),
        ({"scale": "logs"}, "scale"),
    ],
)
def test_numbers_that_cannot_be_compared(change: dict[str, object], word: str) -> None:
    good = {
        "prediction": 0.5, "prediction_error": 0.0, "measurement": 0.6, "standard_error": 0.1,
        "runs": 5,
    }  # fmt: skip
    with pytest.raises(InputError, match=word):
        Comparison({}, "alignment", **{**good, **change})  # type: ignore[arg-type]
