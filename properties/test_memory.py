"""Arguments in any memory give the same numbers, and are left as they were."""

import numpy as np

from mimverify import MultiIndexModel, TrainerError, default_samples
from mimverify.trial import (
    HALF_THE_DIGITS,
    MEMORY_FORMS,
    STANDARD_DTYPES,
    STEP_ACTIVATIONS,
    STEP_LOSSES,
    WELL_CONDITIONED,
    MemoryUse,
    Rounding,
    claim,
    exact_cases,
    exact_step,
    fit_dtype,
    learning_cases,
    step_envelope,
)

REFUSABLE = tuple(name for name, form in MEMORY_FORMS.items() if form.refusable)
PLAIN = next(iter(MEMORY_FORMS))
# Those that other claims try first, so that a trainer which compiles has met their shapes.
KINDS = ("small", "tall", "odd", "large-magnitude")
FITS = learning_cases(links=WELL_CONDITIONED, dims=(24, 32), losses=("own",))
# No two arguments of fit or predict are equal.
FORMS_OF_FIT = tuple(form for form in MEMORY_FORMS if form != "shared")
AT_A_TIME = 2  # forms in which one configuration is fitted
ROWS = 64  # that are predicted

# Inputs are moved by this much to see how far a fit's roundings reach; and how many times that
# another order of the sums in it may move a prediction.
MOVED, TIMES = 2.0**-20, 8

SAME_STEPS = Rounding("steps from arguments in every form")
TAKEN = MemoryUse("every form is accepted")
SAME_PREDICTIONS = Rounding("predictions for rows in every form", bound="√u × largest")
SAME_FITS = Rounding("predictions after fits in every form", bound="√u × largest, or 8 × moved")
UNCHANGED = MemoryUse("arguments and earlier results are unchanged")


def one_of_each_dtype(trainer):
    """An activation and a loss that the trainer supports, by dtype."""
    found: dict[str, tuple[str, str]] = {}
    for activation, loss, dtype in trainer.supported(
        STEP_ACTIVATIONS, STEP_LOSSES, STANDARD_DTYPES
    ):
        found.setdefault(dtype, (activation, loss))
    return found


def in_every_form(trial, case):
    """(form, dtype, network, data, options): where arguments are to share memory, equal ones."""
    seed = trial.seed_of(case)
    for dtype, (activation, loss) in one_of_each_dtype(trial.trainer).items():
        network, data = case.general_network(seed, dtype), case.data(seed, dtype)
        options = case.options(network, data, activation, loss)
        for form in MEMORY_FORMS:
            if form == "shared":
                (W, a, _), (X, _) = network, data
                network = (X[: len(W)] if len(W) <= len(X) else W), a, a
                options = case.options(network, data, activation, loss)
            yield form, dtype, network, data, options


def trained_by(trainer):
    """The trainer's own methods for the first layer, each giving weights `(steps + 1, m, d)`."""

    def by(method):
        def train(W, a, b, X, y, *, steps, **options):
            trainer.train_by(method)
            if method == "step":
                return np.array([W, trainer.step(W, a, b, X, y, **options)])
            return trainer.trajectory(W, a, b, X, y, steps=steps, **options)

        return train

    return {method: by(method) for method in trainer.first_layer_methods}


def refused(error, form):
    """Whether an error is another claim's: that the trainer does not accept the form."""
    return form != PLAIN and error.kind in ("raised", "dtype", "shape", "non-finite")


