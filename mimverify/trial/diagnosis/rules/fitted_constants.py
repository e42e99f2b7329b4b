"""Rules with one constant, fitted by least squares."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from mimverify.support.arrays import Float64Array
from mimverify.trial.diagnosis.rule import Prediction, changed, of_weights, rule
from mimverify.trial.diagnosis.trainer_step import Step
from mimverify.trial.reference.envelope import unit_roundoff


def fitted_constant(deviation: Float64Array, direction: Float64Array) -> float | None:
    """c that minimises ‖deviation − c direction‖; None if it is 0 or undetermined."""
    square = float((direction**2).sum())
    if not square > 0 or deviation.size < 3:
        return None
    c = float((deviation * direction).sum() / square)
    return c if np.isfinite(c) and c else None


def _pushed(step: Step) -> Float64Array:
    """η G of the right step."""
    return np.asarray(step.keep * step.W - step.right)


@rule("gradient {} times as long", fitted=True)
def longer_gradient(step: Step) -> Iterator[Prediction]:
    c = fitted_constant(step.keep * step.W - step.got, _pushed(step)) if step.eta else None
    if c:
        yield changed(step, eta=c * step.eta, beta=step.beta / c).named(f"{c:.4g}")


@rule("learning rate {} times as large", fitted=True)
def other_rate(step: Step) -> Iterator[Prediction]:
    c = fitted_constant(step.W - step.got, step.W - step.right) if step.eta else None
    if c:
        yield changed(step, eta=c * step.eta).named(f"{c:.4g}")


@rule("weight decay {} times as strong", fitted=True)
def other_decay(step: Step) -> Iterator[Prediction]:
    if step.eta:
        c = fitted_constant(step.W - _pushed(step) - step.got, step.eta * step.beta * step.W)
        if c:
            yield changed(step, beta=c * step.beta).named(f"{c:.4g}")


def _momentum(step: Step, direction: Float64Array) -> Iterator[Prediction]:
    """The right step and c times another direction of the step before."""
    c = fitted_constant(step.got - step.right, direction)
    if c:
        old, u = step.earlier[-1], unit_roundoff(step.dtype)
        errors = abs(c) * (old.envelope + 8 * u * (np.abs(step.W) + np.abs(old.W)))
        yield of_weights(step, step.right + c * direction, errors).named(f"{c:.4g}")


@rule("momentum {}", fitted=True, lasting=True)
def momentum(step: Step) -> Iterator[Prediction]:
    if step.t:
        yield from _momentum(step, step.W - step.earlier[-1].W)


@rule("momentum {} on the gradient without the decay", fitted=True, lasting=True)
def momentum_without_decay(step: Step) -> Iterator[Prediction]:
    """η times the velocity of the step before is what moved the weights, less their decay."""
    if step.t:
        yield from _momentum(step, step.W - step.keep * step.earlier[-1].W)


@rule("sign of the gradient, {} of it", fitted=True)
def sign(step: Step) -> Iterator[Prediction]:
    """In place of the gradient; entries within rounding of zero may have either sign."""
    if not step.eta:
        return
    direction = -step.eta * np.sign(step.gradient)
    kept = step.keep * step.W
    c = fitted_constant(step.got - kept, direction)
    if c:
        unsure = np.abs(step.gradient) <= step.envelope / step.eta
        slack = np.where(unsure, 2 * abs(c) * step.eta, 0.0)
        yield of_weights(step, kept + c * direction, slack).named(f"{c:.4g}")


RULES = (
    longer_gradient, other_rate, other_decay, momentum, momentum_without_decay, sign
)  # fmt: skip
