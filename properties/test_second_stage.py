"""The second stage has data of its own (theory.md §2, stage 2)."""

import numpy as np

from mimverify import MultiIndexModel, default_samples, normalised_error
from mimverify.trial import claim, learning_cases

TEST_SAMPLES = 4096


@claim(
    id="fresh-readout",
    statement=(
        "The output weights are trained on stage 2's data alone: where those labels are "
        "independent of x, nothing is predicted, whatever the first layer has learned."
    ),
    source="abstract: 'layer-wise'; theory.md §2, stage 2",
    assumptions=("n = d log² d for each stage", "stage 2's labels shuffled apart from their rows"),
    measures=(
        "Event per seed: less than a tenth of the variance is explained (normalised test error "
        "above 0.9). Sequential binomial test of P ≥ 0.9 against P ≤ 0.5."
    ),
    direction="above",
    needs="regression",
    decisions=1,
    cost=1.5,
)
def test_fresh_readout(trial):
    def check(case):
        n = default_samples(case.dim)
        dtype = next(name for name in ("float64", "float32") if name in trial.trainer.dtypes)

        def learned_nothing(seed):
            model = MultiIndexModel(case.link, case.dim, seed=seed)
            data = model.sample(2 * n, dtype=dtype)
            y = data.y.copy()
            np.random.default_rng([seed, 7]).shuffle(y[n:])
            trial.trainer.fresh(seed)
            trial.trainer.fit(data.X, y)
            test = model.sample(TEST_SAMPLES, purpose="test", dtype=dtype)
            return normalised_error(trial.trainer.predict(test.X), test.y) > 0.9

        trial.decide("test error > 0.9", learned_nothing)

    trial.for_each(
        learning_cases(
            links=("he2-mix", "z1z2", "quadratic:1,-0.8"), dims=(48, 56, 64), losses=("own",)
        ),
        check,
    )
