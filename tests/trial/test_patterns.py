"""Where a step is wrong, in words: neurons and coordinates, and rows of X."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from mimverify.support.arrays import Float64Array, NumpyArray
from mimverify.trial.diagnosis.localisation import Divergence, localise
from mimverify.trial.diagnosis.pattern import pattern
from mimverify.trial.diagnosis.row_range import RowRange, find_row_range
from mimverify.trial.reference.envelope import step_envelope
from mimverify.trial.reference.oracle import exact_step
from mimverify.trial.trainer.calls import Call

Mask = NDArray[np.bool_]


def mask(m: int, d: int, neurons: Any, coordinates: Any) -> Mask:
    beyond = np.zeros((m, d), dtype=bool)
    beyond[np.ix_(np.arange(m)[neurons], np.arange(d)[coordinates])] = True
    return beyond


EVERY = slice(None)


@pytest.mark.parametrize(
    ("beyond", "text"),
    [
        (mask(13, 96, EVERY, EVERY), ""),
        (mask(13, 96, EVERY, slice(64, 96)), "coordinates 64–95 of 96 of every neuron"),
        (mask(13, 96, EVERY, [0]), "coordinate 0 of 96 of every neuron"),
        (mask(13, 96, [12], EVERY), "neuron 12 of 13 (the last)"),
        (mask(13, 96, slice(8, 13), EVERY), "neurons 8–12 of 13"),
        (mask(13, 96, [3], slice(0, 8)), "coordinates 0–7 of 96 of neuron 3 of 13"),
        (mask(13, 96, [0, 3, 4], EVERY), "neurons 0, 3, 4 of 13"),
        (mask(13, 96, slice(0, None, 2), EVERY), "every 2nd neuron of 13 from 0 on"),
        (mask(5, 12, EVERY, slice(3, None, 3)),
         "every 3rd coordinate of 12 from 3 on of every neuron"),
        (mask(40, 5, [0, 1, 2, 3, 7, 8, 9, 11, 20, 21], EVERY), "10 of 40 neurons"),
        (np.eye(5, dtype=bool), "5 of 25 weights"),
    ],
)  # fmt: skip
def test_patterns_of_weights(beyond: Mask, text: str) -> None:
    assert pattern(beyond) == text


def test_a_few_weights_that_are_right_by_chance_do_not_hide_a_pattern() -> None:
    beyond = mask(13, 96, EVERY, slice(64, 96))
    beyond[3, 70] = beyond[5, 90] = False
    assert pattern(beyond) == "coordinates 64–95 of 96 of every neuron"


# -- rows --------------------------------------------------------------------------------------

OPTIONS: dict[str, Any] = {"eta": 0.7, "beta": 0.3, "activation": "log-cosh", "loss": "huber"}


def problem(n: int, d: int = 12, m: int = 6, dtype: str = "float64", seed: int = 0) -> Any:
    rng = np.random.default_rng([seed, n, d, m])
    shapes = {"W": (m, d), "a": (m,), "b": (m,), "X": (n, d), "y": (n,)}
    return {
        name: rng.standard_normal(shape).astype(dtype).astype(float)
        for name, shape in shapes.items()
    }


def gradient_sum(given: dict[str, Float64Array], rows: Any) -> Float64Array:
    """Of log-cosh neurons and the Huber loss, implemented independently."""
    X, y = given["X"][rows], given["y"][rows]
    Z = X @ given["W"].T + given["b"]
    residual = np.clip(np.log(np.cosh(Z)) @ given["a"] - y, -1, 1)
    return np.asarray((residual[:, None] * given["a"] * np.tanh(Z)).T @ X)


def weighted(given: Any, start: int, stop: int, weight: float, *, by_all: bool) -> Float64Array:
    """A step that counts the rows [start, stop) `weight` times."""
    n = len(given["y"])
    inside = np.arange(start, stop)
    total = gradient_sum(given, np.setdiff1d(np.arange(n), inside))
    if weight:
        total += weight * gradient_sum(given, inside)
    divisor = n if by_all else n + (weight - 1) * (stop - start)
    eta, beta = 0.7, 0.3
    return np.asarray(given["W"] - eta * (total / divisor + beta * given["W"]))


def found(given: Any, got: Float64Array, dtype: str = "float64") -> RowRange | None:
    allowed = step_envelope(**given, **OPTIONS, dtype=dtype)
    arrays = {name: given[name] for name in "abXy"}
    return find_row_range(given["W"], got, allowed, **arrays, **OPTIONS, dtype=dtype)


@pytest.mark.parametrize("by_all", [True, False])
@pytest.mark.parametrize("weight", [0.0, 2.0, 0.5])
@pytest.mark.parametrize(
    ("n", "start", "stop"),
    [(1543, 1000, 1543), (1543, 0, 1), (1543, 1542, 1543), (1543, 0, 771), (30, 17, 30), (5, 4, 5)],
)
def test_rows_at_an_end_are_found(
    n: int, start: int, stop: int, weight: float, by_all: bool
) -> None:
    given = problem(n)
    result = found(given, weighted(given, start, stop, weight, by_all=by_all))
    assert result is not None
    if weight == 0.5 and not by_all and result.start != start:  # the others count twice: the same
        assert (result.start, result.stop) == ((0, start) if start else (stop, n))
        start, stop, weight = result.start, result.stop, 2.0
    assert (result.start, result.stop, result.of, result.divided_by_all) == (start, stop, n, by_all)
    assert result.weight == pytest.approx(weight, rel=1e-6)


@pytest.mark.parametrize("by_all", [True, False])
@pytest.mark.parametrize("weight", [0.0, 2.0])
@pytest.mark.parametrize(("start", "stop"), [(700, 701), (311, 1200), (1, 1542)])
def test_rows_anywhere_are_found(start: int, stop: int, weight: float, by_all: bool) -> None:
    given = problem(1543)
    result = found(given, weighted(given, start, stop, weight, by_all=by_all))
    assert result == RowRange(start, stop, 1543, weight, by_all)


def test_relative_weights_are_said_of_the_fewer_rows() -> None:
    """As the mean of the means of blocks weights the rows of a shorter last one."""
    given = problem(1543)
    for start, stop, weight in ((0, 1536, 7 / 256), (1536, 1543, 256 / 7)):
        result = found(given, weighted(given, start, stop, weight, by_all=False))
        assert result is not None
        assert (result.start, result.stop) == (1536, 1543)
        assert result.weight == pytest.approx(256 / 7)


def test_rows_are_found_in_float32() -> None:
    given = problem(1543, dtype="float32")
    got = weighted(given, 1000, 1543, 0.0, by_all=False).astype(np.float32).astype(float)
    assert found(given, got, "float32") == RowRange(1000, 1543, 1543, 0.0, divided_by_all=False)


def wrong(given: Any, name: str) -> Float64Array:
    """Steps that no weights of a range of rows explain."""
    n, W, eta, beta = len(given["y"]), given["W"], 0.7, 0.3
    G = gradient_sum(given, slice(None)) / n
    rng = np.random.default_rng(5)
    return np.asarray(
        {
            "right": W - eta * (G + beta * W),
            "no decay": W - eta * G,
            "wrong sign": W - eta * (-G + beta * W),
            "summed": W - eta * (n * G + beta * W),
            "n − 1": W - eta * (n / (n - 1) * G + beta * W),
            "every second row": W
            - eta * (gradient_sum(given, slice(None, None, 2)) / len(given["y"][::2]) + beta * W),
            "two ranges": W
            - eta * (gradient_sum(given, np.r_[3 : n // 3, n // 2 : n - 2]) / n + beta * W),
            "noise": W - eta * (G + beta * W) + 1e-3 * rng.standard_normal(W.shape),
            "tiny noise": W - eta * (G + beta * W) + 1e-13 * rng.standard_normal(W.shape),
            "one neuron": W - eta * (np.arange(len(W))[:, None] % 2 * G + beta * W),
            "labels shifted": W
            - eta * (gradient_sum(given | {"y": np.roll(given["y"], 1)}, slice(n)) / n + beta * W),
            "not finite": np.full_like(W, np.nan),
        }[name]
    )  # fmt: skip


WRONG = ("right", "no decay", "wrong sign", "summed", "n − 1", "every second row", "two ranges",
         "noise", "tiny noise", "one neuron", "labels shifted", "not finite")  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
@pytest.mark.parametrize(("n", "d", "m"), [(1543, 12, 6), (37, 5, 3), (200, 1, 1), (400, 1, 2)])
def test_no_rows_are_named_where_they_explain_nothing(name: str, n: int, d: int, m: int) -> None:
    with np.errstate(invalid="ignore"):
        assert found(problem(n, d, m), wrong(problem(n, d, m), name)) is None


@pytest.mark.parametrize("size", [1e-200, 1e150, 1e300])
def test_extreme_numbers_are_no_obstacle(size: float) -> None:
    given = problem(50)
    given = given | {"W": size * given["W"]}
    with np.errstate(all="ignore"):  # of the envelope
        found(given, 0.5 * given["W"])
        assert found(given, given["W"] + 1) is None


def test_one_number_names_no_rows() -> None:
    """Some of the 20 000 ranges fits one number by chance."""
    for seed in range(20):
        given = problem(200, 1, 1, dtype="float32", seed=seed)
        right = exact_step(**given, **OPTIONS)
        got = (right * (1 + 1e-3)).astype(np.float32).astype(float)
        assert found(given, got, "float32") is None


def test_the_words() -> None:
    assert str(RowRange(1000, 1543, 1543, 0.0, False)) == (
        "as if rows 1000–1542 of 1543 were left out"
    )
    assert str(RowRange(7, 8, 9, 2.0, True)) == (
        "as if row 7 of 9 was counted twice, and the sum divided by all n"
    )
    assert "counted 0.5 times" in str(RowRange(0, 3, 9, 0.5, False))


# -- in a divergence ---------------------------------------------------------------------------


def diverges(change: Callable[[Float64Array, Any], NumpyArray]) -> Divergence:
    given = problem(1543)
    right = exact_step(**given, **OPTIONS)
    result = change(right.copy(), given)
    divergence = localise([Call("step", given, OPTIONS, result)])
    assert divergence is not None
    record = divergence.to_json()
    assert Divergence.from_json(record, record.get("behaves_like")).pattern == divergence.pattern
    assert Divergence.from_json(record, record.get("behaves_like")).rows == divergence.rows
    return divergence


def test_the_divergence_has_both() -> None:
    def one_coordinate(right: Float64Array, given: Any) -> NumpyArray:
        right[:, 0] += 1
        return right

    found = diverges(one_coordinate)
    assert re.search(r"\), coordinate 0 of 12 of every neuron(;|$)", str(found))
    assert found.rows == ""
    found = diverges(lambda right, given: weighted(given, 1003, 1543, 0.0, by_all=False))
    assert found.pattern == ""
    assert re.search(r"\), as if rows 1003–1542 of 1543 were left out(;|$)", str(found))
