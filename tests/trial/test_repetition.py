"""A failing call made again: chance and memory are told from a wrong rule, rounding is not."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
import pytest

from mimverify import numpy_trainer
from mimverify.handles import InProcessTrainer
from mimverify.support.arrays import NumpyArray
from mimverify.support.errors import TrainerError
from mimverify.trial import PROFILES, Session, Status, Verdict, load_claims
from mimverify.trial.diagnosis.repetition import (
    DEPENDS_ON_EARLIER_CALLS,
    NOT_DETERMINISTIC,
    REPEATED,
    VARIES,
    Repetition,
    repeat,
)
from mimverify.trial.trainer.calls import RecordedTrainer

UNHURRIED = replace(PROFILES["quick"], seconds=1e6)
OPTIONS = {"eta": 0.5, "beta": 0.1, "activation": "log-cosh", "loss": "squared"}
BY_CHANCE = np.random.default_rng(0)
COUNT = itertools.count()


def right_step(W: NumpyArray, *arrays: NumpyArray, **options: Any) -> NumpyArray:
    a, b, X, y = arrays
    path = numpy_trainer().trajectory(W, a, b, X, y, steps=1, **options)
    return np.asarray(path[1])


class OneActivation:
    """A right trainer; the others spoil its steps."""

    activations = ("log-cosh",)
    losses = ("squared",)

    def __init__(self) -> None:
        self.calls = 0
        self.random_state: int | None = None

    def step(self, W: NumpyArray, *arrays: NumpyArray, **options: Any) -> NumpyArray:
        self.calls += 1
        return self.spoilt(right_step(W, *arrays, **options), W)

    def spoilt(self, new: NumpyArray, W: NumpyArray) -> NumpyArray:
        return new + 0.1


class Wrong(OneActivation):
    """Always in the same way."""


class DropsOut(OneActivation):
    def spoilt(self, new: NumpyArray, W: NumpyArray) -> NumpyArray:
        return np.where(BY_CHANCE.random(new.shape) < 0.5, W, new)


class Remembers(OneActivation):
    def spoilt(self, new: NumpyArray, W: NumpyArray) -> NumpyArray:
        return new if self.calls == 1 else new * 1.01


class Tires(OneActivation):
    """Wrong at once, and more so later."""

    def spoilt(self, new: NumpyArray, W: NumpyArray) -> NumpyArray:
        return new * (1 + 0.1 * self.calls)


class AddsInAnyOrder(OneActivation):
    """Wrong in the same way but for the rounding of its own, larger numbers."""

    noise = 1e-15

    def spoilt(self, new: NumpyArray, W: NumpyArray) -> NumpyArray:
        wrong = 1000 * (new - W)
        return W + wrong * (1 + self.noise * BY_CHANCE.standard_normal(W.shape))


class AddsInAnyOrderInFloat32(AddsInAnyOrder):
    noise = 2e-8


class RaisesByChance(OneActivation):
    def spoilt(self, new: NumpyArray, W: NumpyArray) -> NumpyArray:
        if next(COUNT) % 2 == 0:
            raise ValueError("a race")
        return new


class RaisesLater(OneActivation):
    def spoilt(self, new: NumpyArray, W: NumpyArray) -> NumpyArray:
        if self.calls > 1:
            raise ValueError("out of handles")
        return new


class AlwaysRaises(OneActivation):
    def spoilt(self, new: NumpyArray, W: NumpyArray) -> NumpyArray:
        raise ValueError(f"at {next(COUNT)}")


def arrays() -> dict[str, NumpyArray]:
    rng = np.random.default_rng(1)
    shapes = {"W": (3, 4), "a": (3,), "b": (3,), "X": (40, 4), "y": (40,)}
    return {name: rng.standard_normal(shape) for name, shape in shapes.items()}


def repeated(source: Callable[[], object], calls: int = 2) -> Repetition | None:
    """What repeating the last of some calls shows."""
    record = RecordedTrainer(InProcessTrainer(source))
    record.fresh(7)
    caught = None
    for _ in range(calls):
        try:
            record.call("step", arrays(), OPTIONS)
        except TrainerError as error:
            caught = error
            break
    before = list(record.calls)
    found = repeat(record, caught)
    assert record.calls == before
    assert record.seeds == [7]
    return found


@pytest.mark.parametrize(
    ("source", "found"),
    [
        (Wrong, REPEATED),
        (DropsOut, NOT_DETERMINISTIC),
        (Remembers, DEPENDS_ON_EARLIER_CALLS),
        (Tires, DEPENDS_ON_EARLIER_CALLS),
        (AddsInAnyOrder, REPEATED),
        (AddsInAnyOrderInFloat32, VARIES),
        (RaisesLater, DEPENDS_ON_EARLIER_CALLS),
        (AlwaysRaises, REPEATED),
    ],
)
def test_chance_and_memory_are_told_apart(source: type, found: str) -> None:
    result = repeated(source)
    assert result is not None
    assert result.found == found
    assert str(result).startswith("" if found == REPEATED else f"{found}: ")
    assert bool(str(result)) == (found != REPEATED)
    assert Repetition(**result.to_json()) == result


def test_chance_that_raises_now_and_then_is_chance() -> None:
    result = repeated(RaisesByChance, calls=4)
    assert result is not None
    assert result.found == NOT_DETERMINISTIC
    assert "fails (raised)" in result.difference
    assert "returns" in result.difference


def test_a_second_call_alone_shows_memory() -> None:
    """The failing call was the first: it is the repeated one that differs."""
    result = repeated(Remembers, calls=1)
    assert result is not None
    assert result.found == DEPENDS_ON_EARLIER_CALLS


# -- fit and predict ---------------------------------------------------------------------------


class Fits:
    """Predicts by coefficients that depend on the seed, and on the number of fits."""

    noise: ClassVar[float] = 0.0
    warm: ClassVar[float] = 0.0

    def __init__(self) -> None:
        self.random_state: int | None = None
        self.fits = 0

    def fit(self, X: NumpyArray, y: NumpyArray) -> None:
        self.fits += 1
        rng = np.random.default_rng(self.random_state)
        self.w = rng.standard_normal(X.shape[1]) + self.warm * self.fits
        self.w += self.noise * BY_CHANCE.standard_normal(X.shape[1])

    def predict(self, X: NumpyArray) -> NumpyArray:
        return np.asarray(X @ self.w)


class FitsByChance(Fits):
    noise = 0.1


class FitsOn(Fits):
    warm = 1.0


class FitsRoundly(Fits):
    noise = 1e-6


class FitsUnseeded(FitsByChance):
    def __init__(self) -> None:
        super().__init__()
        del self.random_state
        self.fits = 0

    def fit(self, X: NumpyArray, y: NumpyArray) -> None:
        self.w = BY_CHANCE.standard_normal(X.shape[1])


@pytest.mark.parametrize(
    ("source", "found"),
    [
        (Fits, REPEATED),
        (FitsByChance, NOT_DETERMINISTIC),
        (FitsOn, DEPENDS_ON_EARLIER_CALLS),
        (FitsRoundly, REPEATED),
        (FitsUnseeded, None),  # it may draw its weights as it likes
    ],
)
def test_predictions_are_repeated_with_their_fit(source: type, found: str | None) -> None:
    record = RecordedTrainer(InProcessTrainer(source))
    record.fresh(7)
    record.call("fit", {name: arrays()[name] for name in "Xy"}, {})
    record.call("predict", {"X": arrays()["X"]}, {})
    result = repeat(record)
    assert (None if result is None else result.found) == found
    if result is not None:
        assert result.method == "fit() and predict()"


# -- what is not repeated ----------------------------------------------------------------------


def test_what_takes_long_is_not_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    record = RecordedTrainer(InProcessTrainer(Wrong))
    assert repeat(record) is None  # nothing was called
    record.call("step", arrays(), OPTIONS)
    assert record.latest is not None
    record.latest = replace(record.latest, seconds=100.0)
    monkeypatch.setattr(record, "again", None)
    assert repeat(record) is None
    for kind in ("timeout", "deadline", "died"):
        assert repeat(record, TrainerError(kind, "x")) is None


def test_a_repeated_call_that_is_cut_off_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    record = RecordedTrainer(InProcessTrainer(Wrong))
    record.call("step", arrays(), OPTIONS)
    limits: list[float | None] = []

    def cut_off(*_: object, **__: object) -> None:
        limits.append(record.deadline)
        raise TrainerError("deadline", "time was spent")

    monkeypatch.setattr(record, "again", cut_off)
    end = record.deadline = time.monotonic() + 1000
    assert repeat(record) is None
    assert limits[0] is not None
    assert limits[0] < time.monotonic() + 500  # the run's other claims need the rest
    assert record.deadline == end
    record.deadline = time.monotonic() - 1
    assert repeat(record) is None
    assert len(limits) == 1  # not even tried


# -- in a trial --------------------------------------------------------------------------------


def verdict_of(source: type, claim: str) -> Verdict:
    with Session(source, profile=UNHURRIED, claims=[claim]) as session:
        return session.verdict(load_claims()[claim])


@pytest.mark.parametrize(
    ("source", "clause"),
    [
        (Wrong, ""),
        (DropsOut, "; not deterministic: on the same arrays step() of two new trainers differs by"),
        (Remembers, "; depends on earlier calls: on the same arrays step() of a trainer that was"),
        (
            RaisesLater,
            "; depends on earlier calls: on the same arrays step() of a trainer that was",
        ),
    ],
)
def test_the_verdict_says_so(source: type, clause: str) -> None:
    verdict = verdict_of(source, "trajectory")
    assert verdict.status in (Status.FAILED, Status.ERROR)
    assert verdict.evidence.repetition is not None
    assert clause in verdict.message
    assert ("deterministic" in verdict.message or "earlier calls" in verdict.message) == bool(
        clause
    )
    again = Verdict.from_json(verdict.to_json())
    assert again.evidence.repetition == verdict.evidence.repetition
