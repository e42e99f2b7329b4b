"""What a wrong rule is: a function from a step to the weights that a trainer following it returns.

Most rules are the exact step with one argument replaced: a rate, the rows, the labels, the
activation. Each predicts the weights after the step from the arrays that the trainer was given,
in float64, and the rounding envelope of a trainer that follows it. For a rule that looks back
over several steps the envelope is the sum of those of the steps behind it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cache

import numpy as np

from mimverify.support.arrays import Float64Array
from mimverify.trial.diagnosis.trainer_step import Step
from mimverify.trial.reference.envelope import step_envelope, unit_roundoff
from mimverify.trial.reference.oracle import Option, OracleActivation, OracleLoss, exact_step

__all__ = [
    "Prediction", "Rule", "changed", "given", "labels_for_output", "of_weights", "rounding",
    "rule", "scaled", "shifted", "with_activation", "with_loss", "with_preactivations",
]  # fmt: skip


@dataclass(frozen=True)
class Prediction:
    """The weights that a rule gives, and their rounding envelope, computed when needed.

    **Arguments**

    - `weights`, `allowed`: both `(m, d)`.
    - `detail`: what is added to the rule's name: which rows, which constant.
    - `evident`: for a rule whose envelope is too wide to prove it by agreement: whether it is
      proved otherwise; None: agreement is the proof.
    """

    weights: Callable[[], Float64Array]
    allowed: Callable[[], Float64Array]
    detail: str = ""
    evident: bool | None = None

    def named(self, detail: str) -> Prediction:
        """The same prediction with another detail."""
        return replace(self, detail=detail)


@dataclass(frozen=True)
class Rule:
    """A wrong rule.

    **Arguments**

    - `name`: what the trainer does, in a report; details replace its {}, or are appended.
    - `predict`: its predictions for a step, one for each variant; none where it does not apply.
    - `fitted`: whether it has a constant that is fitted to the step.
    - `lasting`: whether it is about a whole trajectory, so that it cannot end.
    - `varies`: whether its details may change from step to step: which rows, which neurons.
    - `remedy`: what to do about it where that is no matter of course.
    """

    name: str
    predict: Callable[[Step], Iterator[Prediction]]
    fitted: bool = False
    varies: bool = False
    lasting: bool = False
    remedy: str = ""


def rule(
    name: str,
    *,
    fitted: bool = False,
    varies: bool = False,
    lasting: bool = False,
    remedy: str = "",
) -> Callable[[Callable[[Step], Iterator[Prediction]]], Rule]:
    """Makes a function that yields predictions a `Rule`."""

    def decorate(predict: Callable[[Step], Iterator[Prediction]]) -> Rule:
        return Rule(name, predict, fitted, varies, lasting, remedy)

    return decorate


def changed(step: Step, **changes: Option) -> Prediction:
    """The exact step with some of its arguments replaced; functions may be given by themselves."""
    arguments = step.arguments | changes
    positive = {name: abs(arguments[name]) for name in ("eta", "beta")}
    bounded = arguments | positive
    return Prediction(
        cache(lambda: exact_step(**arguments)),
        cache(lambda: step_envelope(**bounded, dtype=step.dtype)),
    )


def scaled(step: Step, *, keep: float, rate: float, **changes: Option) -> Prediction:
    """W' = keep W − rate G, G the gradient with some of its arguments replaced."""
    if rate == 0:
        kept = keep * step.W
        return of_weights(step, kept, rounding(step, kept))
    return changed(step, eta=rate, beta=(1 - keep) / rate, **changes)


def given(weights: Float64Array, allowed: Float64Array, detail: str = "") -> Prediction:
    """A prediction that is computed already."""
    return Prediction(lambda: weights, lambda: allowed, detail)


def of_weights(step: Step, weights: Float64Array, more: Float64Array | float = 0.0) -> Prediction:
    """Weights computed from the right step's parts: its envelope, and `more`."""
    return Prediction(lambda: np.asarray(weights), lambda: np.asarray(step.envelope + more))


def rounding(step: Step, *terms: Float64Array) -> Float64Array:
    """Errors of a dozen operations on terms of these sizes."""
    u = unit_roundoff(step.dtype)
    return np.asarray(16 * u * sum(np.abs(term) for term in terms))


def shifted(step: Step, prediction: Prediction, by: Float64Array) -> Prediction:
    """A prediction moved by `(m, d)`: by what a rule leaves as it was."""
    return Prediction(
        lambda: np.asarray(prediction.weights() + by),
        lambda: np.asarray(prediction.allowed() + step.envelope),
    )


def with_preactivations(step: Step, shift: Float64Array) -> Prediction:
    """The exact step with P + shift `(n, m)` in place of P."""
    value, first = step.sigma.value, step.sigma.first
    return changed(
        step,
        activation=with_activation(
            step, value=lambda z: value(z + shift), first=lambda z: first(z + shift)
        ),
    )


def labels_for_output(step: Step, output: Float64Array) -> Float64Array:
    """The labels with which f − y is the residual that another output f' has: y + f − f'.

    With them the exact step is one whose loss alone sees f'.
    """
    return np.asarray(step.y + step.output - output)


def with_activation(step: Step, **changes: Option) -> OracleActivation:
    """The step's activation with some of its functions replaced."""
    return replace(step.sigma, **changes)


def with_loss(step: Step, derivative: Callable[[Float64Array], Float64Array]) -> OracleLoss:
    """The step's loss with another derivative."""
    return replace(step.psi, derivative=derivative)
