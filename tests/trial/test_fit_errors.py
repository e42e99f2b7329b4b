"""Why a test error is too large: the numbers beside it, and the stage that made it so."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mimverify import LayerwiseTrainer, numpy_trainer
from mimverify.trial import PROFILES, Session, Status, load_claims
from mimverify.trial.claims import fit_errors
from mimverify.trial.claims.fit_errors import Explanation, RunErrors, blamed_stage
from mimverify.trial.diagnosis.repetition import REPEATED
from mimverify.trial.running.capsule import load_capsule
from mimverify.trial.running.replay import replay
from mimverify.trial.running.verdict import Verdict
from mimverify.zoo import Mutant, base, second_stage, update_rule, use_of_data, zoo

UNHURRIED = replace(PROFILES["quick"], seconds=600.0)


class FewSteps(LayerwiseTrainer):
    """Hardly trains its first layer."""

    def fit(self, X, y):
        self.steps = 0
        return super().fit(X, y)


class FitOnly:
    """`fit` and `predict` of another trainer, and nothing else."""

    random_state = 0

    def __init__(self, trainer):
        self.trainer = trainer()

    def fit(self, X, y):
        self.trainer.random_state = self.random_state
        self.trainer.fit(X, y)

    def predict(self, X):
        return self.trainer.predict(X)


class Mean:
    """Predicts the labels' mean."""

    def fit(self, X, y):
        self.mean = y.mean()

    def predict(self, X):
        return np.full(len(X), self.mean)


def verdict_of(trainer, claim: str = "test-error", **settings) -> Verdict:
    with Session(trainer, profile=UNHURRIED, **settings) as session:
        return session.verdict(load_claims()[claim])


def note_of(verdict: Verdict):
    (note,) = [note for note in verdict.evidence.notes if "blamed" in note]
    return note


@pytest.mark.parametrize(
    ("trainer", "stage"),
    [
        (FewSteps, "stage 1"),
        (update_rule.CollapsesToTheTop, "stage 1"),  # well aligned, with one direction of two
        (use_of_data.ShufflesLabels, "stage 1"),
        (second_stage.RandomFeatures, "stage 1"),
        (second_stage.NearestNeighbour, "stage 1"),  # it has no first layer at all
        (second_stage.SwapsNeurons, "stage 2"),
        (second_stage.TooMuchRidge, "stage 2"),
        (second_stage.TrainsAgainstTheLabels, "stage 2"),
    ],
)
def test_the_stage_at_fault_is_named(trainer: type, stage: str) -> None:
    verdict = verdict_of(trainer)
    assert verdict.status is Status.FAILED
    note = note_of(verdict)
    assert note["blamed"] == stage
    assert f"{stage} is at fault" in verdict.message
    assert note["test_error_smallest"] <= note["test_error_median"] <= note["test_error_largest"]
    assert note["reference_test_error"] < 0.4 < note["test_error_median"]
    assert note["true_subspace_test_error"] < note["reference_test_error"]
    assert 0.8 < note["predicted_alignment"] < 0.95
    _, low, high = note["predicted_test_error"]
    assert low / 1.5 < note["reference_test_error"] < 1.5 * high  # a median of three runs
    assert f"95 % of runs {low:.3g}…{high:.3g}" in verdict.message
    for name in ("test_error_median", "test_error_smallest", "reference_test_error"):
        assert f"{note[name]:.3g}" in verdict.message
    # What was compared meanwhile, with trainers of other runs, is no earlier call of this one.
    repetition = verdict.evidence.repetition
    assert repetition is None or repetition.found == REPEATED
    # The evidence survives JSON, where reports and child processes have it from.
    assert Verdict.from_json(json.loads(json.dumps(verdict.to_json()))) == verdict


#: Mutants of the second stage in which the first layer that `fit` uses is right.
OF_STAGE_2 = ("ReusesStageOne", "SwapsNeurons", "TooMuchRidge", "TrainsAgainstTheLabels")


