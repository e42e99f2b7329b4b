"""The alignment at every step is the predicted one (theory.md §4, D1)."""

from mimverify import MultiIndexModel
from mimverify.theory import predict_trajectory
from mimverify.trial import (
    as_predicted,
    claim,
    deviation_of_odds,
    first_layer,
    learning_cases,
    log_odds,
    loss_used,
    prediction_accuracy,
)

STEPS = 6
RATIO = 16  # n/d
NEURONS = 32  # symmetric: half of them are independent


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
        "Per run the squared deviation of the alignment's log-odds from the prediction, in units "
        "of the predicted variance plus the square of the prediction's accuracy (1 % of A_t and "
        "the last terms of the expansion in 1/d), each at most 9, mean over t = 1, …, 6: 1 under "
        "the theory. Test by betting of a mean ≤ 1.5 against ≥ 3.5."
    ),
    needs="first layer",
    decisions=as_predicted("alignments at all steps", quantity="alignment after 6 steps"),
    cases=cases,
    cost=3,
)
def predicted_trajectory(trial, case):
    n = RATIO * case.dim
    loss = loss_used(trial.trainer, case.loss)
    predicted = predict_trajectory(case.link, loss, dim=case.dim, samples=n, steps=STEPS)
    mean, deviation = predicted.run_log_odds(NEURONS // 2)
    accuracy = prediction_accuracy(predicted)

    def deviates(seed):
        model = MultiIndexModel(case.link, case.dim, seed=seed)
        weights = first_layer(
            trial.trainer, model, n, loss=case.loss, steps=STEPS, neurons=NEURONS, seed=seed
        )
        odds = [log_odds(W, model.subspace) for W in weights[1:]]  # the start is given
        return deviation_of_odds(odds, mean[1:], deviation[1:], accuracy[1:])

    trial.decide(deviates)
