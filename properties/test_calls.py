"""What a call returns depends on its arguments alone, not on earlier calls (theory.md §1, §2)."""

import numpy as np

from mimverify import MultiIndexModel, TrainerError, default_samples
from mimverify.trial import (
    COPIES,
    HALF_THE_DIGITS,
    NEGLIGIBLE,
    STANDARD_DTYPES,
    STEP_ACTIVATIONS,
    STEP_LOSSES,
    WELL_CONDITIONED,
    NotApplicable,
    Rounding,
    accumulate,
    claim,
    exact_cases,
    exact_step,
    exact_trajectory,
    fit_dtype,
    learning_cases,
    same_predictions,
    step_envelope,
)

ROWS = 1537  # that are predicted: no power of two, and more than a block


class Calls:
    """Calls of `step` on one trainer, each compared with the oracle.

    **Arguments**

    - `combination`: activation, loss and dtype.
    - `other`: those of a call between: one that the trial makes anyway, so that a trainer that
      compiles has no more to compile.
    """

    def __init__(self, trial, case, combination, other):
        activation, loss, dtype = combination
        self.trial, self.case, self.dtype = trial, case, dtype
        self.options = {"activation": activation, "loss": loss}
        self.other_options = {"activation": other[0], "loss": other[1]}
        seeds = trial.seed_of(case), trial.seed_of(case, "other")
        self.networks = [case.general_network(seed, dtype) for seed in seeds]
        self.data = [case.data(seed, dtype) for seed in seeds]
        rates = case.options(self.networks[0], self.data[0], activation, loss)
        self.rates = {"eta": rates["eta"], "beta": rates["beta"]}
        self._known = {}  # expected steps and their envelopes, by name

    def compare_in(self, dtype):
        """A step in this dtype, from which nothing may be kept for others."""
        arrays = (array.astype(dtype) for array in (*self.networks[0], *self.data[0]))
        self._compare("new arrays", f"first call, in {dtype}", *arrays, **self.options)

    def compare_steps(self, where):
        network, (X, y), (other, labels) = self.networks[0], *self.data
        one_row = X.copy()
        one_row[-1] = other[-1]
        self._compare(where, "first", *network, X, y, **self.options)
        self._compare(where, "other labels", *network, X, labels, **self.options)
        self._compare(where, "one other row", *network, one_row, y, **self.options)
        self._compare(where, "other inputs", *network, other, y, **self.options)
        self._compare(where, "other weights", *self.networks[1], X, y, **self.options)
        self._compare(where, "other functions", *network, X, y, **self.other_options)
        self._compare(where, "again", *network, X, y, **self.options)

    def _compare(self, where, name, *arrays, **functions):
        options = {**self.rates, **functions}
        dtype = arrays[0].dtype.name
        got = self.trial.trainer.step(*arrays, **options)
        if name not in self._known:
            envelope = step_envelope(*arrays, dtype=dtype, **options)
            self._known[name] = exact_step(*arrays, **options), envelope
        self.trial.within(f"{where}, {name}: W", got, *self._known[name], dtype=dtype, **options)

    def compare_trajectories(self):
        """The trajectory again, after one with other labels."""
        options = {**self.rates, **self.options}
        steps, arrays = self.case.steps, (*self.networks[0], *self.data[0])
        trajectory = self.trial.trainer.trajectory
        first = trajectory(*arrays, steps=steps, **options).astype(np.float64)
        trajectory(*arrays[:-1], self.data[1][1], steps=steps, **options)
        again = trajectory(*arrays, steps=steps, **options)
        distance = np.linalg.norm(again - first, axis=(1, 2))
        exact = exact_trajectory(*arrays, steps=steps, **options)
        radius = accumulate(exact, *arrays[1:], dtype=self.dtype, **options)
        self.trial.within(
            "trajectory again: ‖difference‖ at t = {}", distance, 0 * distance,
            2 * radius, dtype=self.dtype, **options,
        )  # fmt: skip


