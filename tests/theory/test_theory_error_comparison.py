"""Predicted beside trained test errors: what is a contradiction, and how often chance makes one."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from mimverify.support.errors import InputError
from mimverify.theory import error_comparison
from mimverify.theory.error_comparison import (
    ErrorCell,
    ErrorComparison,
    compare_errors,
    error_cells,
    pooled_bias,
    pooled_coverage,
)

CELL = ErrorCell("abs", "huber", 24, 300, runs=20, predicted_runs=40)


@pytest.fixture(scope="module")
def compared() -> ErrorComparison:
    (found,) = compare_errors([CELL])
    return found


def made(compared: ErrorComparison, predicted, trained) -> ErrorComparison:
    """A comparison of given errors, with the interval of the predicted ones."""
    values = np.sort(predicted)
    deviation = math.sqrt(np.pi / 2) * values.std() / math.sqrt(len(values))
    low, high = np.quantile(values, [0.025 * (len(values) + 1) / len(values), 0.975])
    found = replace(
        compared.predicted,
        values=values, median=float(np.median(values)), low=float(low), high=float(high),
        standard_error=float(deviation), notes=(),
    )  # fmt: skip
    return replace(compared, predicted=found, trained=np.asarray(trained))


def test_a_cell_trains_what_it_predicts(compared: ErrorComparison) -> None:
    assert compared.cell == CELL
    assert compared.predicted.samples == compared.predicted.readout_samples == 300
    assert (len(compared.trained), len(compared.predicted.values)) == (20, 40)
    assert len(set(compared.trained)) == 20  # runs on data of their own
    assert 0.3 < compared.median / compared.predicted.median < 3
    assert compared.to_json()["trained"]["values"] == compared.trained.tolist()


def test_cells_are_reproducible_and_their_order_does_not_matter() -> None:
    small = [replace(CELL, runs=2, seed=s) for s in (0, 1)]
    forth, back = (list(compare_errors(cells)) for cells in (small, small[::-1]))
    assert [r.trained.tolist() for r in forth] == [r.trained.tolist() for r in back[::-1]]
    assert forth[0].trained.tolist() != forth[1].trained.tolist()


def test_equal_laws_are_hardly_ever_contradicted(compared: ErrorComparison) -> None:
    rng = np.random.default_rng(0)
    alarms = 0
    for _ in range(400):
        drawn, trained = np.exp(0.15 * rng.standard_normal((2, 100)))
        alarms += bool(made(compared, drawn, trained).contradicts(0.01))
    assert alarms <= 16  # 2 × 0.01 × 400 = 8 at most are expected; P(> 16) < 0.003 then


@pytest.mark.parametrize(
    ("factor", "spread", "found"),
    [(1.2, 0.1, "median"), (1 / 1.2, 0.1, "median"), (1.0, 0.3, "interval")],
)
def test_other_laws_are_contradicted(compared, factor, spread, found) -> None:
    rng = np.random.default_rng(1)
    drawn = np.exp(0.1 * rng.standard_normal(200))
    trained = factor * np.exp(spread * rng.standard_normal(200))
    assert found in made(compared, drawn, trained).contradicts(1e-5)


def test_a_prediction_that_calls_itself_poor_is_not_tested(compared: ErrorComparison) -> None:
    drawn = np.linspace(1, 2, 50)
    wrong = made(compared, drawn, 3 * drawn)
    assert wrong.contradicts(1e-3)
    poor = replace(wrong, predicted=replace(wrong.predicted, notes=("poor",)))
    assert poor.contradicts(1e-3) == ()
    assert math.isnan(pooled_bias([poor])[0])
    assert pooled_bias([wrong, poor]) == pytest.approx((2.0, wrong.bias_error))
    assert pooled_coverage([wrong, wrong, poor]) == (0.0, 0.0)


def test_the_median_s_standard_error(compared: ErrorComparison) -> None:
    rng = np.random.default_rng(2)
    runs = [rng.standard_normal(100) + 10 for _ in range(200)]
    errors = [replace(compared, trained=run).standard_error for run in runs]
    assert np.mean(errors) == pytest.approx(np.std([np.median(run) for run in runs]), rel=0.15)


def test_workers_find_the_same(compared: ErrorComparison) -> None:
    cells = [CELL, replace(CELL, link="cos2z", runs=2)]
    found = {result.cell: result for result in compare_errors(cells, workers=2)}
    assert set(found) == set(cells)
    assert found[CELL].trained == pytest.approx(compared.trained, rel=1e-6)


@pytest.mark.parametrize(
    ("change", "names"),
    [
        ({"links": ["nolink"]}, "nolink"),
        ({"losses": ["noloss"]}, "noloss"),
        ({"sizes": [(30, 30)]}, "samples=30"),
        ({"sizes": [(1, 30)]}, "dim=1"),
        ({"sizes": [(2, 30)], "links": ["z1z2"]}, "rank"),
        ({"sizes": [(10, "a")]}, "samples='a'"),
        ({"runs": 3}, "runs=3"),
        ({"predicted_runs": 39}, "predicted_runs=39"),
        ({"noise": -1.0}, "noise"),
    ],
)
def test_bad_arguments_are_named(change, names) -> None:
    given = {"links": ["abs"], "losses": ["huber"], **change}
    with pytest.raises(InputError, match=names):
        error_cells(given.pop("links"), given.pop("losses"), **given)


def test_the_standard_comparison_has_three_sizes() -> None:
    cells = error_cells(["abs", "tanh3"], ["huber", "l1"])
    assert len(cells) == 12
    assert {(cell.dim, cell.samples) for cell in cells} == set(error_comparison.ERROR_SIZES)
