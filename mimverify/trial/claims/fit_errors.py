"""Test errors after `fit`, and why they are too large: beside whose, and by which stage.

All that a trainer shows here are predictions. Which stage is at fault is found by replacing the
other one. Stage 1 leaves its mark in the directions along which the predictions vary, so the
reference's stage 2 is trained on random directions of the same covariance: where it reaches about
the reference's error, stage 1 was good enough and stage 2 is at fault; where it reaches about the
trainer's, stage 1 is. "About" is nearness on the logarithmic scale, and all runs have to agree.

Of a trainer that shows its first layer, its alignment stands beside the predicted one, with how its
rows were trained, where they tell.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import lru_cache
from statistics import median
from typing import Protocol, TypeAlias

import numpy as np

from mimverify.measure import alignment
from mimverify.measure.sensitivity import average_gradients, directions_along
from mimverify.problems import Link, MultiIndexModel
from mimverify.support.arrays import Float64Array, FloatArray
from mimverify.support.errors import MimverifyError, TrainerError
from mimverify.support.strict_json import Json
from mimverify.theory.readout_error.error_prediction import predict_test_error
from mimverify.theory.trajectory import predict_trajectory
from mimverify.training import LayerwiseTrainer, default_samples, default_steps
from mimverify.trial.claims.learning import (
    error_after_fit,
    error_of,
    first_layer,
    fit_dtype,
    readout_error,
)
from mimverify.trial.diagnosis.first_layer_causes import cause_of_first_layer
from mimverify.trial.outcomes import ClaimFailed, NotApplicable
from mimverify.trial.trainer.adapter import TrainerUnderTrial
from mimverify.trial.trainer.calls import RecordedTrainer

__all__ = ["Explanation", "RunErrors", "blamed_stage", "explained_errors"]

_RUNS = 3  # that are looked into; all have to point to the same stage
_DIRECTIONS = 64  # as many as the reference has neurons
_POINTS, _MIXTURE = 9, 10  # purposes of the seeds drawn here
_PREDICTED = 40  # runs, enough for an interval of 95 %
_CLEARLY = 2.0  # times the reference's error: below, there is nothing to explain

#: Called with a run's seed: the trainer's normalised test error.
ErrorOf: TypeAlias = Callable[[int], float]


class _Trial(Protocol):
    """What is used of a `Trial`."""

    trainer: TrainerUnderTrial
    record: RecordedTrainer | None

    def seed_of(self, *what: object) -> int: ...
    def note(self, **facts: object) -> None: ...


@dataclass(frozen=True)
class RunErrors:
    """Normalised test errors on the data of one run, and how far gradients are aligned.

    **Arguments**

    - `own`: the trainer's.
    - `reference`: the reference trainer's.
    - `true_subspace`: the reference's stage 2's on the true subspace: what a perfect stage 1
      leaves.
    - `hybrid`: the reference's stage 2's on the directions along which the trainer's predictions
      vary; None: they do not vary.
    - `own_first_layer`: the reference's stage 2's on the first layer that `trajectory` or `step`
      learns; None: the trainer has none.
    - `alignment`, `reference_alignment`: with the hidden subspace, of the gradients of the
      trainer's and the reference's predictions; None: these do not vary.
    - `shown_alignment`: with the hidden subspace, of the first layer that the fitted trainer
      shows; None: it shows none.
    - `cause`: what the rows of that first layer say about stage 1, in words; "": nothing.
    """

    own: float
    reference: float
    true_subspace: float
    hybrid: float | None = None
    own_first_layer: float | None = None
    alignment: float | None = None
    reference_alignment: float | None = None
    shown_alignment: float | None = None
    cause: str = ""


def blamed_stage(runs: Sequence[RunErrors]) -> str:
    """`"stage 1"` or `"stage 2"` if the errors of every run point there, else ""."""
    found = {_blamed(run) for run in runs}
    return found.pop() if len(found) == 1 else ""


def _blamed(run: RunErrors) -> str:
    if run.hybrid is None or run.own < _CLEARLY * run.reference:
        return ""
    midpoint = math.sqrt(run.own * run.reference)  # on the logarithmic scale
    return "stage 2" if run.hybrid < midpoint else "stage 1"


@dataclass(frozen=True)
class Explanation:
    """The errors of a claim that failed, beside others'.

    **Arguments**

    - `errors`: the trainer's, of all runs.
    - `runs`: those that were looked into; none if neither time nor trainer allowed it.
    - `predicted_alignment`: with the hidden subspace, of the reference's first layer by theory.
    - `predicted`: the reference's test error by theory: median, and the central 95 % of runs;
      None: it has no prediction.
    """

    errors: tuple[float, ...]
    runs: tuple[RunErrors, ...]
    predicted_alignment: float | None = None
    predicted: tuple[float, float, float] | None = None

    @property
    def stage(self) -> str:
        """See `blamed_stage`."""
        return blamed_stage(self.runs)

    @property
    def cause(self) -> str:
        """What the first layers of most runs say, as the first of these runs has it."""
        found = [run.cause for run in self.runs if run.cause]
        return found[0] if 2 * len(found) > len(self.runs) else ""

    def median_of(self, name: str) -> float | None:
        """Of a field of `RunErrors`, over the runs that were looked into."""
        values = [getattr(run, name) for run in self.runs]
        return None if not values or None in values else float(median(values))

    def to_json(self) -> Json:
        """For the evidence: numbers, medians but for the range."""
        return {
            "test_error_median": float(median(self.errors)),
            "test_error_smallest": min(self.errors),
            "test_error_largest": max(self.errors),
            "runs_compared": len(self.runs),
            "reference_test_error": self.median_of("reference"),
            "true_subspace_test_error": self.median_of("true_subspace"),
            "hybrid_test_error": self.median_of("hybrid"),
            "own_first_layer_test_error": self.median_of("own_first_layer"),
            "gradient_alignment": self.median_of("alignment"),
            "reference_gradient_alignment": self.median_of("reference_alignment"),
            "first_layer_alignment": self.median_of("shown_alignment"),
            "first_layer_cause": self.cause or None,
            "predicted_alignment": self.predicted_alignment,
            "predicted_test_error": None if self.predicted is None else list(self.predicted),
            "blamed": self.stage or None,
        }

    def __str__(self) -> str:
        text = (
            f"test errors {min(self.errors):.3g}…{max(self.errors):.3g}, median "
            f"{median(self.errors):.3g} of {len(self.errors)} runs"
        )
        if not self.runs:
            return f"{text}; time or trainer did not allow to compare them with the reference's"
        return (
            f"{text}; on the same data the reference's {self._shown('reference')}"
            f"{self._shown_prediction()}, and {self._shown('true_subspace')} with the true "
            f"subspace given (medians of {len(self.runs)} runs); {self._first_layer()}"
            f"{self._found()}"
        )

    def _first_layer(self) -> str:
        """What the first layer that the trainer shows says."""
        if self.median_of("shown_alignment") is None:
            return ""
        predicted = self.predicted_alignment
        theory = "" if predicted is None else f", predicted {predicted:.2g}"
        cause = f": {self.cause}" if self.cause else ""
        return f"stage 1: alignment {self._shown('shown_alignment', 2)}{theory}{cause}; "

    def _shown_prediction(self) -> str:
        """What theory says of the reference, whose runs on these data are few."""
        if self.predicted is None:
            return ""
        median, low, high = self.predicted
        return f" (predicted {median:.3g}, 95 % of runs {low:.3g}…{high:.3g})"

    def _found(self) -> str:
        if self.median_of("hybrid") is None:
            return "the predictions hardly vary with x: they do not tell which stage is at fault"
        predicted = self.predicted_alignment
        theory = "" if predicted is None else f", first layer predicted {predicted:.2g}"
        seen = (
            f"the gradients of the predictions have alignment {self._shown('alignment', 2)} with "
            f"the hidden subspace (the reference's {self._shown('reference_alignment', 2)}{theory})"
            f", and on their directions the reference's stage 2 reaches {self._shown('hybrid')}"
        )
        if not self.stage:
            return f"{seen}: the runs do not tell which stage is at fault"
        return f"{self.stage} is at fault: {seen}{self._own_first_layer()}"

    def _own_first_layer(self) -> str:
        """What the trainer's own `trajectory` adds."""
        error, reference = self.median_of("own_first_layer"), self.median_of("reference")
        if error is None or reference is None or self.stage == "stage 2":
            return ""
        right = error < math.sqrt(median(self.errors) * reference)
        then = "so that fit() does not train as these do" if right else "so that these fail, too"
        return f"; on the first layer of trajectory() or step() {error:.3g}, {then}"

    def _shown(self, name: str, digits: int = 3) -> str:
        value = self.median_of(name)
        return "none" if value is None else f"{value:.{digits}g}"


