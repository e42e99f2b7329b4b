"""Another optimiser in place of gradient descent, at its usual constants."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from mimverify.support.arrays import Float64Array
from mimverify.trial.diagnosis.rule import Prediction, rounding, rule
from mimverify.trial.diagnosis.trainer_step import Step

_LONGEST = 64
_BETA1, _BETA2 = 0.9, 0.999
_EPSILONS = (1e-8, 1e-7)  # of Torch and of Keras


def _adam(step: Step, decay: float, keep: float, epsilon: float) -> Prediction:
    """W' = keep W − η m̂/(√v̂ + ε), of gradients with `decay` W added."""
    mean = np.zeros_like(step.W)
    square = np.zeros_like(step.W)
    error = np.zeros_like(step.W)
    for each in (*step.earlier, step):
        G = each.gradient + decay * each.W
        mean = _BETA1 * mean + (1 - _BETA1) * G
        square = _BETA2 * square + (1 - _BETA2) * G**2
        error = np.maximum(error, each.envelope / step.eta)
    count = step.t + 1
    mean, square = mean / (1 - _BETA1**count), square / (1 - _BETA2**count)
    size = np.sqrt(square) + epsilon
    weights = keep * step.W - step.eta * mean / size
    # |Δ m̂| and |Δ √v̂| are at most some errors of the gradients; at most 2 where G may be 0.
    slack = np.minimum(8 * error / size * (1 + np.abs(mean) / size), 2.0)

    def allowed() -> Float64Array:
        return np.asarray(step.eta * slack + rounding(step, step.W, weights))

    return Prediction(lambda: weights, allowed, f"ε = {epsilon:g}")


@rule("Adam in place of gradient descent", lasting=True)
def adam(step: Step) -> Iterator[Prediction]:
    if step.eta and step.t <= _LONGEST:
        for epsilon in _EPSILONS:
            yield _adam(step, step.beta, 1.0, epsilon)


@rule("AdamW in place of gradient descent", lasting=True)
def adamw(step: Step) -> Iterator[Prediction]:
    """Adam of the gradient, weight decay η β W apart from it."""
    if step.eta and step.t <= _LONGEST and step.beta:
        for epsilon in _EPSILONS:
            yield _adam(step, 0.0, step.keep, epsilon)


@rule("Nesterov's momentum", lasting=True)
def nesterov(step: Step) -> Iterator[Prediction]:
    """Torch's, of 0.9: v = 0.9 v + g, g + 0.9 v is the direction."""
    if step.t > _LONGEST:
        return
    velocity = np.zeros_like(step.W)
    push = velocity
    for each in (*step.earlier, step):
        push = each.gradient + step.beta * each.W
        velocity = 0.9 * velocity + push
    weights = step.W - step.eta * (push + 0.9 * velocity)
    yield Prediction(lambda: weights, lambda: _all_errors(step) + rounding(step, weights), "0.9")


def _all_errors(step: Step) -> Float64Array:
    terms = rounding(step, step.W, *step.history)
    return np.asarray(2 * (step.envelope + sum(old.envelope for old in step.earlier)) + terms)


RULES = (adam, adamw, nesterov)
