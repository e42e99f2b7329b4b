"""Numbers taken for something else: whole ones for integers or classes, small ones for zero."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from mimverify.support.arrays import Float64Array
from mimverify.trial.diagnosis.rule import Prediction, changed, rule, with_loss
from mimverify.trial.diagnosis.rules.labels_and_inputs import LIMITS
from mimverify.trial.diagnosis.trainer_step import Step

_Function = Callable[[Float64Array], Float64Array]

_WHOLE: dict[str, _Function] = {"truncated": np.trunc, "rounded": np.rint}
_SMALL = (1e-2, 1e-3, 1e-4, 1e-5, 1e-6, 1e-7, 1e-8, 1e-10, 1e-12)
_MOST_CLASSES = 20
_LARGEST_INTEGER = 2.0**62


def _wrapped(bits: int, *, signed: bool) -> _Function:
    """Truncated towards zero, and taken modulo 2^bits, as integers of so many bits are."""
    least = -(2.0 ** (bits - 1)) if signed else 0.0
    return lambda values: np.mod(np.trunc(values) - least, 2.0**bits) + least


_INTEGERS: dict[str, _Function] = {
    "8-bit integers": _wrapped(8, signed=True),
    "unsigned 8-bit integers": _wrapped(8, signed=False),
    "16-bit integers": _wrapped(16, signed=True),
    "integers": np.trunc,
}


def _as_integers(values: Float64Array) -> Iterator[tuple[Float64Array, str]]:
    """Values stored as integers, where that changes them and leaves something of them."""
    if np.abs(values).max() >= _LARGEST_INTEGER:
        return
    for name, stored in _INTEGERS.items():
        changed_to = stored(values)
        if changed_to.any() and (changed_to != values).any():
            yield changed_to, name


@rule("inputs stored as {}")
def inputs_as_integers(step: Step) -> Iterator[Prediction]:
    for X, name in _as_integers(step.X):
        yield changed(step, X=X).named(name)


@rule("labels stored as {}")
def labels_as_integers(step: Step) -> Iterator[Prediction]:
    for y, name in _as_integers(step.y):
        yield changed(step, y=y).named(name)


@rule("residuals {} to whole numbers")
def whole_residuals(step: Step) -> Iterator[Prediction]:
    """f − y kept as an integer."""
    residual = step.output - step.y
    for name, whole in _WHOLE.items():
        if whole(residual).any():
            yield changed(step, loss=with_loss(step, _of_whole(step, whole))).named(name)


def _of_whole(step: Step, whole: _Function) -> _Function:
    return lambda u: step.psi.derivative(whole(u))


@rule("labels replaced by the numbers of their classes")
def classes(step: Step) -> Iterator[Prediction]:
    """Their values in order."""
    values, numbers = np.unique(step.y, return_inverse=True)
    if not 1 < len(values) <= min(_MOST_CLASSES, len(step.y) // 2):
        return
    for first in (0, 1):
        yield changed(step, y=numbers + float(first)).named(f"from {first} on")
    if len(values) == 2:
        yield changed(step, y=2.0 * numbers - 1).named("−1 and 1")


@rule("all labels replaced by their median")
def one_label(step: Step) -> Iterator[Prediction]:
    """By their mean: every output compared with every label is the same, for the squared loss."""
    centre = float(np.median(step.y))
    if centre:
        yield changed(step, y=np.full_like(step.y, centre))


@rule("labels {} taken for 0")
def small_labels(step: Step) -> Iterator[Prediction]:
    size = np.abs(step.y)
    for least in _SMALL:
        if least < size.max() and (size[size > 0] < least).any():
            yield changed(step, y=np.where(size < least, 0.0, step.y)).named(f"below {least:g}")


@rule("inputs clipped {}")
def inputs_clipped(step: Step) -> Iterator[Prediction]:
    largest = np.abs(step.X).max()
    for limit in LIMITS:
        if largest > limit:
            yield changed(step, X=np.clip(step.X, -limit, limit)).named(f"at ±{limit:g}")


RULES = (
    inputs_as_integers, labels_as_integers, whole_residuals, classes, one_label, small_labels,
    inputs_clipped,
)  # fmt: skip
