"""What the first layer that a fitted trainer shows says about its stage 1."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from mimverify import LayerwiseTrainer, MultiIndexModel, default_samples, get_loss, symmetric_start
from mimverify.trial import PROFILES, Session, Status, load_claims
from mimverify.trial.claims.fit_errors import Explanation, RunErrors
from mimverify.trial.diagnosis.first_layer_causes import FirstLayerCause, cause_of_first_layer
from mimverify.zoo import second_stage
from mimverify.zoo.base import Correct

DIM, LINK, ENOUGH = 48, "he2-mix", 4


class Uncentred(Correct):
    """`fit` does not centre its labels for the loss."""

    loss = "huber"

    def first_stage(self, X, y):
        loss = get_loss(self.loss)
        rng = np.random.default_rng([self.random_state, 1])
        start = symmetric_start(64, X.shape[1], rng, dtype=X.dtype.name)
        H = (X.T * -loss.derivative(0 * y, y)) @ X / len(y)
        eta = float(1 / (np.abs(start.a[0]) * np.linalg.norm(H, 2)))
        return self.trajectory(
            start.W, start.a, start.b, X, y,
            steps=ENOUGH, eta=eta, beta=1 / eta, activation="log-cosh", loss=self.loss,
        )[-1]  # fmt: skip


def rows_of(seed: int, offset: float = 0.0):
    """The model and its two stages' rows, stacked."""
    model = MultiIndexModel(LINK, DIM, seed=seed)
    data = model.sample(2 * default_samples(DIM))
    return data.X, data.y + offset


def causes(trainer, runs: int = 5, offset: float = 0.0, dtype: str = "float64"):
    """Of several runs; the first half of the rows is stage 1's."""
    found = []
    for seed in range(runs):
        X, y = (part.astype(dtype) for part in rows_of(seed, offset))
        subject = trainer()
        subject.random_state = seed
        subject.fit(X, y)
        half = len(y) // 2
        found.append(cause_of_first_layer(subject.first_layer_, X[:half], y[:half]))
    return found


def most(found: list) -> bool:
    """Whether more than half of them are true: a fit is tested at 2 %."""
    return 2 * sum(found) > len(found)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("steps", [1, 2, 3])
def test_too_few_steps_are_counted(steps: int, dtype: str) -> None:
    found = causes(lambda: LayerwiseTrainer(steps=steps), dtype=dtype)
    assert most([each is not None and each.steps == steps and each.centred for each in found])
    (text, *_) = [str(each) for each in found if each is not None]
    assert text.endswith(f"where T1 = {ENOUGH}")


def test_rows_that_were_not_trained_are_isotropic() -> None:
    found = causes(lambda: LayerwiseTrainer(steps=0))
    assert most([each is not None and each.steps == 0 for each in found])


@pytest.mark.parametrize("loss", ["huber", "squared"])
def test_labels_that_were_not_centred_are_seen(loss: str) -> None:
    class Trainer(Uncentred):
        pass

    Trainer.loss = loss
    found = causes(Trainer, offset=1.5)
    right = [each for each in found if each is not None and not each.centred]
    assert most([each in right for each in found])
    assert {each.loss for each in right} == {loss}
    for each in right:
        assert each.mean_transform > 0.1
        assert f"not centred for the {loss} loss: E T ≠ 0" in str(each)


def test_a_small_mean_transform_hides_nothing() -> None:
    found = FirstLayerCause(4, 4, "huber", centred=False, mean_transform=-0.4)
    assert "0.4 × as large as H" in str(found)
    assert not str(replace(found, mean_transform=0.05))


@pytest.mark.parametrize(
    "trainer",
    [
        Correct,
        LayerwiseTrainer,
        lambda: LayerwiseTrainer(loss="log-cosh", remove_linear_part=True),
        lambda: LayerwiseTrainer(steps=6, loss="squared"),
        lambda: LayerwiseTrainer(neurons=8, activation="pseudo-huber"),
    ],
)
def test_a_right_stage_1_has_no_cause(trainer) -> None:
    assert not any(causes(trainer))


def test_no_cause_is_named_for_rows_that_were_trained_otherwise() -> None:
    """Rows of a subspace that the data do not show."""
    rng = np.random.default_rng(0)
    X, y = rows_of(0)
    spiked = rng.standard_normal((64, DIM)) + 5 * rng.standard_normal((64, 1)) * np.eye(DIM)[:1]
    assert cause_of_first_layer(spiked, X, y) is None
    assert cause_of_first_layer(np.zeros((4, DIM)), X, y) is None


@pytest.mark.parametrize(
    ("trainer", "claim", "cause"),
    [
        (second_stage.RandomFeatures, "test-error", "its rows are isotropic: it was not trained"),
        pytest.param(
            Uncentred,
            "test-error",
            "labels not centred for the huber loss: E T ≠ 0",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            second_stage.OneStepInside,
            "test-error-decay",
            "its rows are those of 1 step, where T1 = 4",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_the_message_names_alignment_prediction_and_cause(
    trainer: type, claim: str, cause: str
) -> None:
    with Session(trainer, profile=replace(PROFILES["quick"], seconds=600.0)) as session:
        verdict = session.verdict(load_claims()[claim])
    assert verdict.status is Status.FAILED
    (note,) = [note for note in verdict.evidence.notes if "blamed" in note]
    shown, predicted = (
        float(str(note[name])) for name in ("first_layer_alignment", "predicted_alignment")
    )
    assert shown < 0.75 < predicted
    assert f"stage 1: alignment {shown:.2g}, predicted {predicted:.2g}: its rows" in verdict.message
    assert cause in verdict.message
    assert cause in str(note["first_layer_cause"])


def test_the_words_of_a_cause() -> None:
    run = RunErrors(1.0, 0.2, 0.01, hybrid=0.9, alignment=0.3, shown_alignment=0.2, cause="why")
    told = Explanation((1.0,), (run,) * 3, predicted_alignment=0.8)
    assert "stage 1: alignment 0.2, predicted 0.8: why; stage 1 is at fault" in str(told)
    minority = (run, replace(run, cause=""), replace(run, cause=""))
    assert "predicted 0.8; stage 1" in str(Explanation((1.0,), minority, 0.8))
    hidden = replace(run, shown_alignment=None, cause="")
    assert "stage 1: alignment" not in str(Explanation((1.0,), (hidden,), 0.8))
