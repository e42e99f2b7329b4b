"""Biases or output weights other than those given."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from mimverify.trial.diagnosis.rule import Prediction, changed, labels_for_output, rule
from mimverify.trial.diagnosis.trainer_step import Step

#: Sizes of blocks of threads, one for each neuron.
_BLOCKS = (32, 64, 128, 256, 512, 1024)


@rule("biases ignored")
def no_biases(step: Step) -> Iterator[Prediction]:
    yield changed(step, b=np.zeros_like(step.b))


@rule("biases of the wrong sign")
def wrong_biases(step: Step) -> Iterator[Prediction]:
    yield changed(step, b=-step.b)


@rule("biases of the neighbouring neurons")
def shifted_biases(step: Step) -> Iterator[Prediction]:
    yield changed(step, b=np.roll(step.b, 1)).named("the one before")
    yield changed(step, b=np.roll(step.b, -1)).named("the one after")


@rule("output weights of the neighbouring neurons")
def shifted_outputs(step: Step) -> Iterator[Prediction]:
    yield changed(step, a=np.roll(step.a, 1)).named("the one before")
    yield changed(step, a=np.roll(step.a, -1)).named("the one after")


@rule("output weights of the wrong sign")
def wrong_outputs(step: Step) -> Iterator[Prediction]:
    yield changed(step, a=-step.a)


@rule("output weights divided by m")
def divided(step: Step) -> Iterator[Prediction]:
    yield changed(step, a=step.a / len(step.a))


@rule("output weights divided by √m")
def divided_by_root(step: Step) -> Iterator[Prediction]:
    yield changed(step, a=step.a / np.sqrt(len(step.a)))


@rule("output weights without their signs")
def absolute(step: Step) -> Iterator[Prediction]:
    yield changed(step, a=np.abs(step.a))


@rule("output weights of one common size")
def common_size(step: Step) -> Iterator[Prediction]:
    size = np.abs(step.a)
    for detail, common in (("the first's", size[0]), ("their mean", size.mean()), ("1", 1.0)):
        yield changed(step, a=np.sign(step.a) * common).named(detail)
    yield changed(step, a=np.ones_like(step.a)).named("1, all positive")


@rule("neurons left out of the output")
def left_out(step: Step) -> Iterator[Prediction]:
    """They still move."""
    value, m, d = step.sigma.value(step.preactivations), len(step.a), step.X.shape[1]
    for detail, kept in (
        ("those beyond the d-th", d),
        ("the last", m - 1),
        ("the second half", m // 2),
        *((f"those beyond {size}", size) for size in _BLOCKS),
    ):
        if 0 < kept < m:
            output = value[:, :kept] @ step.a[:kept]
            yield changed(step, y=labels_for_output(step, output)).named(detail)


RULES = (
    no_biases, wrong_biases, shifted_biases, shifted_outputs, wrong_outputs, divided,
    divided_by_root, absolute, common_size, left_out,
)  # fmt: skip
