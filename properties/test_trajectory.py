"""The alignment at every step is the predicted one (theory.md §4, D1)."""

import numpy as np

from mimverify import MultiIndexModel
from mimverify.theory import predict_trajectory
from mimverify.trial import (
    DEVIATIONS,
    Event,
    claim,
    first_layer,
    learning_cases,
    log_odds,
    loss_used,
    near_odds,
)

STEPS = 6
RATIO = 16  # n/d
NEURONS = 32  # symmetric: half of them are independent
BATCH = 4  # runs behind one event
AS_PREDICTED = Event("every alignment is the predicted one", quantity="alignment after 6 steps")


def cases(trainer):
    """Without sign(z1 z2) for l1 alone: no constant makes the mean of T vanish with two labels."""
    two_labels = () if trainer.losses == ("l1",) else ("sign-z1z2",)
    links = ("cos2z", *two_labels, "z1z2")
    return learning_cases(
        links=links, dims=(256, 240), losses=("huber", "pseudo-huber", "log-cosh")
    )


@claim(
    id="predicted-trajectory",
    statement=(
        "At every step the alignment is A_t = tr(U H^{2t} Uᵀ)/tr(H^{2t}) by the deterministic "
        "equivalents of both traces and their expansion in 1/d, without a free constant."
    ),
    source="theory.md §4, D1; abstract: 'can perform a power-iteration process'",
    assumptions=("n/d = 16", "d ≈ 256", "isotropic start, small", "β1 = 1/η1"),
    measures=(
        "Event per four runs: at every t ≤ 6 the mean log-odds of the alignment are within 3.5 "
        "predicted standard deviations of the prediction, plus 1 % of A_t and the last terms of "
        "the expansion in 1/d. Sequential binomial test of P ≥ 0.9 against P ≤ 0.5."
    ),
    needs="first layer",
    decisions=AS_PREDICTED,
    cases=cases,
    cost=4,
)
def predicted_trajectory(trial, case):
    n = RATIO * case.dim
    loss = loss_used(trial.trainer, case.loss)
    predicted = predict_trajectory(case.link, loss, dim=case.dim, samples=n, steps=STEPS)
    mean, deviation = predicted.run_log_odds(NEURONS // 2)
    # 1 %, and the truncation error of the expansion in 1/d: its last term and its remainder.
    slack = (
        0.01 / (1 - predicted.alignment) + np.abs(predicted.log_odds_shift) + predicted.remainder
    )
    allowed = DEVIATIONS * deviation / np.sqrt(BATCH) + slack

    def as_predicted(seed):
        runs = []
        for k in range(BATCH):
            run = trial.seed_of(seed, k)
            trial.trainer.fresh(run)
            model = MultiIndexModel(case.link, case.dim, seed=run)
            weights = first_layer(
                trial.trainer, model, n, loss=case.loss, steps=STEPS, neurons=NEURONS, seed=run
            )
            runs.append([log_odds(W, model.subspace) for W in weights])
        odds = np.mean(runs, axis=0)
        every = (np.abs(odds - mean) / allowed).max() <= 1
        return near_odds(odds[-1], mean[-1], allowed[-1]).and_also(every, "so at every t ≤ 6")

    trial.decide(as_predicted)
