"""What training may not depend on, and how it touches the data (theory.md §3, E4–E5)."""

import numpy as np

from mimverify.trial import (
    ONE_STEP_KINDS,
    STANDARD_ACTIVATIONS,
    STANDARD_DTYPES,
    STANDARD_LOSSES,
    accumulate,
    claim,
    exact_cases,
    exact_step,
    exact_trajectory,
    step_envelope,
)

HADAMARD = np.array([[1, 1, 1, 1], [1, -1, 1, -1], [1, 1, -1, -1], [1, -1, -1, 1]]) / 2


def dyadic_rotation(dim, rng):
    """An orthogonal matrix that mixes coordinates without rounding numbers on a coarse grid.

    Shuffled blocks of the 4 × 4 Hadamard matrix over 2: unlike signed permutations, it tells
    gradient descent from methods that treat coordinates one by one, such as Adam.
    """
    Q = np.eye(dim)[rng.permutation(dim)]
    for start in range(0, dim - 3, 4):
        Q[start : start + 4] = HADAMARD @ Q[start : start + 4]
    return Q * rng.choice([-1.0, 1.0], size=dim)


def on_grid(array, bits=10):
    """`array` rounded to `bits` binary places below its largest entry, where it stays exact."""
    unit = 2.0 ** (np.ceil(np.log2(np.abs(array).max())) - bits)
    return (np.round(array / unit) * unit).astype(array.dtype)


@claim(
    id="equivariance",
    statement=(
        "Training on (X Qᵀ, y) from W0 Qᵀ gives W_T Qᵀ for orthogonal Q; permuted neurons give "
        "permuted rows; permuted or duplicated samples change nothing; T then T' steps are "
        "T + T' steps."
    ),
    source="theory.md §3, E4",
    assumptions=("full batch", "any network, activation and loss"),
    measures=(
        "Frobenius distance between the two trajectories at each step, over the sum of their "
        "accumulated rounding radii; fails above 1. Q, X and W0 are such that rotating them is "
        "exact in the dtype."
    ),
    needs="first layer",
    cost=2,
)
def test_equivariance(trial):
    def check(case):
        seed = trial.seed_of(case)
        rng = np.random.default_rng([seed, 5])
        Q = dyadic_rotation(case.dim, rng)
        neurons, rows = rng.permutation(case.neurons), rng.permutation(case.samples)
        first = case.steps // 2
        for activation, loss, dtype in trial.combinations(
            STANDARD_ACTIVATIONS, STANDARD_LOSSES, STANDARD_DTYPES
        ):
            X, y = case.data(seed, dtype)
            X = on_grid(X)
            W, a, b = case.general_network(seed, dtype)
            W = on_grid(W)
            options = case.options((W, a, b), (X, y), activation, loss)

            def run(W, a, b, X, y, steps=case.steps, options=options):
                return trial.trainer.features(W, a, b, X, y, steps=steps, **options)

            exact = exact_trajectory(W, a, b, X, y, steps=case.steps, **options)
            radius = accumulate(exact, a, b, X, y, dtype=dtype, **options)
            plain = run(W, a, b, X, y).astype(np.float64)
            turned = (W @ Q.T).astype(dtype), (X @ Q.T).astype(dtype)
            doubled = np.concatenate([X, X]), np.concatenate([y, y])
            exact_turned = exact @ Q.T
            radius_turned = accumulate(exact_turned, a, b, turned[1], y, dtype=dtype, **options)
            radius_doubled = accumulate(exact, a, b, *doubled, dtype=dtype, **options)
            begun = run(W, a, b, X, y, steps=first)
            pairs = {
                "rotated": (run(turned[0], a, b, turned[1], y), plain @ Q.T, radius_turned),
                "neurons permuted": (
                    run(W[neurons], a[neurons], b[neurons], X, y), plain[:, neurons], radius
                ),
                "samples permuted": (run(W, a, b, X[rows], y[rows]), plain, radius),
                "samples duplicated": (run(W, a, b, *doubled), plain, radius_doubled),
                "resumed": (
                    np.concatenate(
                        [begun, run(begun[-1], a, b, X, y, steps=case.steps - first)[1:]]
                    ),
                    plain,
                    radius,
                ),
            }  # fmt: skip
            for name, (got, expected, other) in pairs.items():
                distance = np.linalg.norm(got - expected, axis=(1, 2))
                # Rotating the plain result back in float64 errs by a few of its own units.
                slack = 1e-15 * case.dim * np.linalg.norm(expected, axis=(1, 2))
                trial.within(
                    f"{name}: ‖difference‖ at t = {{}}", distance, 0 * distance,
                    radius + other + slack, dtype=dtype, **options,
                )  # fmt: skip

    trial.for_each(
        exact_cases(kinds=("small", "tall", "odd", "loud", "mirror"), steps=(3, 2, 4)), check
    )


@claim(
    id="one-pass",
    statement=(
        "The gradient is a sum over rows: the step on all rows is the average, weighted by "
        "their sizes, of the steps on any blocks of rows."
    ),
    source="theory.md §3, E5",
    assumptions=("full batch", "any network, activation and loss"),
    measures=(
        "Largest |step(all rows) − Σ_b (n_b/n) step(block b)| over the sum of the rounding "
        "envelopes, for three uneven blocks; fails above 1."
    ),
    needs="first layer",
    cost=2,
)
def test_one_pass(trial):
    def check(case):
        seed = trial.seed_of(case)
        rng = np.random.default_rng([seed, 6])
        cuts = np.sort(rng.choice(np.arange(1, case.samples), 2, replace=False))
        for activation, loss, dtype in trial.combinations(
            STANDARD_ACTIVATIONS, STANDARD_LOSSES, STANDARD_DTYPES
        ):
            X, y = case.data(seed, dtype)
            W, a, b = case.general_network(seed, dtype)
            options = case.options((W, a, b), (X, y), activation, loss)
            whole = trial.trainer.step(W, a, b, X, y, **options)
            allowed = step_envelope(W, a, b, X, y, dtype=dtype, **options)
            total = np.zeros(W.shape)
            for X_b, y_b in zip(np.split(X, cuts), np.split(y, cuts), strict=True):
                weight = len(y_b) / case.samples
                total += weight * trial.trainer.step(W, a, b, X_b, y_b, **options)
                allowed = allowed + weight * step_envelope(
                    W, a, b, X_b, y_b, dtype=dtype, **options
                )
            # Float64 rounding of the average itself.
            allowed = allowed + 1e-15 * np.abs(exact_step(W, a, b, X, y, **options))
            trial.within("W", whole, total, allowed, dtype=dtype, **options)

    trial.for_each(exact_cases(without=ONE_STEP_KINDS), check)
