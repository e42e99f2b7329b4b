"""What `fit` does with its two halves of rows, seen from outside (theory.md §2, §3 E4)."""

import numpy as np

from mimverify import MultiIndexModel, default_samples, get_link, haar_subspace, normalised_error
from mimverify.trial import (
    NEGLIGIBLE,
    WELL_CONDITIONED,
    Event,
    NotApplicable,
    Rounding,
    TwoSamples,
    below,
    claim,
    error_after_fit,
    fit_dtype,
    learning_cases,
    readout_error,
    same_predictions,
)

ROWS = 512  # that are predicted
CASES = learning_cases(links=WELL_CONDITIONED, dims=(24, 32), losses=("own",))


class Fits:
    """Fits of new trainers with one random state, to variations of one data set."""

    def __init__(self, trial, case):
        self.trainer, self.seed = trial.trainer, trial.seed_of(case)
        self.dtype, self.half = fit_dtype(self.trainer), default_samples(case.dim)
        model = MultiIndexModel(case.link, case.dim, seed=self.seed)
        data = model.sample(2 * self.half, dtype=self.dtype)
        self.X, self.y = data.X, data.y
        self.rows = model.sample(ROWS, purpose="test", dtype=self.dtype).X

    def fit(self, X, y):
        self.trainer.fresh(self.seed)
        self.trainer.fit(X, np.asarray(y, dtype=self.dtype))

    def predictions(self, X=None, y=None):
        self.fit(self.X if X is None else X, self.y if y is None else y)
        return self.trainer.predict(self.rows).astype(np.float64)

    def second_half(self, sign, order=None):
        """The labels, those of the second half times a sign and in another order."""
        second = self.y[self.half :] if order is None else self.y[self.half :][order]
        return np.concatenate([self.y[: self.half], sign * second])


@claim(
    id="second-stage-sign",
    statement=(
        "With the labels of stage 2 negated the predictions change their sign, but for a linear "
        "part that stage 1 has fitted: only the output weights are fitted to those labels, by a "
        "convex problem that is even in them."
    ),
    source="theory.md §2, stage 2",
    assumptions=(
        "the first half of the rows trains the first layer, the second the output weights",
        "an even loss, a penalty on the output weights alone",
    ),
    measures=(
        "Root mean square sum of the predictions of two new trainers of one random state, one of "
        "them fitted to negated labels in the second half of the rows, as a fraction of 10⁻³ of "
        "their spread; fails above 1. Where the sum varies with x it is compared with that of "
        "other labels in the second half, on which a part that stage 1 has fitted cannot depend."
    ),
    needs="regression",
    decisions=Rounding("predictions change sign", bound="10⁻³ of their spread"),
    cases=CASES,
    cost=0.5,
)
def second_stage_sign(trial, case):
    fits = Fits(trial, case)
    plain = fits.predictions()
    added = plain + fits.predictions(y=fits.second_half(-1))
    spread, expected = np.std(plain), np.zeros(ROWS)
    if np.std(added) > NEGLIGIBLE * spread:
        order = np.random.default_rng([fits.seed]).permutation(fits.half)
        expected = fits.predictions(y=fits.second_half(1, order))
        expected = expected + fits.predictions(y=fits.second_half(-1, order))
    same_predictions(trial, "sum", plain + added - expected, plain, fits.predictions)


@claim(
    id="fit-symmetries",
    statement=(
        "Predictions follow the labels: a constant added to all labels is added to the "
        "predictions. The order of the rows within each half does not matter."
    ),
    source="theory.md §2, centring, stage 1; theory.md §3, E4",
    assumptions=(
        "the first half of the rows trains the first layer, the second the output weights",
        "the constant is fitted: by any loss of f − y it moves with the labels",
        "full batch",
    ),
    measures=(
        "Root mean square difference of the predictions of new trainers of one random state from "
        "those expected, as a fraction of 10⁻³ of their spread; fails above 1."
    ),
    needs="regression",
    decisions=Rounding("predictions of equivalent data", bound="10⁻³ of their spread"),
    cases=CASES,
    cost=1,
)
def fit_symmetries(trial, case):
    fits = Fits(trial, case)
    plain = fits.predictions()
    shifted = fits.predictions(y=fits.y + 2.5)
    same_predictions(trial, "labels + 2.5", shifted - 2.5, plain, fits.predictions)
    rng = np.random.default_rng([fits.seed])
    first, second = rng.permutation(fits.half), fits.half + rng.permutation(fits.half)
    order = np.concatenate([first, second])
    permuted = fits.predictions(fits.X[order], fits.y[order])
    same_predictions(trial, "rows permuted within the halves", permuted, plain, fits.predictions)


