"""Test error of the trainer as a black box (abstract; theory.md §6 N1, §7)."""

from mimverify import MultiIndexModel, default_samples, normalised_error
from mimverify.trial import claim, learning_cases

WELL_CONDITIONED = ("he2-mix", "z1z2", "quadratic:1,-0.8")
TEST_SAMPLES = 4096


def error_after_fit(trial, case, dim, seed):
    """Normalised test error after `fit` on both stages' data, stacked, d log² d rows each."""
    dtype = next(name for name in ("float64", "float32") if name in trial.trainer.dtypes)
    model = MultiIndexModel(case.link, dim, seed=seed)
    data = model.sample(2 * default_samples(dim), dtype=dtype)
    trial.trainer.fresh(seed)
    trial.trainer.fit(data.X, data.y)
    test = model.sample(TEST_SAMPLES, purpose="test", dtype=dtype)
    return normalised_error(trial.trainer.predict(test.X), test.y)


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
    direction="below",
    needs="regression",
    decisions=1,
    cost=1.5,
)
def test_test_error(trial):
    def check(case):
        trial.decide(
            "test error < 1/2",
            lambda seed: error_after_fit(trial, case, case.dim, seed) < 0.5,
        )

    trial.for_each(
        learning_cases(links=WELL_CONDITIONED, dims=(48, 56, 64), losses=("own",)), check
    )


@claim(
    id="test-error-decay",
    statement="The test error falls with d at n = d log² d.",
    source="abstract: 'o_d(1) test error'; theory.md §7",
    assumptions=("r ≥ 2", "Λ non-degenerate, κ ≤ 2", "one fixed set of hyper-parameters"),
    measures=(
        "Event per seed: the normalised test error at 4d is below that at d. Sequential "
        "binomial test of P ≥ 0.9 against P ≤ 0.5."
    ),
    direction="below",
    needs="regression",
    decisions=1,
    cost=3,
)
def test_test_error_decay(trial):
    def check(case):
        trial.decide(
            f"error at d = {4 * case.dim} below that at d = {case.dim}",
            lambda seed: (
                error_after_fit(trial, case, 4 * case.dim, seed)
                < error_after_fit(trial, case, case.dim, seed)
            ),
        )

    trial.for_each(learning_cases(links=WELL_CONDITIONED, dims=(24,), losses=("own",)), check)


@claim(
    id="unlearnable-link",
    statement="sign(z1 z2 z3) is not learned from Õ(d) samples: Λ = 0 and u = v for every T.",
    source="theory.md §6, N1",
    assumptions=("n = d log² d for each stage", "gradient-based learning; no known U"),
    measures=(
        "Event per seed: less than a tenth of the variance is explained (normalised test error "
        "above 0.9; with the true subspace in hand, a readout reaches about 0.5). Sequential "
        "binomial test of P ≥ 0.9 against P ≤ 0.5."
    ),
    direction="above",
    needs="regression",
    decisions=1,
    cost=1.5,
)
def test_unlearnable_link(trial):
    def check(case):
        trial.decide(
            "test error > 0.9",
            lambda seed: error_after_fit(trial, case, case.dim, seed) > 0.9,
        )

    trial.for_each(
        learning_cases(links=("sign-z1z2z3",), dims=(64, 48, 56), losses=("own",)), check
    )