@contextmanager
def explained_errors(trial: _Trial, link: Link | str, dim: int) -> Iterator[ErrorOf]:
    """Yields the error after `fit` as a function of a run's seed; explains a claim that fails.

    The failure's message then has the median error and its range, the reference's error on the
    same data, and the stage to blame where the runs tell; the configuration's notes in the
    evidence have the numbers. The trainer's recorded calls stay those on which the decision
    rests. Nothing of this is computed where the claim passes.

    **Arguments**

    - `trial`: of the claim.
    - `link`, `dim`: the model whose errors are asked for.
    """
    errors: dict[int, float] = {}

    def error(seed: int) -> float:
        errors[seed] = error_after_fit(trial, link, dim, seed)
        return errors[seed]

    try:
        yield error
    except ClaimFailed as failure:
        if not errors:
            raise
        record = trial.record
        kept = None if record is None else (record.calls, list(record.seeds), record.latest)
        runs = list(_compared(trial, link, dim, errors))
        if record is not None and kept is not None:
            record.calls, record.seeds, record.latest = kept
            # The trainer is one of the last run compared: one of the run that failed again, as
            # whoever repeats its calls expects.
            with suppress(TrainerError):
                record.again(record.calls, fresh=True)
        found = Explanation(
            tuple(errors.values()),
            tuple(runs),
            predicted_alignment(link, dim),
            predicted_error(link, dim),
        )
        trial.note(**found.to_json())
        raise ClaimFailed(f"{failure}; {found}") from None