@claim(
    id="first-layer-data",
    statement="The first layer is trained on the first half of the rows alone.",
    source="theory.md §2, stage 1, stage 2: W frozen",
    assumptions=(
        "the trainer shows its first layer as `first_layer_`, (m, d)",
        "two new trainers of one random state show the same one (else not applicable)",
    ),
    measures=(
        "Largest entry of the difference of `first_layer_` after fits with other rows and labels "
        "in the second half, as a fraction of the square root of float32's u times the "
        "largest weight; fails above 1."
    ),
    needs="regression",
    decisions=Rounding("first layer, second half replaced", bound="√u(float32) × largest"),
    cases=CASES,
    cost=0.5,
)
def first_layer_data(trial, case):
    fits = Fits(trial, case)
    fits.fit(fits.X, fits.y)
    W = shown_first_layer(trial)
    other = fits.X.copy()
    other[fits.half :] = 1 - 2 * other[fits.half :]
    for what, X, y in (
        ("labels negated", fits.X, fits.second_half(-1)),
        ("other rows", other, fits.y),
        ("labels + 1", fits.X, fits.y + (np.arange(len(fits.y)) >= fits.half)),
    ):
        fits.fit(X, y)
        same_first_layer(trial, f"second half, {what}: W", shown_first_layer(trial), W, fits)


def same_first_layer(trial, what, got, W, fits):
    """Compare first layers `(m, d)`; where they differ, new trainers' on the same data first."""
    allowed = np.sqrt(np.finfo("float32").eps) * np.abs(W).max()
    if not farthest(got, W) <= allowed:
        for _ in range(2):
            fits.fit(fits.X, fits.y)
            if not farthest(shown_first_layer(trial), W) <= allowed:
                raise NotApplicable(
                    "first layers of two new trainers of one random state differ on the same "
                    "data: fits can be compared in law only"
                )
    trial.within(what, got, W, allowed)


def farthest(one, other):
    """The largest difference of entries; infinite for other shapes."""
    return float(np.abs(one - other).max()) if one.shape == other.shape else np.inf


def shown_first_layer(trial):
    """`first_layer_` of the fitted trainer, (m, d)."""
    W = trial.trainer.first_layer_after_fit()
    if W is None:
        raise NotApplicable("needs first_layer_, an array (m, d) of numbers, after fit()")
    return W.astype(np.float64)


def unit_rows(W):
    """Its rows at unit length, without zero rows."""
    norms = np.linalg.norm(W, axis=1, keepdims=True)
    return W[norms[:, 0] > 0] / norms[norms[:, 0] > 0]


@claim(
    id="predicts-through-first-layer",
    statement="Predictions depend on x through the first layer alone: f(x) is a function of W x.",
    source="theory.md §1: f(x) = Σ a_j σ(w_j·x + b_j)",
    assumptions=(
        "the trainer shows its first layer as `first_layer_`, (m, d), a fitted linear part as a "
        "further row",
        "W has a null space, to six digits",
    ),
    measures=(
        "Largest change of predictions when inputs move by three units within the null space of W, "
        "as a fraction of 10⁻³ of the predictions' spread; fails above 1."
    ),
    needs="regression",
    decisions=Rounding("predictions at inputs moved in W's null space", bound="10⁻³ of spread"),
    cases=learning_cases(links=WELL_CONDITIONED, dims=(72, 80), losses=("own",)),
    cost=0.5,
)
def predicts_through_first_layer(trial, case):
    fits = Fits(trial, case)
    fits.fit(fits.X, fits.y)
    W = unit_rows(shown_first_layer(trial))
    _, sizes, directions = np.linalg.svd(W, full_matrices=True)
    kept = np.count_nonzero(sizes > 1e-6 * sizes[0])
    null = directions[kept:]
    if not len(null):
        raise NotApplicable(f"W of {len(W)} rows has no null space in {case.dim} dimensions")
    steps = np.random.default_rng([fits.seed]).standard_normal((len(fits.rows), len(null))) @ null
    steps *= 3 / np.linalg.norm(steps, axis=1, keepdims=True)
    there = trial.trainer.predict((fits.rows + steps).astype(fits.dtype))
    here = trial.trainer.predict(fits.rows)
    trial.within("prediction", there, here, 1e-3 * float(np.std(here)))


