"""The alignment at every step is the predicted one (theory.md §4, D1)."""

import numpy as np

from mimverify import MultiIndexModel, alignment
from mimverify.theory import predict_trajectory
from mimverify.trial import (
    DEVIATIONS,
    claim,
    first_layer,
    learning_cases,
    loss_used,
)

STEPS = 6
RATIO = 16  # n/d
NEURONS = 32  # symmetric: half of them are independent
BATCH = 4  # runs behind one event


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
    decisions=1,
    cost=4,
)
def test_predicted_trajectory(trial):
    def check(case):
        n = RATIO * case.dim
        loss = loss_used(trial.trainer, case.loss)
        predicted = predict_trajectory(case.link, loss, dim=case.dim, samples=n, steps=STEPS)
        mean, deviation = predicted.run_log_odds(NEURONS // 2)
        # 1 %, and what the expansion in 1/d may leave out: its last term and its remainder.
        slack = (
            0.01 / (1 - predicted.alignment)
            + np.abs(predicted.log_odds_shift)
            + predicted.remainder
        )
        allowed = DEVIATIONS * deviation / np.sqrt(BATCH) + slack
        far = trial.evidence.setdefault("largest_gap", {"ratio": 0.0, "t": None})

        def as_predicted(seed):
            odds = []
            for k in range(BATCH):
                run = trial.seed_of(seed, k)
                trial.trainer.fresh(run)
                model = MultiIndexModel(case.link, case.dim, seed=run)
                weights = first_layer(
                    trial.trainer, model, n, loss=case.loss, steps=STEPS, neurons=NEURONS, seed=run
                )
                aligned = np.array([alignment(W, model.subspace) for W in weights])
                aligned = np.clip(aligned, 1e-300, 1 - 1e-16)  # 0 and 1 are far from any prediction
                odds.append(np.log(aligned / (1 - aligned)))
            ratio = np.abs(np.mean(odds, axis=0) - mean) / allowed
            if ratio.max() > far["ratio"]:
                far.update(ratio=float(ratio.max()), t=int(ratio.argmax()))
            return bool(ratio.max() <= 1)

        trial.decide("every alignment is the predicted one", as_predicted)

    trial.for_each(
        learning_cases(
            links=("cos2z", "sign-z1z2", "z1z2"),
            dims=(256, 240),
            losses=("huber", "pseudo-huber", "log-cosh"),
        ),
        check,
    )
