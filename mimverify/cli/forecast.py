"""The theory's predictions for an experiment, to be compared with its measurements."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import expit, logit

from mimverify.experiment import ResolvedConfig
from mimverify.support.arrays import Float64Array
from mimverify.support.errors import InputError
from mimverify.support.strict_json import Json
from mimverify.theory import (
    TestErrorPrediction,
    predict_span,
    predict_test_error,
)
from mimverify.theory.run_prediction import distinct_neurons, predict_first_layer
from mimverify.theory.spectrum.population import drawn_measures
from mimverify.theory.spectrum.span import SPECTRA
from mimverify.theory.universality import kurtosis_shift, universality_note

#: For larger initial weights more of the activation matters than its curvature at zero.
_SMALL = 0.1
_RUNS = 64  # of the test error


@dataclass(frozen=True)
class Interval:
    """A number of one run at t = 0 … T: its mean or median, and the central 95 % of runs, `(T +
    1,)` each; NaN where nothing is predicted."""

    middle: Float64Array
    low: Float64Array
    high: Float64Array

    def to_json(self, middle: str) -> dict[str, list[float | None]]:
        """Plain lists; `middle` names the first."""
        names = {middle: self.middle, "low": self.low, "high": self.high}
        return {
            name: [float(x) if np.isfinite(x) else None for x in values]
            for name, values in names.items()
        }


@dataclass(frozen=True)
class Forecast:
    """What one run will show.

    - `alignment`: mean; `span`: the cosine of the worst angle, median.
    - `error`: the test error; None where it has no prediction, with the `reason`.
    - `note`: what is to be said of all of it, or "".
    """

    alignment: Interval
    span: Interval
    error: TestErrorPrediction | None
    reason: str = ""
    note: str = ""

    def to_json(self) -> Json:
        """The fields of `train --json`."""
        return {
            "predicted_alignment": self.alignment.to_json("mean"),
            "predicted_span_recovery": self.span.to_json("median"),
            "predicted_test_error": None if self.error is None else self.error.to_json(),
            "predicted_test_error_reason": self.reason or None,
            "prediction_note": self.note or None,
        }


def forecast(config: ResolvedConfig) -> Forecast:
    """Predict a configuration.

    **Raises** `InputError` where the theory does not cover its stage 1, and says why.
    """
    _check_covered(config)
    note = universality_note(config.inputs, axes=config.subspace == "axes")
    trajectory, neurons = predict_first_layer(config), distinct_neurons(config)
    aligned = Interval(trajectory.run_mean(neurons), *trajectory.run_interval(neurons))
    if note:
        aligned, said = _with_kurtosis(aligned, config)
        note += said
    try:
        return Forecast(aligned, _span(config), _error(config), note=note)
    except InputError as error:
        return Forecast(aligned, _span(config), None, str(error), note)


def _with_kurtosis(aligned: Interval, config: ResolvedConfig) -> tuple[Interval, str]:
    """The alignment with the effect of the entries' kurtosis, and what is said of it."""
    kurtosis = config.inputs.excess_kurtosis
    if kurtosis is None or config.remove_linear_part:
        return aligned, ""
    try:
        shift = kurtosis_shift(
            config.link,
            config.loss,
            excess_kurtosis=kurtosis,
            dim=config.dim,
            samples=config.samples,
            steps=config.steps,
            noise=config.noise,
        )
    except InputError:  # an unbounded T: the Gaussian prediction alone
        return aligned, ""
    moved = Interval(
        *(expit(logit(x) + shift) for x in (aligned.middle, aligned.low, aligned.high))
    )
    return moved, (
        f"; the alignment includes the effect of their excess kurtosis, {kurtosis:g}, to first "
        "order in 1/d; span recovery and test error do not"
    )


def _span(config: ResolvedConfig) -> Interval:
    """Of the weights of every step; nothing is predicted for the start."""
    samples = config.samples - (config.dim if config.remove_linear_part else 0)
    unknown = np.full(1, np.nan)
    if not config.steps:
        return Interval(unknown, unknown, unknown)
    labels = drawn_measures(
        config.link, config.loss, noise=config.noise, dim=config.dim, samples=samples,
        steps=config.steps, count=SPECTRA, seed=config.seed,
    )  # fmt: skip
    found = predict_span(
        labels, config.dim, samples, config.steps, config.neurons // 2, seed=config.seed
    )
    return Interval(*(np.append(unknown, x) for x in (found.median, found.low, found.high)))


def _error(config: ResolvedConfig) -> TestErrorPrediction:
    if config.remove_linear_part:
        raise InputError("remove_linear_part=True: the test error is predicted without it only")
    return predict_test_error(
        config.link,
        config.loss,
        dim=config.dim,
        samples=config.samples,
        steps=config.steps,
        neurons=config.neurons,
        readout_neurons=config.readout_neurons,
        ridge=config.ridge,
        activation=config.activation,
        readout=config.readout,
        noise=config.noise,
        test_samples=config.test_samples,
        runs=_RUNS,
        seed=config.seed,
    )


def _check_covered(config: ResolvedConfig) -> None:
    activation = config.activation
    if config.schedule != "scale-free":
        raise InputError(
            f"--predict, schedule={config.schedule!r}: expected 'scale-free'; `mimverify predict "
            "--decay --rate` covers other decays where the network's output stays small"
        )
    if not config.centre:
        raise InputError("--predict, centre=False: the prediction is for centred labels")
    if activation.slope_at_zero and not config.remove_linear_part:
        raise InputError(
            f"--predict, activation={activation.name!r}: its slope at zero is outside the theory "
            "unless the linear part is removed"
        )
    if config.init_norm > _SMALL:
        raise InputError(
            f"--predict, init_norm={config.init_norm:g}: expected at most {_SMALL:g}: the theory "
            "is for small initial weights"
        )
