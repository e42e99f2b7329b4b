"""Claims on the error of a black box that rest on a prediction or on a bound."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mimverify import LayerwiseTrainer, numpy_trainer
from mimverify.trial import PROFILES, Session, Status, load_claims

UNHURRIED = replace(PROFILES["quick"], seconds=600.0)


def status_of(trainer, claim: str, seed: int = 0) -> Status:
    with Session(trainer, profile=UNHURRIED, claims=[claim], seed=seed) as session:
        return session.verdict(load_claims()[claim]).status


class Modest(LayerwiseTrainer):
    """The poorest choices that the claim admits, and one step more."""

    def fit(self, X, y):
        self.neurons, self.readout_neurons, self.steps = 32, 128, 4
        return super().fit(X, y)


class FewFeatures(LayerwiseTrainer):
    """Too few random features for the link."""

    def fit(self, X, y):
        self.readout_neurons = 3
        return super().fit(X, y)


class Single(LayerwiseTrainer):
    """Knows float32 alone."""

    dtypes = ("float32",)  # type: ignore[assignment]


@pytest.mark.parametrize("trainer", [numpy_trainer, Modest, Single])
def test_a_correct_trainer_is_no_worse_than_predicted(trainer) -> None:
    assert status_of(trainer, "predicted-test-error", seed=3) is Status.PASSED


def test_a_poor_readout_is_worse_than_predicted() -> None:
    assert status_of(FewFeatures, "predicted-test-error") is Status.FAILED


@pytest.mark.parametrize("trainer", [numpy_trainer, Single])
def test_a_correct_trainer_does_not_beat_the_posterior(trainer) -> None:
    assert status_of(trainer, "beats-no-bayes", seed=3) is Status.PASSED


class Linear:
    """Ridge regression with the best penalty: no network at all."""

    def fit(self, X, y):
        self.theta = X.T @ y / (len(y) * 40)

    def predict(self, X):
        return X @ self.theta


def test_an_honest_black_box_of_another_kind_does_not_beat_it() -> None:
    assert status_of(Linear, "beats-no-bayes") is Status.PASSED
