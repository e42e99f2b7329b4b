"""Another activation or loss, an approximation of it, or its arguments clipped."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from mimverify.support.arrays import Float64Array
from mimverify.trial.diagnosis.rule import (
    Prediction,
    Rule,
    changed,
    labels_for_output,
    rule,
    with_activation,
    with_loss,
)
from mimverify.trial.diagnosis.rules.labels_and_inputs import LIMITS
from mimverify.trial.diagnosis.trainer_step import Step
from mimverify.trial.reference.oracle import ORACLE_ACTIVATIONS, ORACLE_LOSSES, OracleActivation

_Function = Callable[[Float64Array], Float64Array]

_STEPS_OF_DIFFERENCES = (1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6, 1e-7, 1e-8)
_HUBER_LIMITS = (0.1, 1 / 9, 0.5, 1.345, 1.35, 1.5, 2.0, 3.0, 5.0, 10.0)
_TORCH_THRESHOLD = 20.0


def _activation(name: str) -> Rule:
    @rule(f"activation {name}")
    def predict(step: Step) -> Iterator[Prediction]:
        if step.activation != name:
            yield changed(step, activation=name)

    return predict


def _derivative(name: str) -> Rule:
    @rule(f"derivative of the activation {name}")
    def predict(step: Step) -> Iterator[Prediction]:
        if step.activation != name:
            other = ORACLE_ACTIVATIONS[name]
            yield changed(step, activation=with_activation(step, first=other.first))

    return predict


def _loss(name: str) -> Rule:
    @rule(f"loss {name}")
    def predict(step: Step) -> Iterator[Prediction]:
        if step.loss != name:
            yield changed(step, loss=name)

    return predict


def _tanh_gelu(z: Float64Array) -> Float64Array:
    return np.asarray(z / 2 * (1 + np.tanh(np.sqrt(2 / np.pi) * (z + 0.044715 * z**3))))


def _tanh_gelu_slope(z: Float64Array) -> Float64Array:
    c = np.sqrt(2 / np.pi)
    tanh = np.tanh(c * (z + 0.044715 * z**3))
    return np.asarray((1 + tanh) / 2 + z / 2 * (1 - tanh**2) * c * (1 + 3 * 0.044715 * z**2))


@rule("GELU by its tanh approximation")
def tanh_gelu(step: Step) -> Iterator[Prediction]:
    linear = {"gelu": 0.0, "gelu-centred": 0.5}.get(step.activation)
    if linear is None:
        return
    value = OracleActivation(
        lambda z: _tanh_gelu(z) - linear * z, lambda z: _tanh_gelu_slope(z) - linear, 0.8
    )
    yield changed(step, activation=value)
    yield changed(step, activation=with_activation(step, first=value.first)).named(
        "in its derivative"
    )


@rule(
    "Torch's softplus, linear above 20",
    remedy="raise its threshold, softplus(z, threshold=40): at 20 it errs by 2e-9",
)
def torch_softplus(step: Step) -> Iterator[Prediction]:
    from scipy.special import expit

    linear = {"softplus": 0.0, "softplus-centred": 0.5}.get(step.activation)
    if linear is None or not (step.preactivations > _TORCH_THRESHOLD).any():
        return
    shift = {"softplus": 0.0, "softplus-centred": np.log(2)}[step.activation]

    def value(z: Float64Array) -> Float64Array:
        soft = np.where(z > _TORCH_THRESHOLD, z, np.logaddexp(0, z))
        return np.asarray(soft - linear * z - shift)

    def first(z: Float64Array) -> Float64Array:
        return np.where(z > _TORCH_THRESHOLD, 1.0, expit(z)) - linear

    for detail, changes in (
        ("", {"value": value, "first": first}),
        ("in its derivative", {"first": first}),
        ("in its value", {"value": value}),
    ):
        yield changed(step, activation=with_activation(step, **changes)).named(detail)


@rule("preactivations clipped {}")
def preactivations_clipped(step: Step) -> Iterator[Prediction]:
    value, first = step.sigma.value, step.sigma.first
    largest = np.abs(step.preactivations).max()
    for limit in LIMITS:
        if largest > limit:
            clip = _clip(limit)
            cut = {"value": _after(clip, value)}
            flat = {"first": _within(limit, first)}
            both = {"first": _after(clip, first)}
            for detail, changes in (("", cut | both), ("in f", cut), ("by autograd", cut | flat)):
                name = f"{detail} at ±{limit:g}".strip()
                yield changed(step, activation=with_activation(step, **changes)).named(name)


def _clip(limit: float) -> _Function:
    return lambda z: np.clip(z, -limit, limit)


def _after(change: _Function, function: _Function) -> _Function:
    return lambda z: function(change(z))


def _within(limit: float, function: _Function) -> _Function:
    """0 beyond ±limit."""
    return lambda z: np.where(np.abs(z) > limit, 0.0, function(z))


@rule("residuals clipped {}")
def residuals_clipped(step: Step) -> Iterator[Prediction]:
    derivative = step.psi.derivative
    residual = np.abs(step.output - step.y).max()
    for limit in LIMITS:
        if residual > limit and (step.loss, limit) != ("squared", 1.0):  # the Huber loss
            clipped = with_loss(step, _after(_clip(limit), derivative))
            yield changed(step, loss=clipped).named(f"at ±{limit:g}")


@rule("output f clipped {}")
def output_clipped(step: Step) -> Iterator[Prediction]:
    for limit in LIMITS:
        if np.abs(step.output).max() > limit:
            y = labels_for_output(step, np.clip(step.output, -limit, limit))
            yield changed(step, y=y).named(f"at ±{limit:g}")


@rule("derivative of the loss taken as 0 where it overflows")
def overflow_as_zero(step: Step) -> Iterator[Prediction]:
    """Formulas with e^{2|u|} or e^{4|u|}: ∞/∞ is NaN, which is replaced by zero."""
    derivative = step.psi.derivative
    largest = float(np.log(np.finfo(step.dtype).max))
    for power in (1, 2, 4):
        limit = largest / power
        if (np.abs(step.output - step.y) > limit).any():
            zeroed = with_loss(step, _within(limit, derivative))
            yield changed(step, loss=zeroed).named(f"beyond {limit:.3g}")


@rule("Huber loss that becomes linear {}")
def other_huber(step: Step) -> Iterator[Prediction]:
    if step.loss == "huber":
        for limit in _HUBER_LIMITS:
            if np.abs(step.output - step.y).max() <= limit:
                continue  # the squared loss
            yield changed(step, loss=with_loss(step, _clip(limit))).named(f"at {limit:.4g}")


@rule("smooth L1 loss in place of the Huber loss")
def smooth_l1(step: Step) -> Iterator[Prediction]:
    if step.loss == "huber":
        for limit in _HUBER_LIMITS:
            if np.abs(step.output - step.y).min() > limit:
                continue  # the l1 loss
            smooth = with_loss(step, _after(_divided_by(limit), _clip(1.0)))
            yield changed(step, loss=smooth).named(f"beta = {limit:.4g}")


@rule("derivative of the activation by a difference quotient")
def difference_quotient(step: Step) -> Iterator[Prediction]:
    """Its cancellation is in the envelope: two errors of the value, over h."""
    for h in _STEPS_OF_DIFFERENCES:
        for kind, below, above in (("forward", 0, h), ("backward", h, 0), ("central", h, h)):
            quotient = _quotient(step.sigma.value, below, above)
            yield _with_cancellation(step, quotient, h).named(f"{kind}, h = {h:g}")


def _quotient(value: _Function, below: float, above: float) -> _Function:
    return lambda z: (value(z + above) - value(z - below)) / (above + below)


def _divided_by(size: float) -> _Function:
    return lambda z: z / size


def _with_cancellation(step: Step, first: _Function, h: float) -> Prediction:
    prediction = changed(step, activation=with_activation(step, first=first))

    def allowed() -> Float64Array:
        P = step.preactivations
        u = float(np.finfo(step.dtype).eps)
        error = 8 * u * (np.maximum(1, np.abs(step.sigma.value(P))) + np.abs(P)) / h
        size = np.abs(step.slope)[:, None] * np.abs(step.a) * error
        return np.asarray(prediction.allowed() + step.eta * size.T @ np.abs(step.X) / len(step.y))

    return Prediction(prediction.weights, allowed)


RULES = (
    *map(_activation, ORACLE_ACTIVATIONS),
    *map(_derivative, ORACLE_ACTIVATIONS),
    *map(_loss, ORACLE_LOSSES),
    tanh_gelu, torch_softplus, preactivations_clipped, residuals_clipped, output_clipped,
    overflow_as_zero, other_huber, smooth_l1, difference_quotient,
)  # fmt: skip
