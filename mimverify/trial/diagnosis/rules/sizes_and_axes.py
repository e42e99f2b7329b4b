"""Arrays longer than an index, a block or a buffer holds, and axes taken for one another."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from mimverify.support.arrays import Float64Array
from mimverify.trial.diagnosis.pattern import indices
from mimverify.trial.diagnosis.rule import (
    Prediction,
    changed,
    given,
    rounding,
    rule,
    shifted,
    with_loss,
    with_preactivations,
)
from mimverify.trial.diagnosis.trainer_step import Step

#: Numbers of rows or neurons at which an index of 8 or of 16 bits starts again.
_INDICES = (256, 1 << 16)
_TILES = tuple(1 << k for k in range(1, 13))


@rule("row indices taken modulo {}")
def wrapped_rows(step: Step) -> Iterator[Prediction]:
    """Rows beyond are read from the start again."""
    n = len(step.y)
    for count in _INDICES:
        if n > count:
            rows = np.arange(n) % count
            yield changed(step, X=step.X[rows], y=step.y[rows]).named(f"{count}")


@rule("neuron indices taken modulo {}")
def wrapped_neurons(step: Step) -> Iterator[Prediction]:
    """Neurons beyond see the weights of the first ones; what is updated are their own."""
    m = len(step.a)
    for count in _INDICES:
        if m > count:
            seen = step.W[np.arange(m) % count]
            prediction = changed(step, W=seen)
            yield shifted(step, prediction, step.keep * (step.W - seen)).named(f"{count}")


def _without_gradient(step: Step) -> NDArray[np.bool_] | None:
    """Which entries `(m, d)` are wrong, and decay alone; None: there is no decay to be seen, or
    nothing else."""
    if not step.beta or not step.eta:
        return None
    kept = step.keep * step.W
    decayed = np.abs(step.got - kept) <= rounding(step, step.W, kept)
    if decayed.all():
        return None
    return np.asarray(decayed & (np.abs(step.got - step.right) > step.envelope))


def _some(chosen: NDArray[np.bool_]) -> bool:
    return bool(chosen.any() and not chosen.all())


@rule("neurons without their gradient", varies=True)
def no_gradient_of_neurons(step: Step) -> Iterator[Prediction]:
    """Decay alone moves them; all others move as they should."""
    found = _without_gradient(step)
    if found is None:
        return
    right = np.abs(step.got - step.right) <= step.envelope
    chosen = np.asarray(found.any(axis=1) & (found | right).all(axis=1))
    chosen &= step.W.any(axis=1)  # those at zero are not updated at all
    if _some(chosen):
        yield _decayed(step, chosen[:, None], indices("neuron", chosen))


@rule("coordinates without their gradient", varies=True)
def no_gradient_of_coordinates(step: Step) -> Iterator[Prediction]:
    found = _without_gradient(step)
    if found is None:
        return
    right = np.abs(step.got - step.right) <= step.envelope
    chosen = np.asarray(found.any(axis=0) & (found | right).all(axis=0))
    chosen &= step.W.any(axis=0)  # those at zero are not updated at all
    if _some(chosen):
        yield _decayed(step, chosen[None, :], indices("coordinate", chosen))


def _decayed(step: Step, chosen: NDArray[np.bool_], detail: str) -> Prediction:
    kept = step.keep * step.W
    weights = np.where(chosen, kept, step.right)
    return given(weights, np.where(chosen, rounding(step, step.W, kept), step.envelope), detail)


@rule("weights of coordinates set to zero", varies=True)
def zeroed_coordinates(step: Step) -> Iterator[Prediction]:
    wrong = (np.abs(step.right) > step.envelope).any(axis=0)
    chosen = np.asarray((step.got == 0).all(axis=0) & wrong)
    if _some(chosen):
        empty = ", of columns of zeros" if not step.X[:, chosen].any() else ""
        detail = indices("coordinate", chosen) + empty
        yield given(np.where(chosen, 0.0, step.right), step.envelope, detail)


@rule("last columns left out of the preactivations")
def columns_left_out(step: Step) -> Iterator[Prediction]:
    """Those beyond a length, or beyond the last whole tile; the gradient's product has them."""
    d = step.X.shape[1]
    kept = {d - 1: "the last"}
    for size in _TILES:
        if size < d:
            kept[size] = f"those beyond {size}"
    for size in _TILES:
        if size < d and d % size:
            kept[d // size * size] = f"those beyond {d // size * size}"
    for count, detail in kept.items():
        if count:
            beyond = step.X[:, count:] @ step.W[:, count:].T
            yield with_preactivations(step, -beyond).named(detail)


@rule("inputs transposed")
def inputs_transposed(step: Step) -> Iterator[Prediction]:
    if step.X.shape[0] == step.X.shape[1] > 1:
        yield changed(step, X=step.X.T)


@rule("output weights multiplied along the rows instead of the neurons")
def weights_along_rows(step: Step) -> Iterator[Prediction]:
    """In the gradient, where n = m: R_ij has a_i. As of output weights 1 and a loss a_i l."""
    n, m = step.preactivations.shape
    if n != m or n == 1:
        return
    ones = np.ones_like(step.a)
    output = step.sigma.value(step.preactivations) @ ones
    derivative = step.psi.derivative
    yield changed(
        step,
        a=ones,
        y=step.y + output - step.output,
        loss=with_loss(step, lambda u: step.a * derivative(u)),
    )


@rule("gradient summed over the columns instead of the rows")
def summed_over_columns(step: Step) -> Iterator[Prediction]:
    """Rᵀ Xᵀ in place of Rᵀ X, where n = d."""
    n, d = step.X.shape
    if n != d or n == 1:
        return
    turned = replace(step, X=step.X.T)
    prediction = with_preactivations(turned, step.preactivations - turned.preactivations)

    def allowed() -> Float64Array:
        return np.asarray(2 * prediction.allowed() + step.envelope)

    yield Prediction(prediction.weights, allowed)


RULES = (
    wrapped_rows, wrapped_neurons, no_gradient_of_neurons, no_gradient_of_coordinates,
    zeroed_coordinates, columns_left_out, inputs_transposed, weights_along_rows,
    summed_over_columns,
)  # fmt: skip
