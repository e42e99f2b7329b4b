"""Stage 1 without the inputs in memory: the same steps, and the same law."""

from typing import ClassVar

import numpy as np
import pytest

from mimverify import MultiIndexModel
from mimverify.support.arrays import FloatArray
from mimverify.trial import (
    InProcessTrainer,
    NotApplicable,
    TrainerUnderTrial,
    first_layer,
    first_layer_unstored,
    log_odds,
)
from mimverify.zoo import Correct

DIM, SAMPLES, STEPS, NEURONS, OTHERS = 60, 900, 4, 6, 8


class Remembers(Correct):
    """Keeps what it was given."""

    dtypes = ("float64",)
    given: ClassVar[tuple[FloatArray, ...]] = ()

    def trajectory(self, W0, a, b, X, y, **options):
        type(self).given = W0, X, y
        return super().trajectory(W0, a, b, X, y, **options)


class HalfOfTheRows(Correct):
    """The second half of the rows is left out."""

    def prepare(self, task):
        half = len(task.y) // 2
        return type(task)(task.X[:half], task.y[:half], *list(vars(task).values())[2:])


def learned(trainer, run=first_layer_unstored, *, seed=0, samples=SAMPLES, link="he2-mix"):
    under_trial = TrainerUnderTrial(InProcessTrainer(trainer))
    under_trial.handle.fresh(seed)
    model = MultiIndexModel(link, DIM, seed=seed)
    return model, run(
        under_trial, model, samples, loss="huber", steps=STEPS, neurons=NEURONS, seed=seed
    )


def test_a_correct_trainer_stays_in_the_span():
    """Its gradient is orthogonal to the other directions: it is that of all d dimensions."""
    _, found = learned(Remembers)
    assert found.weights.shape[2] == 2 + NEURONS // 2 * (STEPS + 1) + OTHERS
    stray = np.abs(found.weights[..., -OTHERS:]).max(axis=(1, 2))
    assert (stray <= 1e-9 * np.abs(found.weights).max(axis=(1, 2))).all()


def test_labels_and_start_are_those_of_the_model():
    _, found = learned(Remembers)
    W0, X, y = Remembers.given
    hidden = X[:, :-OTHERS] @ found.model.subspace[:, :-OTHERS].T
    gap = found.model.link(hidden) - y
    np.testing.assert_allclose(gap, gap[0], atol=1e-9)  # the fitted constant
    np.testing.assert_allclose(np.linalg.norm(W0, axis=1), np.linalg.norm(W0[0]))
    np.testing.assert_array_equal(W0[: NEURONS // 2], W0[NEURONS // 2 :])


@pytest.mark.parametrize(
    ("trainer", "allowed"),
    [
        (Correct, 0.0),
        # Its noise is shown approximately: 8 directions stand for 35.
        (HalfOfTheRows, 0.3),
    ],
)
def test_alignments_have_the_law_of_stored_inputs(trainer, allowed):
    """Mean log-odds after every step, within 4 standard errors of the difference."""
    runs = 40
    odds = np.empty((2, runs, STEPS))
    for k in range(runs):
        model, stored = learned(trainer, first_layer, seed=k)
        _, found = learned(trainer, seed=runs + k)
        odds[0, k] = [log_odds(W, model.subspace) for W in stored[1:]]
        odds[1, k] = [log_odds(W, found.model.subspace) for W in found.weights[1:]]
    gap = np.abs(np.diff(odds.mean(axis=1), axis=0)[0])
    error = np.sqrt(odds.var(axis=1, ddof=1).sum(axis=0) / runs)
    assert (gap <= 4 * error + allowed).all(), (gap, error)


def test_what_the_trainer_lacks_is_not_applicable():
    class OddOnly(Correct):
        activations = ("tanh",)

    with pytest.raises(NotApplicable, match="activations"):
        learned(OddOnly)
