"""Claims on calls and on `fit` from outside: whom they spare, and what they ask for."""

from __future__ import annotations

import threading
from dataclasses import replace

import numpy as np
import pytest
import torch

from mimverify import LayerwiseTrainer
from mimverify.support.arrays import Array
from mimverify.trial import PROFILES, Session, Status, Verdict, load_claims, same_predictions
from mimverify.trial.outcomes import NotApplicable
from mimverify.zoo import Correct
from mimverify.zoo.state import CopiesLoseTheConstant

UNHURRIED = replace(PROFILES["quick"], seconds=1e6)
OF_FIT = (
    "refit", "repeated-predictions", "continuous-prediction", "copies", "second-stage-sign",
    "fit-symmetries", "first-layer-data", "predicts-through-first-layer", "first-layer-error",
    "odd-part",
)  # fmt: skip


def verdict_of(trainer: object, claim: str) -> Verdict:
    with Session(trainer, profile=UNHURRIED, claims=[claim]) as session:
        return session.verdict(load_claims()[claim])


class FitOnly:
    """`fit` and `predict`, and nothing else to see."""

    random_state = 0

    def fit(self, X: Array, y: Array) -> None:
        self._inside = Correct()
        self._inside.random_state = self.random_state
        self._inside.fit(X, y)

    def predict(self, X: Array) -> Array:
        return self._inside.predict(X)


class NamesALayer(FitOnly):
    """`first_layer_` is a name that it uses for something else."""

    def fit(self, X: Array, y: Array) -> None:
        super().fit(X, y)
        self.first_layer_ = torch.nn.Linear(2, 2)


class Random(FitOnly):
    """Its fits differ, whatever the seed."""

    def fit(self, X: Array, y: Array) -> None:
        self.random_state = int(np.random.default_rng().integers(2**31))
        super().fit(X, y)


class RandomAndShown(Random):
    """It shows the first layer of such a fit."""

    def fit(self, X: Array, y: Array) -> None:
        super().fit(X, y)
        self.first_layer_ = self._inside.first_layer_


class DrawsInTurn:
    """Its generator is made once: each fit starts elsewhere. It has no `random_state`."""

    def __init__(self) -> None:
        self._rng = np.random.default_rng(0)

    def fit(self, X: Array, y: Array) -> None:
        self._inside = Correct()
        self._inside.random_state = int(self._rng.integers(2**31))
        self._inside.fit(X, y)

    def predict(self, X: Array) -> Array:
        return self._inside.predict(X)


class DrawsInTurnFromItsSeed(DrawsInTurn):
    """It has one, and breaks the contract."""

    random_state = 0


class FitsOnceUnseeded:
    """It draws nothing, and does nothing at a second fit."""

    def fit(self, X: Array, y: Array) -> None:
        if not hasattr(self, "_inside"):
            self._inside = Correct()
            self._inside.fit(X, y)

    def predict(self, X: Array) -> Array:
        return self._inside.predict(X)


class CannotBePickled(FitOnly):
    """It can be deep-copied alone."""

    def __reduce_ex__(self, protocol: object) -> str | tuple[object, ...]:
        raise TypeError("it holds what cannot be pickled")

    def __deepcopy__(self, memo: object) -> CannotBePickled:
        other = CannotBePickled()
        other.__dict__ |= self.__dict__
        return other


class CopiesUnfitted(FitOnly):
    """What has been fitted holds a handle, and is not copied."""

    def __getstate__(self) -> dict[str, object]:
        return {name: value for name, value in self.__dict__.items() if name != "_inside"}


class PicklesUnfitted(CopiesUnfitted):
    def __deepcopy__(self, memo: object) -> PicklesUnfitted:
        other = PicklesUnfitted()
        other.__dict__ |= self.__dict__
        return other


class Locked(FitOnly):
    def __init__(self) -> None:
        self.lock = threading.Lock()


