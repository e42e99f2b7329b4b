"""Weight decay left out, or applied otherwise than as η β W."""

from __future__ import annotations

from collections.abc import Iterator

from mimverify.trial.diagnosis.rule import Prediction, rule, scaled
from mimverify.trial.diagnosis.trainer_step import Step


@rule("weight decay missing")
def missing(step: Step) -> Iterator[Prediction]:
    yield scaled(step, keep=1.0, rate=step.eta)


@rule("weight decay of the wrong sign")
def wrong_sign(step: Step) -> Iterator[Prediction]:
    yield scaled(step, keep=1 + step.eta * step.beta, rate=step.eta)


@rule("weight decay applied twice")
def twice(step: Step) -> Iterator[Prediction]:
    yield scaled(step, keep=1 - 2 * step.eta * step.beta, rate=step.eta)


@rule("weight decay applied twice in a row")
def twice_in_a_row(step: Step) -> Iterator[Prediction]:
    yield scaled(step, keep=step.keep**2, rate=step.eta)


@rule("weight decay not multiplied by the rate")
def not_multiplied(step: Step) -> Iterator[Prediction]:
    yield scaled(step, keep=1 - step.beta, rate=step.eta)


@rule("weight decay applied after the gradient step")
def after_the_step(step: Step) -> Iterator[Prediction]:
    yield scaled(step, keep=step.keep, rate=step.eta * step.keep)


@rule("1 − η β taken as 0 where it is negative")
def clamped(step: Step) -> Iterator[Prediction]:
    if step.keep < 0:
        yield scaled(step, keep=0.0, rate=step.eta)


@rule("β = 0 taken as β = 1/η")
def default_for_zero(step: Step) -> Iterator[Prediction]:
    if step.beta == 0:
        yield scaled(step, keep=0.0, rate=step.eta)


@rule("weights before the step left out")
def nothing_kept(step: Step) -> Iterator[Prediction]:
    if step.beta and step.keep > 0:
        yield scaled(step, keep=0.0, rate=step.eta)


@rule("gradient left out, weight decay alone")
def decay_alone(step: Step) -> Iterator[Prediction]:
    if step.beta:
        yield scaled(step, keep=step.keep, rate=0.0)


RULES = (
    missing, wrong_sign, twice, twice_in_a_row, not_multiplied, after_the_step, clamped,
    default_for_zero, nothing_kept, decay_alone,
)  # fmt: skip