@claim(
    id="independent-steps",
    statement=(
        "A step is a function of its arguments: no earlier call of the trainer, with other values, "
        "dtypes, activations or losses, nor where its arrays lie in memory, changes it."
    ),
    source="theory.md §2, stage 1",
    assumptions=("full batch", "any network, activation and loss"),
    measures=(
        "One trainer takes steps on the same shapes: with other labels, one other row, other "
        "inputs, weights, activation, loss and dtype, then the first again; and all of them with "
        "the same arrays, filled anew. Largest entry of |step − float64 oracle| over the rounding "
        "envelope; Frobenius distance of two equal trajectories over twice the accumulated radius. "
        "Fails above 1."
    ),
    needs="first layer",
    decisions=Rounding("steps after other steps"),
    cases=exact_cases(kinds=("small", "mirrored", "odd", "square")),
    cost=2,
)
def independent_steps(trial, case):
    combinations = list(trial.combinations(STEP_ACTIVATIONS, STEP_LOSSES, STANDARD_DTYPES))
    trial.trainer.train_by(None)  # both methods, each the trainer's own
    of_dtype = [
        (one, next((c for c in others if c[2] == one[2]), one))
        for k, one in enumerate(combinations)
        for others in [combinations[k + 1 :] + combinations[:k]]
    ]
    calls = [Calls(trial, case, *pair) for pair in of_dtype]
    if {"float32", "float64"} <= set(trial.trainer.dtypes):
        for widest in calls[:1]:
            widest.compare_in("float32")
    for each in calls:
        each.compare_steps("new arrays")
        each.compare_trajectories()
    trial.trainer.refill_arguments()
    for each in (*calls[:1], *calls[-1:]):  # the widest and the narrowest dtype
        each.compare_steps("arrays filled anew")


def two_problems(trial, case):
    """Two data sets of one shape with other subspaces, and inputs to predict at.

    The first has other labels altogether: whatever is kept of it shows.
    """
    dtype, n = fit_dtype(trial.trainer), 2 * default_samples(case.dim)
    first, second = (
        MultiIndexModel(case.link, case.dim, seed=trial.seed_of(case, k)) for k in range(2)
    )
    before, data = first.sample(n, dtype=dtype), second.sample(n, dtype=dtype)
    X = second.sample(ROWS, purpose="test", dtype=dtype).X
    return (before.X, (2 * before.y + 3).astype(dtype)), (data.X, data.y), X


@claim(
    id="refit",
    statement=(
        "`fit` begins anew: after a fit to other data it gives the predictions of a new trainer "
        "with the same random state."
    ),
    source="theory.md §2, initialisation",
    assumptions=(
        "n = d log² d for each stage",
        "two new trainers of one random state agree (else not applicable)",
        "every fit draws the same numbers from `random_state`; where the trainer has none, its "
        "second fit to the same data agrees with its first (else not applicable)",
    ),
    measures=(
        "Root mean square difference of the predictions of a trainer fitted to other data of the "
        "same shape before, in other arrays and in the same ones, from a new one's, as a fraction "
        "of 10⁻³ of their spread; fails above 1."
    ),
    needs="regression",
    decisions=Rounding("predictions after a second fit", bound="10⁻³ of their spread"),
    cases=learning_cases(links=WELL_CONDITIONED, dims=(24, 32), losses=("own",)),
    cost=1,
)
def refit(trial, case):
    seed, trainer = trial.seed_of(case), trial.trainer
    before, data, X = two_problems(trial, case)

    def fitted_anew():
        trainer.fresh(seed)
        trainer.fit(*data)
        return trainer.predict(X)

    def comparable_anew():
        first = fitted_anew()
        if not trainer.sets_random_state:  # its fits may draw from one stream in turn
            trainer.fit(*data)
            varies = np.sqrt(np.mean((trainer.predict(X).astype(np.float64) - first) ** 2))
            if not varies <= NEGLIGIBLE * np.std(first):
                raise NotApplicable(
                    "the trainer has no random_state, and its first and second fit to the same "
                    "data differ: fits can be compared in law only"
                )
        return first

    expected = fitted_anew()
    for where in ("new arrays", "the same arrays filled anew"):
        trainer.fresh(seed)
        if where != "new arrays":
            trainer.refill_arguments()
        trainer.fit(*before)
        trainer.predict(X)
        trainer.fit(*data)
        same_predictions(trial, where, trainer.predict(X), expected, comparable_anew)