@claim(
    id="first-layer-error",
    statement=(
        "The first layer that `fit` trains is good enough: with the reference's stage 2 on it more "
        "than half of the variance is explained."
    ),
    source="abstract: 'agnostically learn the target'; theory.md §7",
    assumptions=(
        "the trainer shows its first layer as `first_layer_`, (m, d)",
        "n = d log² d for each stage", "r ≥ 2", "Λ non-degenerate, κ ≤ 2",
        "one fixed set of hyper-parameters",
    ),
    measures=(
        "Event per seed: normalised test error below 1/2 of the reference's stage 2, on fresh "
        "samples, with W in place of its own first layer. Sequential binomial test of P ≥ 0.9 "
        "against P ≤ 0.5."
    ),
    needs="regression",
    decisions=Event(
        "reference's stage 2 < 1/2", direction="below", quantity="error of stage 2 on first_layer_"
    ),
    cases=learning_cases(links=WELL_CONDITIONED, dims=(48, 56, 64), losses=("own",)),
    cost=1,
)  # fmt: skip
def first_layer_error(trial, case):
    dtype, n = fit_dtype(trial.trainer), default_samples(case.dim)

    def good_enough(seed):
        model = MultiIndexModel(case.link, case.dim, seed=seed)
        data = model.sample(2 * n, dtype=dtype)
        trial.trainer.fit(data.X, data.y)
        return below(readout_error(model, shown_first_layer(trial), n, seed=seed), 0.5)

    trial.decide(good_enough)


def odd_share(link):
    """Var(odd part)/Var(g(z)) of a link with r = 1, for z ~ N(0, 1), by a fine sum."""
    z = np.linspace(-9, 9, 20001)
    weights = np.exp(-z * z / 2)
    weights /= weights.sum()
    g = get_link(link)(z[:, None])
    g = g - weights @ g
    return weights @ ((g - g[::-1]) / 2) ** 2 / (weights @ g**2)


@claim(
    id="odd-part",
    statement=(
        "The redrawn biases let an even activation express links that are not even: more is "
        "explained than by any even function."
    ),
    source="theory.md §2, stage 2: biases redrawn",
    assumptions=("n = d log² d for each stage", "r = 1, Λ ≠ 0"),
    measures=(
        "Event per seed: normalised test error below the share of the odd part in the variance of "
        "the link, which no even function explains. Sequential binomial test of P ≥ 0.9 against "
        "P ≤ 0.5."
    ),
    needs="regression",
    decisions=Event("more explained than by even functions", direction="below",
                    quantity="test error"),
    cases=learning_cases(
        links=("relu-network:rank=1,width=8,seed=11", "relu-network:rank=1,width=8,seed=3"),
        dims=(48, 56),
        losses=("own",),
    ),
    cost=1,
)  # fmt: skip
def odd_part(trial, case):
    share = odd_share(case.link)
    trial.decide(lambda seed: below(error_after_fit(trial, case.link, case.dim, seed), share))


SAME_LAW = TwoSamples("test errors on coordinate and on rotated axes", names=("test error",))


@claim(
    id="rotated-inputs",
    statement="The test error has one law for all hidden subspaces: no axis is special.",
    source="theory.md §3, E4",
    assumptions=("an isotropic start",),
    measures=(
        "Pairs of independent fits to the same link, with the hidden subspace spanned by "
        "coordinate axes and by random directions: one law of the test error. Sequential test by "
        "betting."
    ),
    needs="regression",
    decisions=SAME_LAW,
    cases=learning_cases(links=WELL_CONDITIONED, dims=(16, 20), losses=("own",)),
    cost=3,
    profile="standard",
)
def rotated_inputs(trial, case):
    dtype, n = fit_dtype(trial.trainer), default_samples(case.dim)
    rank = get_link(case.link).rank

    def error(subspace, seed):
        model = MultiIndexModel(case.link, case.dim, seed=seed)
        data, test = model.sample(2 * n), model.sample(1024, purpose="test")
        Q = rotation_to(model.subspace, subspace)
        trial.trainer.fresh(seed)
        trial.trainer.fit((data.X @ Q.T).astype(dtype), data.y.astype(dtype))
        return normalised_error(trial.trainer.predict((test.X @ Q.T).astype(dtype)), test.y)

    def pair(seed):
        rng = np.random.default_rng([seed])
        axes = np.eye(case.dim)[rng.choice(case.dim, rank, replace=False)]
        random = haar_subspace(rank, case.dim, rng)
        return tuple(error(U, trial.seed_of(seed, k)) for k, U in enumerate((axes, random)))

    trial.decide(pair)


def rotation_to(start, goal):
    """An orthogonal matrix Q with `start` Qᵀ = `goal`, both of orthonormal rows (r, d)."""
    bases = [np.linalg.svd(rows, full_matrices=True)[2][len(rows) :] for rows in (start, goal)]
    return np.vstack([goal, bases[1]]).T @ np.vstack([start, bases[0]])