@claim(
    id="memory-layout",
    statement=(
        "A step depends on the numbers in its arguments, not on how they lie in memory: "
        f"{', '.join(MEMORY_FORMS)}."
    ),
    source="theory.md §2, stage 1: 'W ← W − η1 (∇_W L(W) + β1 W)'",
    assumptions=("float32 or float64 in the machine's byte order", "any W, a, b, η, β"),
    measures=(
        "Largest |W⁺ − oracle| over its rounding envelope, for step and trajectory with arguments "
        "in each form; fails above 1, or where a form is refused that plain memory is not "
        f"({' and '.join(REFUSABLE)} ones may be: Torch refuses negative strides)."
    ),
    needs="first layer",
    decisions=(SAME_STEPS, TAKEN),
    cases=exact_cases(kinds=KINDS),
)
def memory_layout(trial, case):
    for form, dtype, (W, a, b), (X, y), options in in_every_form(trial, case):
        for method, train in trained_by(trial.trainer).items():
            with trial.on(TAKEN).accepted(form, f"{method}()") as taken, trial.trainer.memory(form):
                weights = train(W, a, b, X, y, steps=case.steps, **options)
            if taken.refused:
                continue
            for t, before in enumerate(weights[:-1]):
                trial.within(
                    f"W_{t + 1}",
                    weights[t + 1],
                    exact_step(before, a, b, X, y, **options),
                    step_envelope(before, a, b, X, y, dtype=dtype, **options),
                    step=t + 1,
                    method=method,
                    memory=form,
                    dtype=dtype,
                    **options,
                )


@claim(
    id="arguments-unchanged",
    statement=(
        "step and trajectory change neither their arguments nor what they returned before, and "
        "return memory of their own."
    ),
    source="theory.md §2, stage 1: 'with a and b fixed', on 'one data set'",
    assumptions=("arguments in any form that the trainer accepts",),
    measures=(
        "Bits of all arguments, of the memory around them and of earlier results, before and after "
        "each call; fails if one differs, or if a result lies in the memory of an argument."
    ),
    needs="first layer",
    decisions=UNCHANGED,
    cases=exact_cases(kinds=KINDS),
)
def arguments_unchanged(trial, case):
    for turn, (form, _, (W, a, b), data, options) in enumerate(in_every_form(trial, case)):
        # Other weights each time: a result in memory that is used again changes.
        W = W if turn % 2 == 0 or form == "shared" else W / 2
        for train in trained_by(trial.trainer).values():
            try:
                with trial.trainer.memory(form, watched=True):
                    train(W, a, b, *data, steps=case.steps, **options)
            except TrainerError as error:
                if not refused(error, form):
                    raise
            trial.on(UNCHANGED).unchanged(trial.trainer.take_changes(), form)


class FitsInForms:
    """New trainers of one random state fitted to one data set, and their predictions at 64 rows."""

    def __init__(self, trial, case):
        self.trial, self.trainer = trial, trial.trainer
        self.dtype = fit_dtype(self.trainer)
        self.seed = trial.seed_of(case)
        self.X, self.y, self.rows = fit_data(case, self.seed, self.dtype)
        self.fit(self.X)
        self.plain = self.trainer.predict(self.rows).astype(np.float64)
        self.allowed = HALF_THE_DIGITS * np.abs(self.plain).max()

    def fit(self, X, form=PLAIN):
        """Whether a new trainer took the data in this form."""
        self.trainer.fresh(self.seed)
        accepted = self.trial.on(TAKEN).accepted(form, "fit()")
        with accepted as taken, self.trainer.memory(form):
            self.trainer.fit(X, self.y)
        return not taken.refused

    def farthest(self):
        """Largest difference of the predictions from those of the first fit."""
        return np.abs(self.trainer.predict(self.rows) - self.plain).max()

    def compare(self, decision, got, allowed, **settings):
        self.trial.on(decision).within(
            "prediction", got, self.plain, allowed, dtype=self.dtype, **settings
        )

    def compare_predictions(self):
        for form in FORMS_OF_FIT:
            accepted = self.trial.on(TAKEN).accepted(form, "predict()")
            with accepted as taken, self.trainer.memory(form):
                got = self.trainer.predict(self.rows)
            if not taken.refused:
                self.compare(SAME_PREDICTIONS, got, self.allowed, method="predict", memory=form)

    def compare_fits(self, comparable):
        """After fits in some of the forms; without comparing, that they are accepted."""
        allowed = self.allowed
        for sign in (1, -1) if comparable else ():
            moved = self.X * (1 + sign * MOVED * signs(self.X, self.seed))
            self.fit(moved.astype(self.dtype))
            allowed = max(allowed, TIMES * self.farthest())
        others = np.roll(FORMS_OF_FIT[1:], -AT_A_TIME * self.trial.turn)
        for form in map(str, others[:AT_A_TIME]):
            if self.fit(self.X, form) and comparable:
                got = self.trainer.predict(self.rows)
                self.compare(SAME_FITS, got, allowed, method="fit", memory=form)