@claim(
    id="repeated-predictions",
    statement=(
        "Predictions depend on the rows alone: not on earlier predictions, on the number or order "
        "of the rows that are predicted together, nor on where they lie in memory."
    ),
    source="theory.md §1: f is a function of x",
    assumptions=("n = d log² d for each stage",),
    measures=(
        "Largest difference of the predictions at 1537 rows from those made again after others, in "
        "pieces of 1 and 512, in reverse order, and in an array that held other rows before, as a "
        "fraction of the square root of float32's u times the largest |prediction|: half of the "
        "digits of the coarsest arithmetic, since that of the prediction is unknown; fails above 1."
    ),
    needs="regression",
    decisions=Rounding("predictions again", bound="√u(float32) × largest"),
    cases=learning_cases(links=WELL_CONDITIONED, dims=(24, 32), losses=("own",)),
    cost=0.5,
)
def repeated_predictions(trial, case):
    trainer = trial.trainer
    (other, _), data, X = two_problems(trial, case)
    other = np.resize(other, X.shape) + X.dtype.type(1)
    trainer.fit(*data)
    first = trainer.predict(X)
    allowed = HALF_THE_DIGITS * np.abs(first).max()

    def compare(name, predicted):
        trial.within(name, predicted, first, allowed, dtype=X.dtype.name)

    trainer.predict(other)
    compare("after others", trainer.predict(X))
    pieces = np.split(X, range(1, ROWS, 512))
    compare("in pieces", np.concatenate([trainer.predict(piece) for piece in pieces]))
    compare("reversed", trainer.predict(X[::-1].copy())[::-1])
    trainer.refill_arguments()
    trainer.predict(other)
    compare("in an array filled anew", trainer.predict(X))


@claim(
    id="continuous-prediction",
    statement=(
        "Predictions vary as little near the rows of the training set as anywhere: labels are not "
        "looked up."
    ),
    source="theory.md §1: f is a function of x, continuous as σ is",
    assumptions=("n = d log² d for each stage",),
    measures=(
        "Root mean square change of the predictions when rows of the training set move by 10⁻⁹ "
        "(in float32 by 10⁻⁶) and by 10⁻³ in each coordinate, as a "
        "fraction of 10⁻³ of the predictions' spread plus eight times the change at fresh rows; "
        "fails above 1."
    ),
    needs="regression",
    decisions=Rounding("change at rows of the training set", bound="change at fresh rows"),
    cases=learning_cases(links=WELL_CONDITIONED, dims=(24, 32), losses=("own",)),
    cost=0.5,
)
def continuous_prediction(trial, case):
    trainer = trial.trainer
    _, data, fresh = two_problems(trial, case)
    trainer.fit(*data)
    rng = np.random.default_rng([trial.seed_of(case)])
    known, fresh = data[0], fresh[: len(data[0])]
    spread = np.std(trainer.predict(fresh))
    least = max(1e-9, 8 * float(np.finfo(known.dtype).eps))  # float32 has no smaller steps

    def change(X, size):
        moved = (X + size * rng.choice([-1, 1], size=X.shape)).astype(X.dtype)
        return np.sqrt(np.mean((trainer.predict(moved) - trainer.predict(X)) ** 2))

    for size in (least, 1e-3):
        allowed = 1e-3 * spread + 8 * change(fresh, size)
        found = np.array(change(known, size))
        trial.within(f"moved by {size:.0e}", found, np.zeros(()), allowed)


COPIED = {
    how: Rounding(f"predictions of a copy by {how}", bound="√u(float32) × largest")
    for how in COPIES
}


@claim(
    id="copies",
    statement="A copy of a fitted trainer gives its predictions.",
    source="theory.md §1: f is a function of x",
    assumptions=("n = d log² d for each stage", "the trainer can be copied"),
    measures=(
        "Largest difference of the predictions of a copy, by copy.deepcopy and by pickle within "
        "the trainer's process, from its own, as a fraction of the square root of float32's u "
        "times the largest |prediction|; fails above 1. A way of copying that raises, or whose "
        "copy does when it predicts, is omitted."
    ),
    needs="regression",
    decisions=tuple(COPIED.values()),
    cases=learning_cases(links=WELL_CONDITIONED, dims=(24, 32), losses=("own",)),
    cost=0.5,
)
def copies(trial, case):
    trainer = trial.trainer
    _, data, X = two_problems(trial, case)
    reasons = {}
    for how, decision in COPIED.items():
        trainer.fresh(trial.seed_of(case))
        trainer.fit(*data)
        own, reason = trainer.predict(X), ""
        try:
            trainer.replace_by_copy(how)
            reason = "not a copy that predicts: "
            copied = trainer.predict(X)
        except TrainerError as error:
            if error.kind != "raised":
                raise
            reasons[decision] = f"{reason}{error}"
            continue
        allowed = HALF_THE_DIGITS * np.abs(own).max()
        trial.on(decision).within("prediction", copied, own, allowed)
    if len(reasons) == len(COPIED):
        raise NotApplicable(f"it cannot be copied: {'; '.join(reasons.values())}")
    for decision, reason in reasons.items():
        trial.omit(decision, reason)
