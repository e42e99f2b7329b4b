"""Memory that outlives a call: what one call was given shows in the next."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from mimverify.trial.diagnosis.rule import Prediction, changed, of_weights, rounding, rule
from mimverify.trial.diagnosis.rules.fitted_constants import fitted_constant
from mimverify.trial.diagnosis.trainer_step import Step


@rule("data of an earlier call used in place of those given", varies=True)
def old_data(step: Step) -> Iterator[Prediction]:
    for back, call in enumerate(reversed(step.calls_before), start=1):
        if call.X.shape == step.X.shape:
            calls = "call" if back == 1 else "calls"
            yield changed(step, X=call.X, y=call.y).named(f"{back} {calls} before")


@rule("inputs of an earlier call used in place of those given", varies=True)
def old_inputs(step: Step) -> Iterator[Prediction]:
    """With the labels that were given, which are not those of that call."""
    for back, call in enumerate(reversed(step.calls_before), start=1):
        if call.X.shape == step.X.shape and not np.array_equal(call.y, step.y):
            yield changed(step, X=call.X).named(f"{back} call{'s' * (back > 1)} before")


@rule("{} of the last gradient of the call before carried over", fitted=True)
def old_gradient(step: Step) -> Iterator[Prediction]:
    """Into the first step."""
    if not step.calls_before or step.t:
        return
    old = step.calls_before[-1]
    if old.W.shape != step.W.shape:
        return
    direction = -step.eta * old.gradient
    c = fitted_constant(step.got - step.right, direction)
    if c and old.eta:
        carried = c * direction
        errors = abs(c * step.eta / old.eta) * old.envelope + rounding(step, carried)
        yield of_weights(step, step.right + carried, np.asarray(errors)).named(f"{c:.4g}")


RULES = (old_data, old_inputs, old_gradient)
