"""Many steps recover the whole span; one step does not (abstract; theory.md §4, D3–D5)."""

import numpy as np

from mimverify import MultiIndexModel, alignment, default_samples, default_steps, span_recovery
from mimverify.trial import (
    WELL_CONDITIONED,
    claim,
    first_layer,
    learning_cases,
    readout_error,
)


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
    direction="below",
    needs="first layer",
    decisions=1,
    cost=0.5,
)
def test_span_recovery(trial):
    def check(case):
        n = default_samples(case.dim)
        steps = default_steps(n, case.dim)

        def recovered(seed):
            model = MultiIndexModel(case.link, case.dim, seed=seed)
            weights = first_layer(
                trial.trainer, model, n, loss=case.loss, steps=steps, neurons=16, seed=seed
            )
            return span_recovery(weights[-1], model.subspace) ** 2 > 0.5

        trial.decide(f"worst squared cosine > 1/2 after {steps} steps", recovered)

    trial.for_each(learning_cases(links=WELL_CONDITIONED, dims=(96, 80, 112, 128)), check)


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
    decisions=2,
    cost=0.5,
)
def test_one_step_odds(trial):
    def check(case):
        exponent, lost = "odds fall like d^-p, 1/2 < p < 3/2", "alignment < 1/2 after one step"

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
            return {exponent: 0.5 < fall < 1.5, lost: aligned < 0.5}

        trial.decide_all({exponent: True, lost: True}, outcomes)

    trial.for_each(learning_cases(links=WELL_CONDITIONED, dims=(32, 40)), check)


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
    decisions=2,
    cost=10,
    profile="standard",
)
def test_one_step_error(trial):
    def check(case):
        rises, falls = "one-step error rises with d", "many-step error falls with d"

        def errors(case, dim, seed):
            """Test errors after one step and after T1 steps."""
            n = default_samples(dim)
            model = MultiIndexModel(case.link, dim, seed=seed)
            weights = first_layer(
                trial.trainer, model, n, loss=case.loss,
                steps=default_steps(n, dim), neurons=64, seed=seed,
            )  # fmt: skip
            return [readout_error(model, weights[t], n, seed=seed) for t in (1, -1)]

        def outcomes(seed):
            # Small problems vary most from seed to seed, and cost least: average a few.
            small = [errors(case, case.dim, trial.seed_of(seed, k)) for k in range(4)]
            (one, many) = np.mean(small, axis=0)
            (one_large, many_large) = errors(case, 8 * case.dim, seed)
            return {rises: one_large > one, falls: many_large < many}

        trial.decide_all({rises: True, falls: True}, outcomes)

    trial.for_each(learning_cases(links=WELL_CONDITIONED, dims=(32,), losses=("huber",)), check)


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
    decisions=3,
    cost=3,
)
def test_error_decay(trial):
    def check(case):
        falls, floor, scaling = (
            "error falls over steps 1, 2, 3",
            "floor from step 8 to 16",
            "floor falls like (d/n)^p, 1/2 < p < 3/2",
        )

        def outcomes(seed):
            model = MultiIndexModel(case.link, case.dim, seed=seed)
            errors = []
            for ratio in (32, 128):
                weights = first_layer(
                    trial.trainer, model, ratio * case.dim, loss=case.loss,
                    steps=16, neurons=16, seed=seed,
                )  # fmt: skip
                # An error of exactly zero would be a miracle, and must not divide.
                errors.append([max(1 - alignment(W, model.subspace), 1e-300) for W in weights])
            few, many = errors
            exponent = np.log(few[16] / many[16]) / np.log(4)
            return {
                falls: many[1] > many[2] > many[3],
                floor: 0.5 < few[8] / few[16] < 2,
                scaling: 0.5 < exponent < 1.5,
            }

        trial.decide_all({falls: True, floor: True, scaling: True}, outcomes)

    trial.for_each(learning_cases(links=WELL_CONDITIONED, dims=(96, 112)), check)
