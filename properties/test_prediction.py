"""Test error of the trainer as a black box (abstract; theory.md §6 N1, §7)."""

import numpy as np

from mimverify import MultiIndexModel, default_samples
from mimverify.trial import (
    HALF_THE_DIGITS,
    WELL_CONDITIONED,
    Event,
    Rounding,
    above,
    below,
    claim,
    error_after_fit,
    explained_errors,
    fit_dtype,
    learning_cases,
)


@claim(
    id="test-error",
    statement=(
        "With n = d log² d samples for each stage, more than half of the variance is explained."
    ),
    source="abstract: 'agnostically learn the target … using Õ(d) samples'; theory.md §7",
    assumptions=("r ≥ 2", "Λ non-degenerate, κ ≤ 2", "one fixed set of hyper-parameters"),
    measures=(
        "Event per seed: normalised test error below 1/2 (1 = predicting the mean). Sequential "
        "binomial test of P ≥ 0.9 against P ≤ 0.5."
    ),
    needs="regression",
    decisions=Event("test error < 1/2", direction="below", quantity="test error"),
    cases=learning_cases(links=WELL_CONDITIONED, dims=(48, 56, 64), losses=("own",)),
    cost=1.5,
)
def test_error(trial, case):
    with explained_errors(trial, case.link, case.dim) as error:
        trial.decide(lambda seed: below(error(seed), 0.5))


@claim(
    id="test-error-decay",
    statement="The test error falls with d at n = d log² d.",
    source="abstract: 'o_d(1) test error'; theory.md §7",
    assumptions=("r ≥ 2", "Λ non-degenerate, κ ≤ 2", "one fixed set of hyper-parameters"),
    measures=(
        "Event per seed: the normalised test error at 4d is below that at d. Sequential "
        "binomial test of P ≥ 0.9 against P ≤ 0.5."
    ),
    needs="regression",
    decisions=Event(
        "test error at 4d below that at d", direction="below", quantity="test error at 4d"
    ),
    cases=learning_cases(links=WELL_CONDITIONED, dims=(24,), losses=("own",)),
    cost=3,
)
def test_error_decay(trial, case):
    with explained_errors(trial, case.link, 4 * case.dim) as error_at_4d:

        def falls(seed):
            large = error_at_4d(seed)
            return below(large, error_after_fit(trial, case.link, case.dim, seed))

        trial.decide(falls)


@claim(
    id="unlearnable-link",
    statement="sign(z1 z2 z3) is not learned from Õ(d) samples: Λ = 0 and u = v for every T.",
    source="theory.md §6, N1",
    assumptions=("n = d log² d for each stage", "gradient-based learning; no known U"),
    measures=(
        "Event per seed: less than a tenth of the variance is explained (normalised test error "
        "above 0.9; given the true subspace, a readout reaches about 0.5). Sequential "
        "binomial test of P ≥ 0.9 against P ≤ 0.5."
    ),
    needs="regression",
    decisions=Event("test error > 0.9", direction="above", quantity="test error"),
    cases=learning_cases(links=("sign-z1z2z3",), dims=(64, 48, 56), losses=("own",)),
    cost=1.5,
)
def unlearnable_link(trial, case):
    trial.decide(lambda seed: above(error_after_fit(trial, case.link, case.dim, seed), 0.9))


@claim(
    id="pointwise-prediction",
    statement="A prediction depends on its own row alone, not on the other rows of the batch.",
    source="theory.md §1: f is a function of x",
    assumptions=("n = d log² d for each stage",),
    measures=(
        "Largest |predict(X)_i − predict(X_b)_i| over rows in blocks b of 1, 7 and 56 of 64, as a "
        "fraction of the square root of float32's u times the largest |prediction|: half of the "
        "digits, since the dtype and the order of the prediction's summations are unknown; fails "
        "above 1."
    ),
    needs="regression",
    decisions=Rounding("prediction in pieces", bound="√u(float32) × largest"),
    cases=learning_cases(links=WELL_CONDITIONED, dims=(24, 32), losses=("own",)),
    cost=0.5,
)
def pointwise_prediction(trial, case):
    dtype = fit_dtype(trial.trainer)
    seed = trial.seed_of(case)
    model = MultiIndexModel(case.link, case.dim, seed=seed)
    data = model.sample(2 * default_samples(case.dim), dtype=dtype)
    trial.trainer.fit(data.X, data.y)
    # Blocks of different distributions, so that statistics of a batch change the predictions.
    X = model.sample(64, purpose="test", dtype=dtype).X
    X[1:8] += 1
    together = trial.trainer.predict(X).astype(np.float64)
    apart = np.concatenate([trial.trainer.predict(block) for block in np.split(X, [1, 8])])
    allowed = HALF_THE_DIGITS * np.abs(together).max()
    trial.within("prediction", apart, together, allowed, dtype=dtype)
