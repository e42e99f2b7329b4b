"""Nobody beats the posterior: a floor of the error at finite d and n (theory.md §9, B1)."""

import numpy as np

from mimverify import Link, MultiIndexModel
from mimverify.theory import bayes_floor
from mimverify.trial import Event, above, claim, fit_dtype, learning_cases

# Noise at which a label tells little of u1: the floor is two fifths of g's own variance, while
# training on as many labels without noise leaves a quarter.
RATIO, NOISE, TEST_ROWS = 32, 6.0, 1024
BELOW = 0.1  # the probability with which the best of all estimators is below its floor


@claim(
    id="beats-no-bayes",
    statement=(
        "No training, however clever, knows more than its rows tell: the error is not below the "
        "Bayes-optimal one, also where the same trainer has been fitted to other rows before."
    ),
    source="theory.md §9, B1: 'at any d and n'; title: 'near information-theoretic limit'",
    assumptions=(
        "g linear in one hidden feature, given the others",
        "U uniform; that feature's coefficient |v|, v ~ N(0, I/D)",
        "Gaussian label noise, of standard deviation 6",
        "nothing is known of U but the rows of this fit",
    ),
    measures=(
        "Event per seed: after a fit to noiseless rows of the same U and a fit to noisy ones, the "
        "mean squared distance between predictions and noiseless labels exceeds the floor of all "
        "that the noisy rows tell, under which the posterior mean itself, told the other "
        "direction, falls with P ≤ 0.1. Sequential binomial test of P ≥ 0.9 against P ≤ 0.5."
    ),
    needs="regression",
    decisions=Event(
        "the error exceeds the floor",
        direction="above",
        quantity="squared distance to noiseless labels",
    ),
    cases=learning_cases(links=("z1z2",), dims=(128, 120, 136), losses=("own",)),
    cost=2,
)
def beats_no_bayes(trial, case):
    dtype = fit_dtype(trial.trainer)
    n = RATIO * case.dim

    def exceeds(seed):
        unknown = case.dim - 1  # what u2 leaves of u1's directions
        size = np.sqrt(np.random.default_rng([seed, 11]).chisquare(unknown) / unknown)
        link = Link("scaled-z1z2", 2, lambda z: size * z[:, 0] * z[:, 1])
        model = MultiIndexModel(link, case.dim, noise=NOISE, seed=seed)
        clean = MultiIndexModel(link, case.dim, seed=seed).sample(n, purpose="stage2", dtype=dtype)
        data = model.sample(n, dtype=dtype)
        trial.trainer.fit(clean.X, clean.y)
        trial.trainer.fit(data.X, data.y)
        X = model.sample(TEST_ROWS, purpose="test", dtype=dtype).X
        error = np.mean((trial.trainer.predict(X) - link(X @ model.subspace.T)) ** 2)
        floor = bayes_floor(
            rows_without(data.X, model.subspace[1]),
            rows_without(X, model.subspace[1]),
            noise=NOISE,
            probability=BELOW,
        )
        return above(error, floor)

    trial.decide(exceeds)


def rows_without(X, direction):
    """z2 x in coordinates of the complement of u2: what multiplies |v| u1 in the labels z1 z2."""
    d = len(direction)
    basis = np.linalg.qr(np.column_stack([direction, np.eye(d)[:, :-1]]))[0][:, 1:]
    return (X @ direction)[:, None] * (X @ basis)
