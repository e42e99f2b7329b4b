"""The test error is no larger than the theorem's algorithm's (theory.md §7, P1)."""

import numpy as np

from mimverify import Link, MultiIndexModel, default_steps, normalised_error
from mimverify.theory import predict_test_error
from mimverify.trial import Event, Mean, Shown, below, claim, fit_dtype, learning_cases

# An odd part, which needs biases; curvature that a large penalty flattens; and n/d at which one
# step is not enough, while the error after three is small.
SHIFTED = Link("cos(1.5z + ½)", 1, lambda z: np.cos(1.5 * z[:, 0] + 0.5))
RATIO = 100
# So many rows that stage 1 leaves a trace, and curvature that any penalty flattens.
CURVED = Link("cos(2.3z + ½)", 1, lambda z: np.cos(2.3 * z[:, 0] + 0.5))
LARGE_RATIO = 1000

NEURONS, READOUT_NEURONS, RIDGE = 32, 128, 1e-3
TEST_ROWS = 2048


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
    values = prediction(trial, SHIFTED, case.dim, n, runs=24)
    upper = values.mean() + 2 * values.std(ddof=1)
    trial.decide(lambda seed: below(error_of_fit(trial, SHIFTED, case.dim, n, seed), upper))


@claim(
    id="predicted-readout-error",
    statement=(
        "With so many rows that stage 1 is all but perfect, the error after fit is stage 2's, and "
        "no larger than predicted for 32 neurons, 128 random features and a ridge of 1e-3."
    ),
    source="theory.md §7, P1; §2, stage 2",
    assumptions=(
        "y = cos(2.3 z + ½), noiseless",
        "n/d = 1000 in each stage",
        "no poorer than m = 32, p = 128, ridge 1e-3",
    ),
    measures=(
        "Per run the normalised test error over the mean of 48 predicted runs, which is known to "
        "4 %: at most 1 under the theory. Test by betting of a mean ≤ 1.3, which admits "
        "other scales of the penalty, against ≥ 1.6."
    ),
    needs="regression",
    decisions=Mean(
        "error over the predicted one",
        at_most=1.3,
        gap=0.3,
        high=2.5,
        quantity="test error",
        number="quotient",
    ),
    cases=learning_cases(links=("curved-cosine",), dims=(24,), losses=("own",)),
    cost=4,
    profile="standard",
)
def predicted_readout_error(trial, case):
    n = LARGE_RATIO * case.dim
    expected = float(prediction(trial, CURVED, case.dim, n, runs=48).mean())

    def quotient(seed):
        error = error_of_fit(trial, CURVED, case.dim, n, seed)
        return Shown(error / expected, error, expected)

    trial.decide(quotient)


def prediction(trial, link, dim, n, runs):
    """Errors `(runs,)` that theory predicts for modest choices."""
    found = predict_test_error(
        link, "huber", dim=dim, samples=n, steps=default_steps(n, dim),
        neurons=NEURONS, readout_neurons=READOUT_NEURONS, ridge=RIDGE,
        test_samples=TEST_ROWS, runs=runs, seed=trial.seed_of(dim),
    )  # fmt: skip
    trial.note(predicted_test_error=found.to_json()["test_error"])
    return found.values


def error_of_fit(trial, link, dim, n, seed):
    """The normalised test error after `fit` on both stages' n rows, stacked."""
    dtype = fit_dtype(trial.trainer)
    model = MultiIndexModel(link, dim, seed=seed)
    data = model.sample(2 * n, dtype=dtype)
    trial.trainer.fit(data.X, data.y)
    test = model.sample(TEST_ROWS, purpose="test", dtype=dtype)
    return normalised_error(trial.trainer.predict(test.X), test.y)
