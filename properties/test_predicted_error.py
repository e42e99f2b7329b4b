"""The test error is no larger than the theorem's algorithm's (theory.md §7, P1)."""

import numpy as np

from mimverify import Link, MultiIndexModel, default_steps, normalised_error
from mimverify.theory import predict_test_error
from mimverify.trial import Event, below, claim, learning_cases

# An odd part, which needs biases; curvature that a large penalty flattens; and n/d at which one
# step is not enough, while the error after three is small.
SHIFTED = Link("cos(1.5z + ½)", 1, lambda z: np.cos(1.5 * z[:, 0] + 0.5))
RATIO, TEST_ROWS = 100, 2048
NEURONS, READOUT_NEURONS, RIDGE = 32, 128, 1e-3
RUNS = 24  # predicted: their deviation is known to a sixth


@claim(
    id="predicted-test-error",
    statement=(
        "The error after fit is no larger than what theory predicts for the theorem's algorithm "
        "with 32 neurons, 128 random features and a ridge of 1e-3, without training it."
    ),
    source="theory.md §7, P1; §2, stage 1 and stage 2; abstract: 'o_d(1) test error'",
    assumptions=(
        "y = cos(1.5 z + ½), noiseless",
        "n/d = 100 in each stage",
        "T1 = ⌈log d/log(n/d)⌉ + 2 steps or more that do as well",
        "no poorer than m = 32, p = 128, ridge 1e-3",
    ),
    measures=(
        "Event per seed: the normalised test error is below the mean of 24 predicted runs plus "
        "two of their standard deviations (a good 95 % of runs). Sequential binomial test of "
        "P ≥ 0.9 against P ≤ 0.5."
    ),
    needs="regression",
    decisions=Event("error as predicted or less", direction="below", quantity="test error"),
    cases=learning_cases(links=("shifted-cosine",), dims=(48, 44, 52), losses=("own",)),
    cost=1.5,
)
def predicted_test_error(trial, case):
    n = RATIO * case.dim
    dtype = next(name for name in ("float64", "float32") if name in trial.trainer.dtypes)
    predicted = predict_test_error(
        SHIFTED, "huber", dim=case.dim, samples=n, steps=default_steps(n, case.dim),
        neurons=NEURONS, readout_neurons=READOUT_NEURONS, ridge=RIDGE,
        test_samples=TEST_ROWS, runs=RUNS, seed=trial.seed_of(case),
    )  # fmt: skip
    upper = predicted.values.mean() + 2 * predicted.values.std(ddof=1)
    trial.note(predicted_test_error=predicted.to_json()["test_error"])

    def as_predicted(seed):
        model = MultiIndexModel(SHIFTED, case.dim, seed=seed)
        data = model.sample(2 * n, dtype=dtype)
        trial.trainer.fit(data.X, data.y)
        test = model.sample(TEST_ROWS, purpose="test", dtype=dtype)
        return below(normalised_error(trial.trainer.predict(test.X), test.y), upper)

    trial.decide(as_predicted)
