"""Inputs that are not Gaussian: universality, and where it ends (theory.md §11)."""

import math

from mimverify import MultiIndexModel, get_inputs
from mimverify.theory import kurtosis_shift, predict_trajectory
from mimverify.trial import (
    LIPSCHITZ_LOSSES,
    Event,
    as_predicted,
    claim,
    deviation_of_odds,
    first_layer,
    learning_cases,
    log_odds,
    loss_used,
    odds_below,
    prediction_accuracy,
)

STEPS, NEURONS, RATIO = 5, 32, 16
NOISE = 0.3  # without it, the labels of the control are constant

# The smallest kurtosis that there is, and a large one.
LAWS = ("rademacher", "gaussian-mixture")
AS_GAUSSIAN = {
    law: as_predicted(f"{law} inputs, all steps", quantity=f"alignment after 5 steps, {law}")
    for law in LAWS
}
AT_CHANCE = Event(
    "signs along an axis stay at chance",
    direction="below",
    quantity="alignment after 5 steps, signs and an axis",
)


def predictions(case, loss):
    """Of one run's log-odds at all steps for each law: mean, deviation, accuracy of the mean."""
    problem = {"dim": case.dim, "samples": RATIO * case.dim, "steps": STEPS}
    gaussian = predict_trajectory(case.link, loss, **problem)
    mean, deviation = gaussian.run_log_odds(NEURONS // 2)
    accuracy = prediction_accuracy(gaussian)
    effect = kurtosis_shift(case.link, loss, excess_kurtosis=1.0, **problem)  # it is linear
    found = {}
    for law in LAWS:
        kurtosis = get_inputs(law).excess_kurtosis
        assert kurtosis is not None  # finite
        shift = kurtosis * effect
        # As of every expansion in 1/d here, the last term is counted among what is not known.
        found[law] = mean + shift, deviation, accuracy + abs(shift)
    return found


@claim(
    id="universal-inputs",
    statement=(
        "With hidden directions spread out over all coordinates, independent standardised entries "
        "of any law with enough moments give the alignments of Gaussian inputs, up to a first-"
        "order effect of their kurtosis, of order 1/d. Along a coordinate axis they need not: "
        "cos 2z of a sign is constant, and nothing is learned."
    ),
    source="theory.md §11; §4, D1; §1: 'x ~ N(0, I_d)'",
    assumptions=(
        "entries ±1, or of a mixture of two normals",
        "directions spread out (Haar), or one coordinate axis",
        "n/d = 16",
        "isotropic start, small",
        "β1 = 1/η1",
    ),
    measures=(
        "Per run the squared deviation of the alignment's log-odds from D1's for Gaussian inputs, "
        "with the kurtosis's effect added, in units of D1's variance plus the square of its "
        "accuracy (1 % of A_t, the last terms of the expansion in 1/d, and that effect), each at "
        "most 9, mean over t = 1, …, 5: 1 under the theory. Test by betting of a mean ≤ 1.5 "
        "against ≥ 3.5. Event per run with signs, an axis and noisy labels: A_5, whose mean is "
        "exactly 1/d, is below the midpoint of D1's and 1/d, on the scale of log-odds: P ≥ 0.9 by "
        "Markov's inequality. Sequential binomial test against P ≤ 0.5."
    ),
    needs="first layer",
    decisions=(*AS_GAUSSIAN.values(), AT_CHANCE),
    cases=learning_cases(links=("cos2z",), dims=(96, 88, 104), losses=LIPSCHITZ_LOSSES),
    cost=2,
    profile="standard",
)
def universal_inputs(trial, case):
    n = RATIO * case.dim
    predicted = predictions(case, loss_used(trial.trainer, case.loss))
    # At d = 96 A is 0.85 by D1 and 0.19 at the midpoint; 1/d over that is 0.06.
    middle = (predicted["rademacher"][0][STEPS] - math.log(case.dim - 1)) / 2

    def train(seed, **inputs):
        model = MultiIndexModel(case.link, case.dim, seed=seed, **inputs)
        weights = first_layer(
            trial.trainer, model, n, loss=case.loss, steps=STEPS, neurons=NEURONS, seed=seed
        )
        return [log_odds(W, model.subspace) for W in weights[1:]]  # the start is given

    def outcomes(seed):
        seen = {
            AS_GAUSSIAN[law]: deviation_of_odds(
                train(seed, inputs=law), *(values[1:] for values in predicted[law])
            )
            for law in LAWS
        }
        control = train(seed, inputs="rademacher", subspace="axes", noise=NOISE)
        return seen | {AT_CHANCE: odds_below(control[-1], middle)}

    trial.decide(outcomes)
