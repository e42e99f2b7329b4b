"""The limit of many steps, and the effect of reusing the samples (theory.md §4)."""

import math

import numpy as np

from mimverify import MultiIndexModel, alignment
from mimverify.statistics import dkw_radius
from mimverify.theory import (
    analyse_transform,
    error_floor,
    predict_trajectory,
)
from mimverify.trial import (
    LIPSCHITZ_LOSSES,
    Event,
    as_predicted,
    below,
    between,
    claim,
    deviation_of_odds,
    first_layer,
    label_covariance,
    learning_cases,
    loss_used,
    mean_log_odds,
    near,
    prediction_accuracy,
    training_data,
)

FRACTION = Event("fraction at the second direction", quantity="neurons at the second direction")
CONDITION = Event("cond(W Uᵀ) grows like κ^T", quantity="growth of log cond over log κ")


@claim(
    id="error-floor",
    statement="Many steps on the same data end at 1 − A = (d/n) u/λ², whatever their number.",
    source="theory.md §4, D4; abstract: 'eliminates finite-sample noise'",
    assumptions=("r = 1", "E T = 0", "n/d = 64", "Lipschitz loss"),
    measures=(
        "Per run the squared deviation of the log-odds of A_T from the floor's, in units of the "
        "predicted variance plus the squared distance between the floor and D1 at T = 12, each at "
        "most 9, mean over T = 6 and 12: 1 under the theory. Test by betting of a mean ≤ 1.5 "
        "against ≥ 3.5."
    ),
    needs="first layer",
    holds=lambda case: case.rank == 1,
    decisions=as_predicted("1 − A at the floor", quantity="alignment after many steps"),
    cases=learning_cases(links=("cos2z", "abs"), dims=(64, 56, 72), losses=LIPSCHITZ_LOSSES),
    cost=2,
)
def reaches_error_floor(trial, case):
    steps, ratio, neurons = 12, 64, 8
    n = ratio * case.dim
    loss = loss_used(trial.trainer, case.loss)
    moments = analyse_transform(case.link, loss)
    floor = float(error_floor(moments.eigenvalues, moments.u, dim=case.dim, samples=n)[0])
    at_the_floor = np.log(1 / floor - 1)
    predicted = predict_trajectory(case.link, loss, dim=case.dim, samples=n, steps=steps)
    mean, deviation = predicted.run_log_odds(neurons // 2)
    # The floor is of first order in d/n; D1 has the higher orders.
    accuracy = abs(at_the_floor - mean[steps])

    def deviates(seed):
        odds = mean_log_odds(
            trial, case.link, case.dim, n, seed=seed, batch=1,
            loss=case.loss, steps=steps, neurons=neurons,
        )  # fmt: skip
        seen = odds[[steps // 2, steps]]
        return deviation_of_odds(seen, at_the_floor, deviation[steps], accuracy)

    trial.decide(deviates)


@claim(
    id="collapse",
    statement=(
        "Neurons collapse onto the leading direction: of those that start at random a fraction "
        "(2/π) arctan(|λ_2/λ_1|^T) is nearer to the second, and cond(W Uᵀ) grows like κ^T."
    ),
    source="theory.md §4, D5",
    assumptions=("r = 2", "|λ_1| > |λ_2| > 0", "n/d = 64", "isotropic start, small"),
    measures=(
        "Events per seed, with λ_k and directions of H of the same data: at T = 12 "
        "the fraction is nearer to the prediction than to 1/2, where no neuron has moved; "
        "between T = 4 and 12 log cond(W Uᵀ) grows by 1/2 to 3/2 of log κ a step. Sequential "
        "binomial tests of P ≥ 0.9 against P ≤ 0.5."
    ),
    needs="first layer",
    holds=lambda case: case.rank == 2,
    decisions=(FRACTION, CONDITION),
    cases=learning_cases(
        links=("he2-mix", "quadratic:1,-0.6"), dims=(48, 40), losses=LIPSCHITZ_LOSSES
    ),
)
def collapse(trial, case):
    early, late, ratio, neurons = 4, 12, 64, 64
    loss = loss_used(trial.trainer, case.loss)

    # Given H the 32 independent neurons are a binomial sample of the fraction, at most 0.1
    # here: exceeding the midpoint has probability below 0.001. The only noise of the condition
    # number's growth is that inside U, of order d/n.
    def outcomes(seed):
        model = MultiIndexModel(case.link, case.dim, seed=seed)
        n = ratio * case.dim
        X, y = training_data(model, n, loss=loss, seed=seed)
        values, vectors = np.linalg.eigh(label_covariance(X, y, loss=loss))
        second, first = np.argsort(np.abs(values))[-2:]
        weights = first_layer(
            trial.trainer, model, n, loss=case.loss, steps=late, neurons=neurons, seed=seed
        ).astype(float)
        kappa = abs(values[first] / values[second])
        along = np.abs(weights[late, : neurons // 2] @ vectors[:, [first, second]])
        seen = np.mean(along[:, 1] > along[:, 0])
        predicted = 2 / np.pi * np.arctan(kappa**-late)
        growth = np.diff(
            [np.log(np.linalg.cond(weights[t] @ model.subspace.T)) for t in (early, late)]
        )[0]
        return {
            FRACTION: near(seen, predicted, (0.5 - predicted) / 2),
            CONDITION: between(growth / (late - early) / np.log(kappa), 0.5, 1.5),
        }

    trial.decide(outcomes)


@claim(
    id="reused-samples",
    statement=(
        "Every step uses all samples again: the odds follow D1, with its Catalan factors, and "
        "not those of fresh samples at every step, which grow faster."
    ),
    source="theory.md §4, D1 and D7; §2: 'full-batch gradient descent'",
    assumptions=("r = 1", "E T = 0", "n/d = 8", "isotropic start, small", "β1 = 1/η1"),
    measures=(
        "Per run the squared deviation of the log-odds of A_5 from D1's, in units of D1's variance "
        "plus the square of its accuracy, cut at 9: 1 for reused samples, near 9 by D7. Test by "
        "betting of a mean ≤ 1.5 against ≥ 3.5."
    ),
    needs="first layer",
    holds=lambda case: case.rank == 1,
    decisions=as_predicted("A_5 of reused samples", quantity="alignment after 5 steps"),
    cases=learning_cases(links=("cos2z",), dims=(128, 112, 144), losses=("squared",)),
    cost=2,
)
def reused_samples(trial, case):
    steps, ratio, neurons = 5, 8, 64
    n = ratio * case.dim
    loss = loss_used(trial.trainer, case.loss)
    predicted = predict_trajectory(case.link, loss, dim=case.dim, samples=n, steps=steps)
    mean, deviation = (array[steps] for array in predicted.run_log_odds(neurons // 2))
    accuracy = prediction_accuracy(predicted)[steps]

    # Fresh samples at every step would be three deviations away, with any loss: 0.8 of log-odds, of
    # 0.24 with the squared one.
    def deviates(seed):
        odds = mean_log_odds(
            trial, case.link, case.dim, n, seed=seed, batch=1,
            loss=case.loss, steps=steps, neurons=neurons,
        )[steps]  # fmt: skip
        return deviation_of_odds(odds, mean, deviation, accuracy)

    trial.decide(deviates)


@claim(
    id="single-neuron",
    statement=(
        "For r = 1 the alignment of one neuron is A_∞ x/(x + B), x ~ χ²_1, with A_∞ and B given "
        "by H; the neurons of one run are independent given H."
    ),
    source="theory.md §4, D1: 'one neuron, r = 1'",
    assumptions=("r = 1", "isotropic start, small", "β1 = 1/η1", "most of W is noise"),
    measures=(
        "Event per run: at T = 2 the Kolmogorov–Smirnov distance of 64 independent neurons to "
        "the law for H of the same data is below the radius that the law itself "
        "exceeds with probability 0.001 (Dvoretzky–Kiefer–Wolfowitz). Sequential binomial test of "
        "P ≥ 0.9 against P ≤ 0.5."
    ),
    needs="first layer",
    holds=lambda case: case.rank == 1,
    decisions=Event("neurons follow the law of one", quantity="D to the law of one neuron"),
    cases=learning_cases(links=("cos2z", "abs"), dims=(96, 80, 112), losses=LIPSCHITZ_LOSSES),
    cost=0.5,
)
def single_neuron(trial, case):
    steps, ratio, neurons = 2, 16, 128
    loss = loss_used(trial.trainer, case.loss)
    independent = neurons // 2
    # The radius is exceeded with probability at most 0.001, whatever the law.
    radius = dkw_radius(independent, 1e-3)

    def follows(seed):
        model = MultiIndexModel(case.link, case.dim, seed=seed)
        n = ratio * case.dim
        X, y = training_data(model, n, loss=loss, seed=seed)
        H = label_covariance(X, y, loss=loss)
        weights = first_layer(
            trial.trainer, model, n, loss=case.loss, steps=steps, neurons=neurons, seed=seed
        )
        seen = [alignment(weights[steps, j : j + 1], model.subspace) for j in range(independent)]
        law = law_of_one_neuron(np.array(seen), *limit_and_noise(H, model.subspace, steps))
        order = np.sort(law)
        ranks = np.arange(1, independent + 1) / independent
        distance = max(np.max(ranks - order), np.max(order - ranks + 1 / independent))
        return below(distance, radius)

    trial.decide(follows)


def limit_and_noise(H, subspace, steps):
    """A_∞ = (u·v̂)² and B of one neuron after so many steps of power iteration on H.

    Its component along the leading eigenvector v̂ is a χ²_1 variable; the other directions are
    its noise.
    """
    values, vectors = np.linalg.eigh(H)
    powers = (np.abs(values) / np.abs(values).max()) ** (2 * steps)
    overlap = (subspace @ vectors)[0] ** 2
    lead = int(np.abs(values).argmax())
    return overlap[lead], powers.sum() - powers[lead]


def law_of_one_neuron(aligned, limit, noise):
    """P(A ≤ aligned) for A = limit · x/(x + noise), x ~ χ²_1."""
    fraction = np.clip(aligned / limit, 0, 1 - 1e-12)
    odds = noise * fraction / (1 - fraction)
    return np.array([math.erf(math.sqrt(x / 2)) for x in odds])  # of χ²_1