def _compared(
    trial: _Trial, link: Link | str, dim: int, errors: Mapping[int, float]
) -> Iterator[RunErrors]:
    """A few of the runs, as far as time and the trainer allow."""
    for seed in list(errors)[:_RUNS]:
        try:
            yield _compare(trial, MultiIndexModel(link, dim, seed=seed), seed, errors[seed])
        except Exception:  # the claim has failed in any case, whatever breaks here
            return


def _compare(trial: _Trial, model: MultiIndexModel, seed: int, own: float) -> RunErrors:
    """One run again, and the errors of others on its data."""
    trainer, n = trial.trainer, default_samples(model.dim)
    dtype = fit_dtype(trainer)
    data = model.sample(2 * n, dtype=dtype)
    trainer.fresh(seed)
    trainer.fit(data.X, data.y)
    shown = _shown_first_layer(trainer, model.dim)
    gradients = _gradients(trainer.predict, model, seed, dtype)
    reference = LayerwiseTrainer(random_state=seed).fit(data.X, data.y)
    usual = _gradients(reference.predict, model, seed, dtype)
    rng = np.random.default_rng([seed, _MIXTURE])
    true = directions_along(model.subspace, _DIRECTIONS, rng)
    directions = None if gradients is None else directions_along(gradients, _DIRECTIONS, rng)
    return RunErrors(
        own=own,
        reference=error_of(reference.predict, model, dtype),
        true_subspace=readout_error(model, true, n, seed=seed),
        hybrid=None if directions is None else readout_error(model, directions, n, seed=seed),
        own_first_layer=_own_first_layer_error(trainer, model, n, seed),
        alignment=None if gradients is None else alignment(gradients, model.subspace),
        reference_alignment=None if usual is None else alignment(usual, model.subspace),
        shown_alignment=None if shown is None else _shown_alignment(shown, model.subspace),
        cause="" if shown is None else _cause(shown, data.X[:n], data.y[:n]),
    )


def _shown_first_layer(trainer: TrainerUnderTrial, dim: int) -> Float64Array | None:
    """The attribute `first_layer_` as float64; None: there is none, or no direction in it."""
    try:
        W = trainer.first_layer_after_fit()
    except TrainerError:
        return None
    if W is None or W.shape[1] != dim or not W.any():
        return None
    return np.asarray(W, dtype=np.float64)


def _shown_alignment(W: Float64Array, subspace: Float64Array) -> float:
    """With the last row, or without it where that is more: it may be a linear part."""
    found = [alignment(W, subspace)]
    if W[:-1].any():
        found.append(alignment(W[:-1], subspace))
    return max(found)


def _cause(W: Float64Array, X: FloatArray, y: FloatArray) -> str:
    """In words; "": as it should be, or in no way known."""
    try:
        found = cause_of_first_layer(W, X, y)
    except MimverifyError:
        return ""
    return "" if found is None else str(found)


def _gradients(
    predict: Callable[..., object], model: MultiIndexModel, seed: int, dtype: str
) -> Float64Array | None:
    rng = np.random.default_rng([seed, _POINTS])
    return average_gradients(predict, model.dim, rng=rng, dtype=dtype)


def predicted_alignment(link: Link | str, dim: int) -> float | None:
    """Theory's alignment of the reference's first layer after T1 steps; None: it has none."""
    n = default_samples(dim)
    try:
        found = predict_trajectory(link, "huber", dim=dim, samples=n, steps=default_steps(n, dim))
    except MimverifyError:
        return None
    return float(found.alignment[-1])


@lru_cache(maxsize=8)  # a claim that fails is replayed, and another one asks for the same
def predicted_error(link: Link | str, dim: int) -> tuple[float, float, float] | None:
    """Theory's median and central 95 % of the reference's test error; None: it has none."""
    try:
        found = predict_test_error(link, "huber", dim=dim, test_samples=4096, runs=_PREDICTED)
    except MimverifyError:
        return None
    return found.median, found.low, found.high


def _own_first_layer_error(
    trainer: TrainerUnderTrial, model: MultiIndexModel, n: int, seed: int
) -> float | None:
    """Of the reference's stage 2 on what `trajectory` learns, as the reference is trained."""
    if "first layer" not in trainer.capabilities:
        return None
    trainer.fresh(seed)
    steps = default_steps(n, model.dim)
    try:
        weights = first_layer(
            trainer, model, n, loss="huber", steps=steps, neurons=_DIRECTIONS, seed=seed
        )
        return readout_error(model, weights[-1], n, seed=seed)
    except (MimverifyError, NotApplicable):
        return None