@pytest.mark.slow
@pytest.mark.parametrize("mutant", zoo(), ids=lambda mutant: mutant.name)
def test_no_mutant_is_blamed_for_the_other_stage(mutant: Mutant) -> None:
    right = "stage 2" if mutant.name in OF_STAGE_2 else "stage 1"
    for claim in ("test-error", "test-error-decay"):
        verdict = verdict_of(mutant.trainer, claim)
        if verdict.status is Status.FAILED:
            assert note_of(verdict)["blamed"] in (right, None)


def test_one_step_is_too_few_for_the_decay() -> None:
    note = note_of(verdict_of(second_stage.OneStepInside, "test-error-decay"))
    assert note["blamed"] == "stage 1"


def test_predictions_alone_tell_the_stage() -> None:
    for trainer, stage in (
        (second_stage.RandomFeatures, "stage 1"),
        (second_stage.TrainsAgainstTheLabels, "stage 2"),
    ):
        verdict = verdict_of(lambda trainer=trainer: FitOnly(trainer))
        note = note_of(verdict)
        assert (note["blamed"], note["own_first_layer_test_error"]) == (stage, None)
        assert "trajectory()" not in verdict.message


def test_a_first_layer_that_is_right_elsewhere_is_mentioned() -> None:
    assert "so that fit() does not train as these do" in verdict_of(FewSteps).message


def test_a_constant_tells_no_stage() -> None:
    verdict = verdict_of(Mean)
    assert note_of(verdict)["blamed"] is None
    assert "do not tell which stage is at fault" in verdict.message
    assert "is at fault:" not in verdict.message


@pytest.mark.parametrize("trainer", [numpy_trainer, base.Correct])
@pytest.mark.parametrize("claim", ["test-error", "test-error-decay"])
def test_nothing_is_explained_where_the_claim_passes(
    trainer, claim: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fit_errors, "_compared", None)  # not to be called
    verdict = verdict_of(trainer, claim)
    assert (verdict.status, verdict.message) == (Status.PASSED, "")
    assert not verdict.evidence.notes


def test_a_trainer_that_breaks_meanwhile_has_failed_all_the_same() -> None:
    class Tired(second_stage.TrainsAgainstTheLabels):
        fits = 0

        def fit(self, X, y):
            type(self).fits += 1
            if type(self).fits > 11:  # runs until the claim has failed
                raise RuntimeError("no more")
            super().fit(X, y)

    verdict = verdict_of(Tired)
    assert verdict.status is Status.FAILED
    assert "median 3." in verdict.message
    assert "did not allow to compare" in verdict.message
    assert note_of(verdict)["runs_compared"] == 0


def test_the_capsule_has_the_calls_that_the_decision_rests_on(tmp_path: Path) -> None:
    verdict = verdict_of("mimverify.zoo.second_stage:TooMuchRidge", capsules=tmp_path)
    capsule, _ = load_capsule(verdict.capsule)
    assert [call["method"] for call in capsule.calls] == ["fit", "predict"]
    again = replay(capsule)
    assert again.verdict.message == verdict.message
    assert not again.differences


RUN = RunErrors(own=1.0, reference=0.2, true_subspace=0.01, hybrid=0.21, alignment=0.9)


@pytest.mark.parametrize(
    ("changes", "stage"),
    [
        ([{}], "stage 2"),
        ([{}, {"hybrid": 0.4}], "stage 2"),
        ([{"hybrid": 0.9}, {"hybrid": 1.4}], "stage 1"),
        ([{"hybrid": 0.9}, {}], ""),  # the runs differ
        ([{"hybrid": None}], ""),
        ([{"own": 0.35}], ""),  # hardly worse than the reference
        ([], ""),
    ],
)
def test_a_stage_is_blamed_if_every_run_points_there(changes, stage: str) -> None:
    runs = [replace(RUN, **change) for change in changes]
    assert blamed_stage(runs) == stage
    text = str(Explanation((1.0, 1.2), tuple(runs)))
    assert ("is at fault:" in text) == bool(stage)
    assert "None" not in text
