"""A gradient of the right direction and a wrong length, or of a changed direction."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from mimverify.support.arrays import Float64Array
from mimverify.trial.diagnosis.rule import Prediction, Rule, of_weights, rounding, rule, scaled
from mimverify.trial.diagnosis.trainer_step import Step

_SMALL = (1e-2, 1e-3, 1e-4, 1e-5, 1e-6, 1e-7, 1e-8, 1e-10, 1e-12)
_NORMS = (1.0, 0.1, 0.5, 2.0, 5.0, 10.0, 100.0)


def _longer(name: str, factor: Callable[[int, int, int], float]) -> Rule:
    """The gradient times a factor that depends on n, d and m."""

    @rule(name)
    def predict(step: Step) -> Iterator[Prediction]:
        (n, d), m = step.X.shape, len(step.a)
        c = factor(n, d, m)
        if c != 1:
            yield scaled(step, keep=step.keep, rate=c * step.eta)

    return predict


_FACTORS = (
    _longer("gradient of the wrong sign", lambda n, d, m: -1.0),
    _longer("gradient summed over the samples instead of averaged", lambda n, d, m: float(n)),
    _longer("gradient averaged over the m neurons instead of the n samples", lambda n, d, m: n / m),
    _longer("gradient divided by n − 1 instead of n", lambda n, d, m: n / max(n - 1, 1)),
    _longer("gradient divided by n d instead of n", lambda n, d, m: 1 / d),
    _longer("gradient divided by the number of neurons as well", lambda n, d, m: 1 / m),
    _longer("loss with a factor 2", lambda n, d, m: 2.0),
    _longer("loss with a factor 1/2", lambda n, d, m: 0.5),
)


def _with_gradient(step: Step, gradient: Float64Array, slack: Float64Array) -> Prediction:
    """The right step with another gradient, whose own error is `slack`."""
    weights = step.keep * step.W - step.eta * gradient
    return of_weights(step, weights, step.eta * slack + rounding(step, weights, step.W))


def _gradient_error(step: Step) -> Float64Array:
    """A bound on the rounding error of the gradient `(m, d)`."""
    return np.asarray(step.envelope / step.eta) if step.eta else 0 * step.W


@rule("sign of the gradient in its place")
def sign(step: Step) -> Iterator[Prediction]:
    """Entries within rounding of zero may have either sign."""
    G, error = step.gradient, _gradient_error(step)
    either = np.where(np.abs(G) <= error, 2.0, 0.0)
    for detail, size in (
        ("", 1.0),
        ("times their mean size", float(np.abs(G).mean())),
        ("times their mean size in each neuron", np.abs(G).mean(axis=1, keepdims=True)),
    ):
        slack = size * either + error.mean()
        yield _with_gradient(step, np.sign(G) * size, slack).named(detail)


def _normalised(step: Step, axis: int | None) -> tuple[Float64Array, Float64Array]:
    """G of length 1 as a whole, or in each row, and its error."""
    G, error = step.gradient, _gradient_error(step)
    length = np.sqrt((G * G).sum(axis=axis, keepdims=True))
    length = np.where(length > 0, length, 1.0)
    spread = np.sqrt((error * error).sum(axis=axis, keepdims=True))
    return G / length, (error + spread * np.abs(G) / length) / length


@rule("gradient of each neuron brought to {}")
def each_normalised(step: Step) -> Iterator[Prediction]:
    G, slack = _normalised(step, 1)
    before = np.sqrt((step.W**2).sum(axis=1, keepdims=True))
    yield _with_gradient(step, G, slack).named("length 1")
    yield _with_gradient(step, G * before, slack * before).named("the neuron's own length")


@rule("gradient brought to length 1")
def normalised(step: Step) -> Iterator[Prediction]:
    yield _with_gradient(step, *_normalised(step, None))


@rule("gradient cut to norm {}")
def cut(step: Step) -> Iterator[Prediction]:
    G, slack = _normalised(step, None)
    norm = float(np.linalg.norm(step.gradient))
    for largest in _NORMS:
        if norm > largest:
            yield _with_gradient(step, largest * G, largest * slack).named(f"{largest:g}")
            torch = largest * norm / (norm + 1e-6)  # its clip_grad_norm_
            yield _with_gradient(step, torch * G, torch * slack).named(f"{largest:g}")


@rule("entries of the gradient cut at {}")
def entries_cut(step: Step) -> Iterator[Prediction]:
    for largest in _NORMS:
        if (np.abs(step.gradient) >= largest).all():
            continue  # its sign
        cut_off = np.clip(step.gradient, -largest, largest)
        yield _with_gradient(step, cut_off, 0 * cut_off).named(f"{largest:g}")


@rule("entries of the gradient {} taken as zero")
def flushed(step: Step) -> Iterator[Prediction]:
    G, error = step.gradient, _gradient_error(step)
    for least in _SMALL:
        if (np.abs(G) < least).any():
            unsure = np.where(np.abs(np.abs(G) - least) <= error, np.abs(G), 0.0)
            kept = np.where(np.abs(G) < least, 0.0, G)
            yield _with_gradient(step, kept, unsure).named(f"below {least:g}")


@rule("gradient transposed")
def transposed(step: Step) -> Iterator[Prediction]:
    if step.W.shape[0] == step.W.shape[1] > 1:
        yield _with_gradient(step, step.gradient.T, _gradient_error(step).T)


RULES = (
    *_FACTORS, sign, each_normalised, normalised, cut, entries_cut, flushed, transposed
)  # fmt: skip
