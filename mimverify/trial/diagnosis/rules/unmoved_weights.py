"""Weights that do not move, move too often, or are changed after the step or before the first."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from mimverify.support.arrays import Float64Array
from mimverify.trial.diagnosis.rule import Prediction, changed, given, rounding, rule
from mimverify.trial.diagnosis.rules.first_weights import UNIT_START
from mimverify.trial.diagnosis.trainer_step import Step
from mimverify.trial.reference.envelope import lipschitz, step_envelope

_MOST_NEURONS = 64  # that are moved one after another


@rule("weights not updated")
def unmoved(step: Step) -> Iterator[Prediction]:
    yield Prediction(lambda: step.W, lambda: np.zeros_like(step.W))


@rule("two steps taken for one")
def two_steps(step: Step) -> Iterator[Prediction]:
    second = replace(step, W=step.right)

    def allowed() -> Float64Array:
        spread = lipschitz(**step.arguments) * float(np.linalg.norm(step.envelope))
        return np.asarray(second.envelope + spread)

    yield Prediction(lambda: second.right, allowed)


@rule("neurons not updated", varies=True)
def unmoved_neurons(step: Step) -> Iterator[Prediction]:
    resting = (step.got == step.W).all(axis=1)
    names = _listed("neuron", resting)
    if not names:
        return
    m = len(resting)
    if m % 2 and resting[-1] and resting.sum() == 1:
        names = f"{names}, the odd one out of {m}"
    yield _where(step, resting[:, None], step.W, names)


@rule("coordinates not updated", varies=True)
def unmoved_coordinates(step: Step) -> Iterator[Prediction]:
    resting = (step.got == step.W).all(axis=0)
    names = _listed("coordinate", resting)
    if names:
        yield _where(step, resting[None, :], step.W, names)


def _where(step: Step, chosen: NDArray[np.bool_], instead: Float64Array, detail: str) -> Prediction:
    """The right step, but for some entries."""
    return Prediction(lambda: np.where(chosen, instead, step.right), lambda: step.envelope, detail)


def _listed(what: str, chosen: NDArray[np.bool_]) -> str:
    """ "neuron 2" or "neurons 0, 2"; "" for none, all, or too many to name."""
    indices = np.flatnonzero(chosen)
    if not 0 < len(indices) < len(chosen):
        return ""
    if len(indices) > 8:
        return f"{len(indices)} of {len(chosen)} {what}s"
    return f"{what}{'s' * (len(indices) > 1)} {', '.join(map(str, indices))}"


@rule("neurons moved one after another, each seeing those before it moved")
def one_after_another(step: Step) -> Iterator[Prediction]:
    m = len(step.a)
    if not 1 < m <= _MOST_NEURONS:
        return

    def weights() -> Float64Array:
        W = step.W.copy()
        for j in range(m):
            W[j] = replace(step, W=W.copy()).right[j]
        return W

    def allowed() -> Float64Array:
        # Each neuron's error, and those of the neurons before it, times κ at most.
        error = step_envelope(**step.arguments | {"W": step.W}, dtype=step.dtype)
        kappa = max(1.0, lipschitz(**step.arguments))
        carried = kappa * np.cumsum(np.linalg.norm(error, axis=1))[:, None]
        return np.asarray(2 * error + carried)

    yield Prediction(weights, allowed)


def _scaled_rows(step: Step, factor: Float64Array, detail: str) -> Prediction:
    """The right step with each row scaled: its own errors, and those of its length."""

    def allowed() -> Float64Array:
        rows = np.linalg.norm(step.envelope, axis=1, keepdims=True)
        return np.asarray(factor * (step.envelope + rows + rounding(step, step.right)))

    return Prediction(lambda: np.asarray(factor * step.right), allowed, detail)


@rule("weights brought to {} after the step")
def normalised(step: Step) -> Iterator[Prediction]:
    length = np.linalg.norm(step.right, axis=1, keepdims=True)
    if (length > 0).all():
        yield _scaled_rows(step, 1 / length, "length 1")
        before = np.linalg.norm(step.W, axis=1, keepdims=True)
        yield _scaled_rows(step, before / length, "their length before")


@rule("weights orthonormalised {} after the step")
def orthonormalised(step: Step) -> Iterator[Prediction]:
    """By QR. Its sensitivity is the condition number of the weights."""
    right = step.right
    if not np.isfinite(right).all():
        return
    Q, R = np.linalg.qr(right.T)
    k = Q.shape[1]
    least = float(np.abs(np.diag(R)).min())
    if least == 0:
        return
    error = float(np.linalg.norm(step.envelope + rounding(step, right))) / least
    for detail, directions in (
        ("by QR", Q.T),
        ("by QR (signs kept)", (Q * np.sign(np.diag(R))).T),
    ):
        for length, name in ((1.0, detail), (None, f"{detail} (norm kept)")):
            scale = length or float(np.linalg.norm(right[:k])) / np.sqrt(k)
            weights = right.copy()
            weights[:k] = scale * directions
            spread = np.full_like(right, 8 * np.sqrt(k) * scale * error)
            yield given(weights, step.envelope + spread, name)


@rule("only the top direction of the weights kept after the step")
def top_direction(step: Step) -> Iterator[Prediction]:
    """Its sensitivity is that of the singular vectors: the error over the gap."""
    if not np.isfinite(step.right).all() or min(step.right.shape) < 2:
        return
    u, s, v = np.linalg.svd(step.right, full_matrices=False)
    gap = float(s[0] - s[1])
    if gap > 0:
        error = float(np.linalg.norm(step.envelope + rounding(step, step.right)))
        spread = np.full_like(step.right, error * (1 + 4 * float(s[0]) / gap))
        yield given(u[:, :1] * s[0] * v[:1], spread)


@rule(UNIT_START)
def unit_start(step: Step) -> Iterator[Prediction]:
    length = np.linalg.norm(step.W, axis=1, keepdims=True)
    if step.t == 0 and length.all():
        prediction = changed(step, W=step.W / length)
        yield Prediction(
            prediction.weights,
            lambda: (
                prediction.allowed() * (1 + lipschitz(**step.arguments | {"W": step.W / length}))
            ),
        )


RULES = (
    unmoved, two_steps, unmoved_neurons, unmoved_coordinates, one_after_another, normalised,
    orthonormalised, top_direction, unit_start,
)  # fmt: skip
