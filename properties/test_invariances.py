"""Invariances of training, and its one pass over the data per step (theory.md §3, E4–E5)."""

import numpy as np

from mimverify.trial import (
    ONE_STEP_KINDS,
    STANDARD_DTYPES,
    STEP_ACTIVATIONS,
    STEP_LOSSES,
    Rounding,
    accumulate,
    claim,
    exact_cases,
    exact_step,
    exact_trajectory,
    step_envelope,
)

HADAMARD = np.array([[1, 1, 1, 1], [1, -1, 1, -1], [1, 1, -1, -1], [1, -1, -1, 1]]) / 2


def dyadic_rotation(dim, rng):
    """An orthogonal matrix that rotates numbers on a coarse grid without rounding.

    Permuted blocks of the 4 × 4 Hadamard matrix over 2. Unlike a signed permutation it
    distinguishes gradient descent from coordinate-wise methods such as Adam.
    """
    Q = np.eye(dim)[rng.permutation(dim)]
    for start in range(0, dim - 3, 4):
        Q[start : start + 4] = HADAMARD @ Q[start : start + 4]
    return Q * rng.choice([-1.0, 1.0], size=dim)


def on_grid(array, bits=10):
    """`array` rounded to `bits` binary places below its largest entry: a grid for rotations."""
    unit = 2.0 ** (np.ceil(np.log2(np.abs(array).max())) - bits)
    return (np.round(array / unit) * unit).astype(array.dtype)


class TransformedProblem:
    """One problem, and its trajectory after transformations that must commute with training.

    Each method returns the trajectory of the transformed problem, the expected one, and the
    rounding radius.

    `train(W, a, b, X, y, steps)` returns a trajectory.
    """

    def __init__(self, case, network, data, dtype, options, train):
        self.W, self.a, self.b = network
        self.X, self.y = data
        self.steps, self.dtype, self.options, self.train = case.steps, dtype, options, train
        self.exact = exact_trajectory(*network, *data, steps=case.steps, **options)
        self.radius = self._radius(self.exact, *data)
        self.plain = train(*network, *data, case.steps).astype(np.float64)

    def _radius(self, exact, X, y):
        return accumulate(exact, self.a, self.b, X, y, dtype=self.dtype, **self.options)

    def rotated(self, Q):
        W, X = (self.W @ Q.T).astype(self.dtype), (self.X @ Q.T).astype(self.dtype)
        got = self.train(W, self.a, self.b, X, self.y, self.steps)
        return got, self.plain @ Q.T, self._radius(self.exact @ Q.T, X, self.y)

    def neurons_permuted(self, order):
        network = self.W[order], self.a[order], self.b[order]
        got = self.train(*network, self.X, self.y, self.steps)
        return got, self.plain[:, order], self.radius

    def samples_permuted(self, order):
        got = self.train(self.W, self.a, self.b, self.X[order], self.y[order], self.steps)
        return got, self.plain, self.radius

    def samples_duplicated(self):
        data = np.concatenate([self.X, self.X]), np.concatenate([self.y, self.y])
        got = self.train(self.W, self.a, self.b, *data, self.steps)
        return got, self.plain, self._radius(self.exact, *data)

    def resumed(self, first):
        begun = self.train(self.W, self.a, self.b, self.X, self.y, first)
        rest = self.train(begun[-1], self.a, self.b, self.X, self.y, self.steps - first)
        return np.concatenate([begun, rest[1:]]), self.plain, self.radius


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
    decisions=Rounding("two trajectories of one problem"),
    cases=exact_cases(kinds=("small", "tall", "odd", "large-magnitude", "mirrored")),
    cost=3,
)
def equivariance(trial, case):
    seed = trial.seed_of(case)
    rng = np.random.default_rng([seed, 5])
    Q = dyadic_rotation(case.dim, rng)
    neurons, rows = rng.permutation(case.neurons), rng.permutation(case.samples)
    for activation, loss, dtype in trial.combinations(
        STEP_ACTIVATIONS, STEP_LOSSES, STANDARD_DTYPES
    ):
        X, y = case.data(seed, dtype)
        W, a, b = case.general_network(seed, dtype)
        network, data = (on_grid(W), a, b), (on_grid(X), y)
        options = case.options(network, data, activation, loss)

        def train(*arrays, options=options):
            return trial.trainer.trajectory(*arrays[:-1], steps=arrays[-1], **options)

        problem = TransformedProblem(case, network, data, dtype, options, train)
        pairs = {
            "rotated": problem.rotated(Q),
            "neurons permuted": problem.neurons_permuted(neurons),
            "samples permuted": problem.samples_permuted(rows),
            "samples duplicated": problem.samples_duplicated(),
            "resumed": problem.resumed(case.steps // 2),
        }
        for name, (got, expected, radius) in pairs.items():
            distance = np.linalg.norm(got - expected, axis=(1, 2))
            # Rotating the plain result in float64 errs by a few units of its roundoff.
            slack = 1e-15 * case.dim * np.linalg.norm(expected, axis=(1, 2))
            trial.within(
                f"{name}: ‖difference‖ at t = {{}}", distance, 0 * distance,
                problem.radius + radius + slack, dtype=dtype, **options,
            )  # fmt: skip


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
        "envelopes, for three blocks, two of them of one size; fails above 1."
    ),
    needs="first layer",
    decisions=Rounding("the average of steps on blocks"),
    cases=exact_cases(without=ONE_STEP_KINDS),
    cost=3,
)
def one_pass(trial, case):
    seed = trial.seed_of(case)
    rng = np.random.default_rng([seed, 6])
    # Two blocks of one size: each further shape is another program for a trainer that compiles.
    size = rng.integers(1, (case.samples + 1) // 2)
    cuts = size, case.samples - size
    for activation, loss, dtype in trial.combinations(
        STEP_ACTIVATIONS, STEP_LOSSES, STANDARD_DTYPES
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
            allowed = allowed + weight * step_envelope(W, a, b, X_b, y_b, dtype=dtype, **options)
        # The average itself is rounded in float64.
        allowed = allowed + 1e-15 * np.abs(exact_step(W, a, b, X, y, **options))
        trial.within("W", whole, total, allowed, dtype=dtype, **options)
