"""Sample sizes: for few steps, with label noise, and at the limit (theory.md §4 D1–D3, §5)."""

import math

import numpy as np

from mimverify.theory import (
    analyse_transform,
    label_information,
    label_law,
    label_measure,
    n_half,
    predict_trajectory,
)
from mimverify.trial import (
    DEVIATIONS,
    LIPSCHITZ_LOSSES,
    Event,
    above,
    as_predicted,
    below,
    claim,
    deviation_of_odds,
    learning_cases,
    loss_used,
    mean_log_odds,
    near_odds,
    prediction_accuracy,
)

# The factor on the dimension for each T: one step takes d² samples.
FACTORS = {1: 2, 2: 4, 3: 4}
HALF_LEARNED = Event("A_T is half at n_half for T = 1, 2, 3", quantity="alignment at 4d, T = 3")
BELOW = Event("below the limit A vanishes", quantity="fall of log-odds to 8d at α_c/2")
ABOVE = Event("above the threshold A stays", quantity="fall of log-odds to 8d at 3 α_GD")


def predictions_at_half(case, loss, neurons):
    """(T, d, n, predicted log-odds, allowed gap) at n = n_half, for each T at two dimensions."""
    measure = label_measure(label_law(case.link, loss), fourth_moments=False)
    plan = []
    for steps, factor in FACTORS.items():
        for dim in (case.dim, factor * case.dim):
            half = n_half(measure, dim, steps)
            assert half is not None  # Λ ≠ 0
            n = round(half)
            predicted = predict_trajectory(case.link, loss, dim=dim, samples=n, steps=steps)
            mean, deviation = (array[-1] for array in predicted.run_log_odds(neurons // 2))
            slack = prediction_accuracy(predicted)[-1]
            plan.append((steps, dim, n, mean, DEVIATIONS * deviation + slack))
    return plan


@claim(
    id="sample-exponents",
    statement=(
        "T steps need n_half(d, T) samples for A_T = 1/2, and n_half grows like d^(1 + 1/T): "
        "along it A_T neither vanishes nor saturates, for T = 1, 2, 3."
    ),
    source=(
        "abstract: 'optimal results can only be achieved if the first layer is trained for more "
        "than O(1) steps'; theory.md §4, D3"
    ),
    assumptions=("r = 1", "Λ ≠ 0", "Lipschitz loss", "isotropic start, small", "β1 = 1/η1"),
    measures=(
        "Event per run at d and at 4d (2d for T = 1) for each T, n = n_half of D1: the log-odds "
        "of A_T are within 3.5 predicted standard deviations of the prediction, plus 1 % of A_T "
        "and the last terms of the expansion in 1/d. Sequential binomial test of P ≥ 0.9 "
        "against P ≤ 0.5."
    ),
    needs="first layer",
    holds=lambda case: case.rank == 1,
    decisions=HALF_LEARNED,
    cases=learning_cases(links=("cos2z", "abs"), dims=(24, 28, 32), losses=LIPSCHITZ_LOSSES),
    cost=2,
)
def sample_exponents(trial, case):
    neurons = 64  # half of them are independent
    plan = predictions_at_half(case, loss_used(trial.trainer, case.loss), neurons)

    # Six normal variables within 3.5 deviations each: P > 0.997.
    def half_learned(seed):
        seen = []
        for steps, dim, n, mean, allowed in plan:
            odds = mean_log_odds(
                trial, case.link, dim, n, seed=seed, batch=1,
                loss=case.loss, steps=steps, neurons=neurons,
            )[-1]  # fmt: skip
            seen.append(near_odds(odds, mean, allowed))
        return seen[-1].and_also(all(s.happened for s in seen), "so for every T and d")

    trial.decide(half_learned)


@claim(
    id="label-noise",
    statement=(
        "Label noise raises the samples that T steps need to the n_half of the noisy labels' law, "
        "and no further."
    ),
    source="theory.md §1, §4, D1; abstract: 'eliminates finite-sample noise'",
    assumptions=("r = 1", "Gaussian noise of standard deviation 1", "Lipschitz loss"),
    measures=(
        "Per run with n = n_half(d, T = 3) of the noisy labels the squared deviation of the "
        "log-odds of A_3 from D1's for these labels, in units of D1's variance plus the square of "
        "its accuracy, at most 9: 1 under the theory. Test by betting of a mean ≤ 1.5 against "
        "≥ 3.5."
    ),
    needs="first layer",
    holds=lambda case: case.rank == 1,
    decisions=as_predicted("A_3 at the noisy labels' n_half", quantity="alignment after 3 steps"),
    cases=learning_cases(links=("cos2z",), dims=(64, 56, 72), losses=LIPSCHITZ_LOSSES),
    cost=2,
    profile="standard",
)
def label_noise(trial, case):
    noise, steps, neurons = 1.0, 3, 64
    loss = loss_used(trial.trainer, case.loss)
    law = label_law(case.link, loss, noise=noise)
    half = n_half(label_measure(law, fourth_moments=False), case.dim, steps)
    assert half is not None  # Λ ≠ 0 with noise as well
    n = round(half)
    predicted = predict_trajectory(
        case.link, loss, dim=case.dim, samples=n, steps=steps, noise=noise
    )
    mean, deviation = (array[steps] for array in predicted.run_log_odds(neurons // 2))
    accuracy = prediction_accuracy(predicted)[steps]

    # Without noise A_3 would be 1.8 of log-odds higher: six deviations.
    def deviates(seed):
        odds = mean_log_odds(
            trial, case.link, case.dim, n, seed=seed, batch=1, noise=noise,
            loss=case.loss, steps=steps, neurons=neurons,
        )[steps]  # fmt: skip
        return deviation_of_odds(odds, mean, deviation, accuracy)

    trial.decide(deviates)


def ratios_around_the_limit(case, loss):
    """n/d at half of the limit, and at three times gradient descent's own threshold."""
    limit = label_information(case.link).alpha_c
    threshold = analyse_transform(case.link, loss).alpha_gd
    assert limit is not None
    assert threshold is not None  # T is bounded
    return {BELOW: limit / 2, ABOVE: 3 * threshold}


def many_steps(dim):
    """T = ⌈log2 d⌉."""
    return math.ceil(math.log2(dim))


@claim(
    id="information-limit",
    statement=(
        "Below the limit n = α_c d nothing is learned, however many the steps: A falls with d. "
        "At three times gradient descent's own threshold α_GD A does not fall."
    ),
    source=(
        "abstract: 'both align with the information-theoretic limit up to leading order'; "
        "theory.md §5; §6, N5"
    ),
    assumptions=("r = 1", "E[z | y] = 0", "Lipschitz loss", "T = ⌈log2 d⌉"),
    measures=(
        "Events at d and 8d: at α_c/2 the mean log-odds of twelve runs fall, and at 8d they "
        "are below the midpoint of the predictions for both ratios; at 3 α_GD those of six runs "
        "fall by less than half of log 8 (which 1/d would give) and are above the midpoint. "
        "Sequential binomial tests of P ≥ 0.9 against P ≤ 0.5."
    ),
    needs="first layer",
    holds=lambda case: case.rank == 1,
    decisions=(BELOW, ABOVE),
    cases=learning_cases(links=("cos2z",), dims=(16,), losses=LIPSCHITZ_LOSSES),
    cost=3,
    profile="standard",
)
def information_limit(trial, case):
    neurons, factor = 16, 8
    loss = loss_used(trial.trainer, case.loss)
    ratios, large = ratios_around_the_limit(case, loss), factor * case.dim
    predicted = [
        predict_trajectory(
            case.link, loss, dim=large, samples=int(ratio * large), steps=many_steps(large)
        ).run_log_odds(neurons // 2)[0][-1]
        for ratio in ratios.values()
    ]
    middle = np.mean(predicted)
    # The standard deviation of one run's log-odds is about 1.4 at d and 1 at 8d below the limit,
    # where they fall by 1.2 or more; and 0.6 and 0.5 above the threshold: fewer runs suffice.
    batches = {BELOW: 12, ABOVE: 6}

    def outcomes(seed):
        small_odds, large_odds = (
            {
                event: mean_log_odds(
                    trial, case.link, dim, int(ratio * dim), seed=seed, batch=batches[event],
                    loss=case.loss, steps=many_steps(dim), neurons=neurons,
                )[-1]
                for event, ratio in ratios.items()
            }
            for dim in (case.dim, large)
        )  # fmt: skip
        fall = {event: small_odds[event] - large_odds[event] for event in ratios}
        half = math.log(factor) / 2
        return {
            BELOW: above(fall[BELOW], 0).and_also(
                large_odds[BELOW] < middle, "below the midpoint at 8d"
            ),
            ABOVE: below(fall[ABOVE], half).and_also(
                large_odds[ABOVE] > middle, "above the midpoint at 8d"
            ),
        }

    trial.decide(outcomes)
