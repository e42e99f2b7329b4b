"""One set of hyper-parameters learns random links (abstract; theory.md §2)."""

import numpy as np

from mimverify import (
    InputError,
    MultiIndexModel,
    default_samples,
    default_steps,
    span_recovery,
)
from mimverify.strategies import FAMILIES, choices, family_link, lies_inside
from mimverify.theory import label_measure, predict_span, predict_trajectory, sampled_law
from mimverify.trial import (
    DEVIATIONS,
    Event,
    Inconclusive,
    above,
    claim,
    first_layer,
    log_odds,
    loss_used,
)

DIM, NEURONS = 96, 32
SAMPLES = default_samples(DIM)
STEPS = default_steps(SAMPLES, DIM)
LINKS, MOST_CANDIDATES = 3, 120


def prediction(link, loss):
    """Mean and standard deviation of a run's log-odds of A_T by D1; None outside the assumptions.

    The truncation error of the expansion in 1/d is subtracted from the mean, which must exceed
    A_T = 1/2 by 3.5 deviations.
    """
    if not lies_inside(link, loss):
        return None
    predicted = predict_trajectory(link, loss, dim=DIM, samples=SAMPLES, steps=STEPS)
    mean, deviation = predicted.run_log_odds(NEURONS // 2)
    mean = mean - np.abs(predicted.log_odds_shift) - predicted.remainder
    if mean[STEPS] < DEVIATIONS * deviation[STEPS]:
        return None
    return float(mean[STEPS]), float(deviation[STEPS])


def links_inside(loss, seed):
    """(link, mean, standard deviation) of the first random links inside the assumptions."""
    rng = np.random.default_rng([seed])
    inside = []
    for _ in range(MOST_CANDIDATES):
        link = family_link(str(rng.choice(FAMILIES)), 1, int(rng.integers(2**16)))
        expected = prediction(link, loss)
        if expected is not None:
            inside.append((link, *expected))
        if len(inside) == LINKS:
            break
    return inside


@claim(
    id="agnostic",
    statement=(
        "One fixed set of hyper-parameters (loss, activation, d log² d samples, "
        "⌈log d/log(n/d)⌉ + 2 steps, m, ε0, a) recovers the hidden direction of random links."
    ),
    source="abstract: 'can agnostically learn the target', 'a general Gaussian Multi-index model'",
    assumptions=(
        "polynomials, trigonometric links, ReLU networks and compositions, r = 1",
        "Λ ≠ 0, T bounded, and D1 puts A_T above 1/2 by 3.5 standard deviations",
    ),
    measures=(
        "Event per seed: over three random links the log-odds of A_T are on average no more than "
        "3.5 predicted standard deviations below D1's, where A_T is still above 1/2. "
        "Sequential binomial test of P ≥ 0.9 against P ≤ 0.5."
    ),
    needs="first layer",
    decisions=Event(
        "every link's direction is recovered",
        direction="below",
        quantity="deviations above prediction",
    ),
    # The links derive from the case and the run's seed.
    cases=choices(range(1024)),
    cost=4,
)
def agnostic(trial, case):
    loss = loss_used(trial.trainer, "huber")
    inside = links_inside(loss, trial.seed_of("links", case))
    if len(inside) < LINKS:  # with squared loss T is rarely bounded: one link in five is inside
        raise Inconclusive(
            f"{len(inside)} of {MOST_CANDIDATES} random links are inside the assumptions for "
            f"{loss} loss"
        )
    trial.note(links=[link.name for link, _, _ in inside])

    # The mean of three has standard deviation 0.6; one link that is not learned is dozens of
    # deviations away, and shifts it below the bound.
    def recovered(seed):
        gaps = []
        for link, mean, deviation in inside:
            model = MultiIndexModel(link, DIM, seed=seed)
            weights = first_layer(
                trial.trainer, model, SAMPLES, loss=loss, steps=STEPS, neurons=NEURONS, seed=seed
            )
            gaps.append((log_odds(weights[-1], model.subspace) - mean) / deviation)
        return above(np.mean(gaps), -DEVIATIONS)

    trial.decide(recovered)


# With d log² d samples the weakest direction of most random links is lost to noise at this d. The
# constant in Õ(d), which the theorem leaves open, is one with which that of a good part is not.
SPAN_DIM, SPAN_NEURONS = 32, 32
SPAN_SAMPLES = 16 * default_samples(SPAN_DIM)
SPAN_STEPS = default_steps(SPAN_SAMPLES, SPAN_DIM)
RANKS = (2, 3)
LABEL_SETS, STARTS = 4, 50
# The prediction is of leading order in 1/d, and the log-odds of a worst direction are skewed to the
# left: twice the margin of a normal variable.
MARGIN = 2 * DEVIATIONS
FIRST_LOOK = 4096  # labels by which a candidate is screened


def worst_odds(cosines):
    """Log-odds of squared cosines; finite where a direction is lost altogether."""
    squares = np.clip(np.square(cosines), 1e-12, 1 - 1e-12)
    return np.log(squares / (1 - squares))


def signal_per_noise(law):
    """λ_r²/v of a sample's labels."""
    signal = np.einsum("n,ni,nj->ij", law.T, law.z, law.z) / len(law.T)
    return np.abs(np.linalg.eigvalsh(signal)).min() ** 2 / np.mean(law.T**2)


def is_recovered(link, loss):
    """Whether the link lies inside the assumptions, and a run's predicted worst squared cosine
    exceeds 1/2 by 7 standard deviations of its log-odds.
    """
    try:
        screened = sampled_law(link, loss, FIRST_LOOK)
    except InputError:  # constant labels
        return False
    # By D2 less signal than this is noise in all runs: no need to analyse and predict it.
    if signal_per_noise(screened) * SPAN_SAMPLES / SPAN_DIM < SPAN_DIM ** (1 / SPAN_STEPS):
        return False
    if not lies_inside(link, loss):
        return False
    predicted = predict_span(
        [
            label_measure(sampled_law(link, loss, SPAN_SAMPLES, seed=k), fourth_moments=False)
            for k in range(LABEL_SETS)
        ],
        SPAN_DIM, SPAN_SAMPLES, SPAN_STEPS, SPAN_NEURONS // 2, draws=LABEL_SETS * STARTS,
    )  # fmt: skip
    median, low = (float(worst_odds(column[-1])) for column in (predicted.median, predicted.low))
    return median > MARGIN * (median - low) / 1.96  # `low` leaves out 2.5 %


def spans_inside(loss, seed):
    """The first random link of each rank that is inside."""
    rng = np.random.default_rng([seed])
    inside = []
    for rank in RANKS:
        for _ in range(MOST_CANDIDATES):
            link = family_link(str(rng.choice(FAMILIES)), rank, int(rng.integers(2**16)))
            if is_recovered(link, loss):
                inside.append(link)
                break
    return inside


@claim(
    id="agnostic-span",
    statement=(
        "One fixed set of hyper-parameters (loss, activation, 16 d log² d samples, "
        "⌈log d/log(n/d)⌉ + 2 steps, m, ε0, a) recovers the whole hidden span of random links of "
        "rank 2 and 3."
    ),
    source=(
        "abstract: 'generic', 'a general Gaussian Multi-index model', 'recovers this span'; "
        "theory.md §1, §4, D1, D5"
    ),
    assumptions=(
        "polynomials, trigonometric links, ReLU networks and compositions, r = 2 and 3",
        "Λ of full rank, T bounded, and the span prediction puts the worst squared cosine above "
        "1/2 by 7 standard deviations",
    ),
    measures=(
        "Event per seed: for a random link of rank 2 and one of rank 3 the smallest squared cosine "
        "of the principal angles is above 1/2. Sequential binomial test of P ≥ 0.9 against P ≤ 0.5."
    ),
    needs="first layer",
    decisions=Event(
        "every link's whole span is recovered",
        direction="below",
        quantity="worst cos² after T1 steps",
    ),
    # The links derive from the case and the run's seed.
    cases=choices(range(1024)),
    cost=4,
)
def agnostic_span(trial, case):
    loss = loss_used(trial.trainer, "huber")
    inside = spans_inside(loss, trial.seed_of("links", case))
    if len(inside) < len(RANKS):  # with squared loss T is rarely bounded
        raise Inconclusive(
            f"of {MOST_CANDIDATES} random links of each rank {len(inside)} are inside the "
            f"assumptions for {loss} loss: expected one of rank 2 and one of rank 3"
        )
    trial.note(links=[link.name for link in inside])

    def recovered(seed):
        worst = []
        for link in inside:
            model = MultiIndexModel(link, SPAN_DIM, seed=seed)
            weights = first_layer(
                trial.trainer, model, SPAN_SAMPLES, loss=loss, steps=SPAN_STEPS,
                neurons=SPAN_NEURONS, seed=seed,
            )  # fmt: skip
            worst.append(span_recovery(weights[-1], model.subspace) ** 2)
        return above(min(worst), 0.5)

    trial.decide(recovered)