@pytest.mark.parametrize("claim", OF_FIT)
def test_a_trainer_with_a_linear_part_and_another_activation_passes(claim: str) -> None:
    def trainer() -> LayerwiseTrainer:
        return LayerwiseTrainer(activation="softplus", remove_linear_part=True)

    assert verdict_of(trainer, claim).status is Status.PASSED


@pytest.mark.parametrize("claim", OF_FIT)
def test_single_precision_inside_passes(claim: str) -> None:
    assert verdict_of(lambda: LayerwiseTrainer(dtype="float32"), claim).status is Status.PASSED


@pytest.mark.parametrize("claim", [name for name in OF_FIT if "first-layer" in name])
@pytest.mark.parametrize("trainer", [FitOnly, NamesALayer])
def test_what_is_not_shown_is_not_claimed(claim: str, trainer: type) -> None:
    found = verdict_of(trainer, claim)
    assert (found.status, found.message) == (
        Status.NOT_APPLICABLE, "needs first_layer_, an array (m, d) of numbers, after fit()",
    )  # fmt: skip


@pytest.mark.parametrize("claim", ["refit", "second-stage-sign", "fit-symmetries"])
def test_fits_that_differ_by_chance_are_not_compared(claim: str) -> None:
    found = verdict_of(Random, claim)
    assert found.status is Status.NOT_APPLICABLE
    assert "two new trainers of one random state differ" in found.message


def test_fits_that_draw_in_turn_are_compared_only_with_a_random_state() -> None:
    found = verdict_of(DrawsInTurn, "refit")
    assert found.status is Status.NOT_APPLICABLE
    assert "no random_state, and its first and second fit to the same data differ" in found.message
    assert verdict_of(DrawsInTurnFromItsSeed, "refit").status is Status.FAILED
    assert verdict_of(FitsOnceUnseeded, "refit").status is Status.FAILED


def test_first_layers_that_differ_by_chance_are_not_compared() -> None:
    found = verdict_of(RandomAndShown, "first-layer-data")
    assert found.status is Status.NOT_APPLICABLE
    assert "first layers of two new trainers of one random state differ" in found.message


def test_a_way_of_copying_that_raises_is_omitted() -> None:
    found = verdict_of(CannotBePickled, "copies")
    assert found.status is Status.PASSED
    (omission,) = found.evidence.omitted
    assert "pickle" in omission.decision
    assert "cannot be pickled" in omission.reason
    assert verdict_of(Locked, "copies").status is Status.NOT_APPLICABLE


def test_a_copy_that_is_unfitted_is_omitted() -> None:
    found = verdict_of(PicklesUnfitted, "copies")
    assert found.status is Status.PASSED
    (omission,) = found.evidence.omitted
    assert "pickle" in omission.decision
    assert "not a copy that predicts: predict() raised AttributeError" in omission.reason
    assert verdict_of(CopiesUnfitted, "copies").status is Status.NOT_APPLICABLE


def test_calls_of_a_copy_are_not_repeated() -> None:
    found = verdict_of(CopiesLoseTheConstant, "copies")
    assert found.status is Status.FAILED
    assert found.evidence.repetition is None


class _Within:
    def __init__(self) -> None:
        self.ratios: list[float] = []

    def within(self, what: str, got: Array, expected: Array, bound: float, **_: object) -> None:
        self.ratios.append(float(got) / bound)


def test_predictions_are_compared_by_their_spread() -> None:
    expected, trial = np.array([-1.0, 1.0, -1.0, 1.0]), _Within()
    same_predictions(trial, "x", expected + 5e-4, expected, lambda: pytest.fail("not needed"))
    same_predictions(trial, "x", expected + 2e-3, expected, lambda: expected)
    assert trial.ratios == pytest.approx([0.5, 2.0])
    with pytest.raises(NotApplicable, match=r"by 0\.002 of the predictions' spread"):
        same_predictions(trial, "x", expected + 1, expected, lambda: expected + 2e-3)
