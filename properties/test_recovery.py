"""Many steps recover the whole span; one step does not (abstract; theory.md §4, D3–D5)."""

import numpy as np

from mimverify import MultiIndexModel, alignment, default_samples, default_steps
from mimverify import span_recovery as worst_cosine
from mimverify.trial import (
    WELL_CONDITIONED,
    Event,
    above,
    below,
    between,
    claim,
    first_layer,
    learning_cases,
    readout_error,
)

EXPONENT = Event("odds fall like d^-p, 1/2 < p < 3/2", quantity="exponent of odds in 1/d")
LOST = Event("alignment < 1/2 after one step", quantity="alignment after one step")
RISES = Event("one-step error rises with d", quantity="one-step error at 8d")
FALLS = Event("many-step error falls with d", quantity="many-step error at 8d")
DECAYS = Event("error falls over steps 1, 2, 3", quantity="1 − A, step to step")
FLOOR = Event("floor from step 8 to 16", quantity="1 − A, step 8 over 16")
SCALING = Event("floor falls like (d/n)^p, 1/2 < p < 3/2", quantity="exponent of floor in d/n")


@claim(
    id="span-recovery",
    statement=(
        "After T1 = ceil(log d / log(n/d)) + 2 steps on n = d log² d samples the neurons span "
        "the whole hidden subspace: even its worst direction is more signal than noise."
    ),
    source="abstract: 'eventually … recovers this span', 'the whole span'; theory.md §2, §4",
    assumptions=("r ≥ 2", "Λ non-degenerate, κ ≤ 2", "squared or Lipschitz loss"),
    measures=(
        "Event per seed: smallest squared cosine of the principal angles above 1/2. Sequential "
        "binomial test of P ≥ 0.9 against P ≤ 0.5."
    ),
    needs="first layer",
    decisions=Event(
        "worst squared cosine > 1/2 after T1 steps",
        direction="below",
        quantity="worst cos² after T1 steps",
    ),
    cases=learning_cases(links=WELL_CONDITIONED, dims=(96, 80, 112, 128)),
    cost=0.5,
)
def span_recovery(trial, case):
    n = default_samples(case.dim)
    steps = default_steps(n, case.dim)

    def recovered(seed):
        model = MultiIndexModel(case.link, case.dim, seed=seed)
        weights = first_layer(
            trial.trainer, model, n, loss=case.loss, steps=steps, neurons=16, seed=seed
        )
        return above(worst_cosine(weights[-1], model.subspace) ** 2, 0.5)

    trial.decide(recovered)


@claim(
    id="one-step-odds",
    statement=(
        "After one step at fixed n/d the odds A/(1 − A) of the alignment fall like 1/d: at "
        "large d most of the weight is noise."
    ),
    source="abstract: 'only … if the first layer is trained for more than O(1) steps'; "
    "theory.md §4, D3",
    assumptions=("n/d = 16", "Λ non-degenerate", "squared or Lipschitz loss"),
    measures=(
        "Events per seed: the exponent between d and 4d lies in (1/2, 3/2); the alignment at "
        "4d stays below 1/2. Sequential binomial tests of P ≥ 0.9 against P ≤ 0.5."
    ),
    needs="first layer",
    decisions=(EXPONENT, LOST),
    cases=learning_cases(links=WELL_CONDITIONED, dims=(32, 40)),
    cost=0.5,
)
def one_step_odds(trial, case):
    def outcomes(seed):
        odds = []
        for dim in (case.dim, 4 * case.dim):
            model = MultiIndexModel(case.link, dim, seed=seed)
            weights = first_layer(
                trial.trainer, model, 16 * dim, loss=case.loss, steps=1, neurons=128, seed=seed
            )
            aligned = alignment(weights[1], model.subspace)
            odds.append(aligned / max(1 - aligned, 1e-300))
        fall = np.log(max(odds[0], 1e-300) / max(odds[1], 1e-300)) / np.log(4)
        return {EXPONENT: between(fall, 0.5, 1.5), LOST: below(aligned, 0.5)}

    trial.decide(outcomes)


def errors(trial, case, dim, seed):
    """Test errors after one step and after T1 steps."""
    n = default_samples(dim)
    model = MultiIndexModel(case.link, dim, seed=seed)
    weights = first_layer(
        trial.trainer, model, n, loss=case.loss, steps=default_steps(n, dim), neurons=64, seed=seed
    )
    return [readout_error(model, weights[t], n, seed=seed) for t in (1, -1)]


@claim(
    id="one-step-error",
    statement=(
        "At n = d log² d the test error after one step rises with d, while after T1 steps it falls."
    ),
    source=(
        "abstract: 'optimal results can only be achieved if the first layer is trained for more "
        "than O(1) steps'; theory.md §7"
    ),
    assumptions=("Λ non-degenerate, κ ≤ 2", "reference stage 2 on fresh data"),
    measures=(
        "Events per seed, between d = 32 (mean of four) and 256: the one-step error rises; the "
        "T1-step error falls. Sequential binomial tests of P ≥ 0.9 against P ≤ 0.5."
    ),
    needs="first layer",
    decisions=(RISES, FALLS),
    cases=learning_cases(links=WELL_CONDITIONED, dims=(32,), losses=("huber",)),
    cost=10,
    profile="standard",
)
def one_step_error(trial, case):
    def outcomes(seed):
        # Small problems have the largest variance and the lowest cost: average a few.
        small = [errors(trial, case, case.dim, trial.seed_of(seed, k)) for k in range(4)]
        (one, many) = np.mean(small, axis=0)
        (one_large, many_large) = errors(trial, case, 8 * case.dim, seed)
        return {RISES: above(one_large, one), FALLS: below(many_large, many)}

    trial.decide(outcomes)


@claim(
    id="error-decay",
    statement=(
        "The error 1 − A falls with every early step, reaches a floor that more steps do not "
        "lift, and the floor falls like d/n."
    ),
    source="theory.md §4, D4; abstract: 'eliminates finite-sample noise'",
    assumptions=("Λ non-degenerate", "E T = 0", "n/d = 32 and 128"),
    measures=(
        "Events per seed: 1 − A falls over t = 1, 2, 3 at n/d = 128; it changes by less than a "
        "factor 2 from t = 8 to 16 at n/d = 32; the floor's exponent in d/n between n/d = 32 "
        "and 128 lies in (1/2, 3/2). Sequential binomial tests of P ≥ 0.9 against P ≤ 0.5."
    ),
    needs="first layer",
    decisions=(DECAYS, FLOOR, SCALING),
    cases=learning_cases(links=WELL_CONDITIONED, dims=(96, 112)),
    cost=3,
)
def error_decay(trial, case):
    def outcomes(seed):
        model = MultiIndexModel(case.link, case.dim, seed=seed)
        errors = []
        for ratio in (32, 128):
            weights = first_layer(
                trial.trainer, model, ratio * case.dim, loss=case.loss,
                steps=16, neurons=16, seed=seed,
            )  # fmt: skip
            # Clipped, since the errors are divided by one another.
            errors.append([max(1 - alignment(W, model.subspace), 1e-300) for W in weights])
        few, many = errors
        return {
            DECAYS: below(max(many[2] / many[1], many[3] / many[2]), 1.0),
            FLOOR: between(few[8] / few[16], 0.5, 2),
            SCALING: between(np.log(few[16] / many[16]) / np.log(4), 0.5, 1.5),
        }

    trial.decide(outcomes)
