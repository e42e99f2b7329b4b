"""Labels or inputs changed, or paired wrongly, before the step."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from mimverify.support.arrays import Float64Array
from mimverify.trial.diagnosis.rule import Prediction, changed, rule, with_loss
from mimverify.trial.diagnosis.rules.rows_used import recovered_slopes
from mimverify.trial.diagnosis.trainer_step import Step

#: Limits that people choose.
LIMITS = (
    0.5, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 15.0, 16.0, 20.0, 30.0, 32.0, 50.0, 64.0, 100.0,
    127.0, 128.0, 255.0, 256.0, 1000.0, 1e4, 65504.0, 1e5, 1e6,
)  # fmt: skip
_LARGEST_BROADCAST = 1 << 24  # pairs of rows


@rule("labels of the wrong sign")
def wrong_sign(step: Step) -> Iterator[Prediction]:
    yield changed(step, y=-step.y)


@rule("network output f left out of the residual")
def no_output(step: Step) -> Iterator[Prediction]:
    yield changed(step, y=step.y + step.output)  # f − (y + f): the residual without f


@rule("labels left out of the residual")
def no_labels(step: Step) -> Iterator[Prediction]:
    yield changed(step, y=np.zeros_like(step.y))


@rule("labels centred by their mean")
def centred(step: Step) -> Iterator[Prediction]:
    yield changed(step, y=step.y - step.y.mean())


@rule("labels standardised")
def standardised(step: Step) -> Iterator[Prediction]:
    for ddof in (0, 1):
        deviation = step.y.std(ddof=ddof) if len(step.y) > ddof else 0.0
        if deviation:
            detail = "by n − 1" if ddof else ""
            yield changed(step, y=(step.y - step.y.mean()) / deviation).named(detail)


@rule("labels clipped {}")
def clipped(step: Step) -> Iterator[Prediction]:
    for limit in LIMITS:
        if np.abs(step.y).max() > limit:
            yield changed(step, y=np.clip(step.y, -limit, limit)).named(f"at ±{limit:g}")


@rule("outputs and labels clipped {}")
def both_clipped(step: Step) -> Iterator[Prediction]:
    for limit in LIMITS:
        if np.abs(step.output).max() > limit:
            cut = step.output - np.clip(step.output, -limit, limit)
            y = np.clip(step.y, -limit, limit) + cut
            yield changed(step, y=y).named(f"at ±{limit:g}")


@rule("labels one row late")
def late(step: Step) -> Iterator[Prediction]:
    yield changed(step, y=np.roll(step.y, 1))


@rule("labels one row early")
def early(step: Step) -> Iterator[Prediction]:
    yield changed(step, y=np.roll(step.y, -1))


@rule("rows and labels paired wrongly", varies=True)
def permuted(step: Step) -> Iterator[Prediction]:
    """Reversed or sorted; any order where the gradient determines every row's residual."""
    from scipy.optimize import linear_sum_assignment

    yield changed(step, y=step.y[::-1]).named("labels reversed")
    yield changed(step, y=np.sort(step.y)).named("labels sorted")
    slopes = recovered_slopes(step)
    if slopes is not None:
        apart = np.abs(step.psi.derivative(step.output[:, None] - step.y) - slopes[:, None])
        _, order = linear_sum_assignment(apart)
        rows = np.arange(len(order))
        moved = int((order != rows).sum())
        if moved and not any(np.array_equal(order, np.roll(rows, k)) for k in (1, -1)):
            yield changed(step, y=step.y[order]).named(f"{moved} of {len(order)} labels")


@rule("every output compared with every label, (n, 1) with (n,)")
def broadcast(step: Step) -> Iterator[Prediction]:
    """The mean over the labels of ψ(f_i − y_j), as broadcasting gives it."""
    y, derivative = step.y, step.psi.derivative
    if len(y) ** 2 > _LARGEST_BROADCAST:
        return

    def mean(u: Float64Array) -> Float64Array:
        return np.asarray(derivative((u + y)[:, None] - y).mean(axis=1))

    yield changed(step, loss=with_loss(step, mean))


@rule("every output compared with every label, (n,) with (n, 1)")
def broadcast_summed(step: Step) -> Iterator[Prediction]:
    """The same matrix of residuals summed over the labels, where the mean divides by n once."""
    y, derivative = step.y, step.psi.derivative
    if len(y) ** 2 > _LARGEST_BROADCAST:
        return

    def total(u: Float64Array) -> Float64Array:
        return np.asarray(derivative((u + y)[:, None] - y).sum(axis=1))

    yield changed(step, loss=with_loss(step, total))


@rule("residuals replaced by their mean")
def mean_residual(step: Step) -> Iterator[Prediction]:
    derivative = step.psi.derivative
    yield changed(
        step, loss=with_loss(step, lambda u: np.full_like(u, derivative(u).mean()))
    ).named("of ψ")
    yield changed(
        step, loss=with_loss(step, lambda u: derivative(np.full_like(u, u.mean())))
    ).named("of f − y")


@rule("inputs centred by their mean")
def inputs_centred(step: Step) -> Iterator[Prediction]:
    yield changed(step, X=step.X - step.X.mean(axis=0))


@rule("inputs standardised")
def inputs_standardised(step: Step) -> Iterator[Prediction]:
    centred = step.X - step.X.mean(axis=0)
    for ddof in (0, 1):
        deviation = step.X.std(axis=0, ddof=ddof) if len(step.y) > ddof else np.zeros(1)
        if deviation.all():
            yield changed(step, X=centred / deviation).named("by n − 1" if ddof else "")


@rule("inputs brought to rows of length 1")
def unit_rows(step: Step) -> Iterator[Prediction]:
    length = np.linalg.norm(step.X, axis=1, keepdims=True)
    if length.all():
        yield changed(step, X=step.X / length)


RULES = (
    wrong_sign, no_output, no_labels, centred, standardised, clipped, both_clipped, late, early,
    permuted, broadcast, broadcast_summed, mean_residual, inputs_centred, inputs_standardised,
    unit_rows,
)  # fmt: skip