@claim(
    id="memory-layout-of-fit",
    statement=(
        "Fit and prediction depend on the numbers in X and y, not on how they lie in memory: "
        f"{', '.join(FORMS_OF_FIT)}."
    ),
    source="theory.md §1: f is a function of x",
    assumptions=(
        "float32 or float64 in the machine's byte order",
        "for fits: two new trainers of one random state agree (else they are not compared)",
    ),
    measures=(
        "Largest difference of 64 predictions, for rows or training data in each form, from those "
        "in plain memory, as a fraction of √u (float32's) times the largest prediction; after a "
        "fit in two of the forms, of 8 times what inputs moved by 2⁻²⁰ bring about, if that is "
        "more: sums may be taken in another order. Fails above 1, or where a form is refused "
        f"({' and '.join(REFUSABLE)} ones may be)."
    ),
    needs="regression",
    decisions=(SAME_PREDICTIONS, SAME_FITS, TAKEN),
    cases=FITS,
    cost=0.5,
)
def memory_layout_of_fit(trial, case):
    fits = FitsInForms(trial, case)
    fits.compare_predictions()
    fits.fit(fits.X)
    comparable = fits.farthest() <= fits.allowed
    if not comparable:  # a sample of such differences bounds no other
        trial.omit(
            SAME_FITS,
            "two new trainers of one random state differ on the same data: fits can be compared in "
            "law only",
        )
    fits.compare_fits(comparable)


@claim(
    id="arguments-unchanged-by-fit",
    statement=(
        "fit and predict change neither their arguments nor earlier ones, nor predictions that "
        "they returned before, and return memory of their own."
    ),
    source="theory.md §1: f is a function of x",
    assumptions=("arguments in any form that the trainer accepts",),
    measures=(
        "Bits of all arguments, of the memory around them and of earlier predictions, before and "
        "after each call; fails if one differs, or if a result lies in the memory of an argument."
    ),
    needs="regression",
    decisions=UNCHANGED,
    cases=FITS,
    cost=0.5,
)
def arguments_unchanged_by_fit(trial, case):
    trainer, seed = trial.trainer, trial.seed_of(case)

    def watched(call, form, *arrays):
        """Whether the trainer accepts the form; fails where it changes anything."""
        try:
            with trainer.memory(form, watched=True):
                call(*arrays)
        except TrainerError as error:
            if not refused(error, form):
                raise
            return False
        trial.on(UNCHANGED).unchanged(trainer.take_changes(), form)
        return True

    dtypes = [name for name in STANDARD_DTYPES if name in trainer.dtypes]
    X, y, rows = fit_data(case, seed, dtypes[trial.turn % len(dtypes)])
    for form in ("columns", "Fortran", PLAIN):
        trainer.fresh(seed)
        if watched(trainer.fit, form, X, y):
            watched(trainer.predict, form, rows)
    for turn, form in enumerate(FORMS_OF_FIT):
        watched(trainer.predict, form, rows if turn % 2 else rows / 2)


def fit_data(case, seed, dtype):
    """X, y of both stages, d log² d rows each, and other rows of x."""
    model = MultiIndexModel(case.link, case.dim, seed=seed)
    data = model.sample(2 * default_samples(case.dim), dtype=dtype)
    return data.X, data.y, model.sample(ROWS, purpose="test", dtype=dtype).X


def signs(X, seed):
    """±1 for each entry."""
    return np.random.default_rng([seed, 5]).choice([-1.0, 1.0], X.shape)
