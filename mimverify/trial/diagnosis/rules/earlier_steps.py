"""State that is carried from step to step."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from mimverify.support.arrays import Float64Array
from mimverify.trial.diagnosis.rule import (
    Prediction,
    changed,
    rounding,
    rule,
)
from mimverify.trial.diagnosis.trainer_step import Step
from mimverify.trial.reference.envelope import lipschitz
from mimverify.trial.reference.oracle import exact_trajectory

_LONGEST = 64  # steps that a rule looks back


def _looks_back(step: Step) -> bool:
    return 0 < step.t <= _LONGEST


@rule("gradient at the weights of the step before", lasting=True)
def stale(step: Step) -> Iterator[Prediction]:
    if step.t:
        old = step.earlier[-1]
        moved = step.keep * (step.W - old.W)
        yield Prediction(lambda: old.right + moved, lambda: step.envelope + old.envelope)


@rule("gradients accumulated from step to step", lasting=True)
def accumulated(step: Step) -> Iterator[Prediction]:
    """As without `zero_grad`: the sum of all gradients so far."""
    if not _looks_back(step):
        return

    def weights() -> Float64Array:
        return np.asarray(step.right - step.eta * sum(old.gradient for old in step.earlier))

    def with_decay() -> Float64Array:
        return np.asarray(weights() - step.eta * step.beta * sum(step.history))

    def allowed() -> Float64Array:
        return np.asarray(
            step.envelope
            + sum(old.envelope for old in step.earlier)
            + rounding(step, step.W, *step.history)
        )

    yield Prediction(weights, allowed)
    yield Prediction(with_decay, allowed, "and their decay")


@rule("residual of the step before", lasting=True)
def old_residual(step: Step) -> Iterator[Prediction]:
    """That of the output before, while σ' is the current one."""
    if step.t:
        old = step.earlier[-1]
        gradient = (old.slope[:, None] * step.back).T @ step.X / len(step.y)
        weights = step.keep * step.W - step.eta * gradient
        yield Prediction(lambda: weights, lambda: 2 * (step.envelope + old.envelope))


def _drifting(step: Step, a: Float64Array, b: Float64Array) -> Prediction:
    """The step with drifted a and b; the errors of the drift grow with the steps behind it."""
    prediction = changed(step, a=a, b=b)
    return replace(
        prediction,
        allowed=lambda: np.asarray((2 + 2 * step.t) * (prediction.allowed() + step.envelope)),
    )


@rule("output weights trained along with the first layer", lasting=True)
def trains_output_weights(step: Step) -> Iterator[Prediction]:
    if _looks_back(step):
        for detail, decay in (("", 0.0), ("with decay", step.beta)):
            a = step.a
            for old in step.earlier:
                value = step.sigma.value(old.preactivations)
                a = a - step.eta * (step.psi.derivative(value @ a - step.y) @ value / len(step.y))
                a = a - step.eta * decay * a
            yield _drifting(step, a, step.b).named(detail)


@rule("biases trained along with the weights", lasting=True)
def trains_biases(step: Step) -> Iterator[Prediction]:
    if _looks_back(step):
        b = step.b
        for old in step.earlier:
            P = step.X @ old.W.T + b
            slope = step.psi.derivative(step.sigma.value(P) @ step.a - step.y)
            b = b - step.eta * step.a * (slope @ step.sigma.first(P)) / len(step.y)
        yield _drifting(step, step.a, b)


@rule("biases and output weights trained along with the weights", lasting=True)
def trains_all(step: Step) -> Iterator[Prediction]:
    if _looks_back(step):
        a, b = step.a, step.b
        for old in step.earlier:
            P = step.X @ old.W.T + b
            value = step.sigma.value(P)
            slope = step.psi.derivative(value @ a - step.y)
            b = b - step.eta * a * (slope @ step.sigma.first(P)) / len(step.y)
            a = a - step.eta * (slope @ value) / len(step.y)
        yield _drifting(step, a, b)


@rule("labels overwritten by the residuals", lasting=True)
def overwritten_labels(step: Step) -> Iterator[Prediction]:
    """y − f of every step becomes the labels of the next."""
    if _looks_back(step):
        y = step.y
        for old in step.earlier:
            y = y - old.output
        yield _drifted_labels(step, y)


def _drifted_labels(step: Step, y: Float64Array) -> Prediction:
    prediction = changed(step, y=y)
    return replace(
        prediction,
        allowed=lambda: np.asarray((1 + step.t) * (prediction.allowed() + step.envelope)),
    )


@rule("mean of the last two iterates returned", lasting=True)
def averaged(step: Step) -> Iterator[Prediction]:
    """The iterates themselves are right: those of the oracle from the first weights."""
    if not _looks_back(step):
        return
    start = step.history[0]
    given = {k: v for k, v in step.arguments.items() if k != "W"}
    weights = exact_trajectory(start, steps=step.t + 1, **given)

    def allowed() -> Float64Array:
        radius = 0.0
        for W in weights[:-1]:
            at = replace(step, W=W)
            kappa = lipschitz(**at.arguments)
            radius = kappa * radius + float(np.linalg.norm(at.envelope))
        return np.full_like(step.W, 2 * radius)

    yield Prediction(lambda: (weights[-1] + weights[-2]) / 2, allowed)


@rule("learning rate divided by √t at step t", lasting=True)
def rate_by_root(step: Step) -> Iterator[Prediction]:
    if step.t:
        yield changed(step, eta=step.eta / np.sqrt(step.t + 1))


@rule("learning rate divided by t at step t", lasting=True)
def rate_by_t(step: Step) -> Iterator[Prediction]:
    if step.t:
        yield changed(step, eta=step.eta / (step.t + 1))


RULES = (
    stale, accumulated, old_residual, trains_output_weights, trains_biases, trains_all,
    overwritten_labels, averaged, rate_by_root, rate_by_t,
)  # fmt: skip
