"""Known wrong update rules, and which of them a trainer's step follows.

Most rules are the exact step with one argument replaced: a rate, the rows, the labels, the
activation. Each predicts the weights after the step from the arrays that the trainer was
given, in float64, and the rounding envelope of a trainer that follows it. A rule is named
only if the trainer's weights agree with its prediction within that envelope, while they are
`CLEAR` envelopes or more from the correct ones: chance agreement is excluded.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import DTypeLike, NDArray

from mimverify.support.arrays import Float64Array
from mimverify.support.strict_json import Json
from mimverify.trial.reference.envelope import lipschitz, step_envelope, unit_roundoff
from mimverify.trial.reference.oracle import (
    ORACLE_ACTIVATIONS,
    ORACLE_LOSSES,
    Option,
    Options,
    exact_step,
)

if TYPE_CHECKING:
    from jaxtyping import Float64

__all__ = ["CLEAR", "Match", "Step", "match"]

#: A deviation of fewer envelopes is too small to identify its cause. Rules with a fitted
#: constant must explain `CLEAR_FITTED` of them.
CLEAR, CLEAR_FITTED = 8.0, 100.0
_BLOCKS = (2048, 1024, 512, 500, 256, 200, 128, 100, 64, 50, 32, 16, 10, 8)  # rows
_LATER = 3  # steps after the first on which a rule is tested as well
_NAMES = 3  # rules that are named at most where they cannot be distinguished


@dataclass(frozen=True)
class Step:
    """One step of a trainer: what it was given, and what came back.

    **Arguments**

    - `W`, `a`, `b`, `X`, `y`: of `exact_step`, in float64 with the values handed over.
    - `got`: the weights that the trainer returned, `(m, d)`.
    - `eta`, `beta`, `activation`, `loss`: of `exact_step`, in mimverify's spelling.
    - `dtype`: of the arrays handed over.
    - `previous`: the trainer's weights one step earlier, where there was one.
    """

    W: Float64Array
    a: Float64Array
    b: Float64Array
    X: Float64Array
    y: Float64Array
    got: Float64Array
    eta: float
    beta: float
    activation: str
    loss: str
    dtype: str
    previous: Float64Array | None = None

    @property
    def arguments(self) -> Options:
        """Those of `exact_step`, by name."""
        names = ("W", "a", "b", "X", "y", "eta", "beta", "activation", "loss")
        return {name: getattr(self, name) for name in names}

    @cached_property
    def right(self) -> Float64[Float64Array, "m d"]:
        """The weights `(m, d)` after a correct step."""
        return exact_step(**self.arguments)

    @cached_property
    def envelope(self) -> Float64[Float64Array, "m d"]:
        """The rounding envelope of a correct step, `(m, d)`."""
        return step_envelope(**self.arguments, dtype=self.dtype)


@dataclass(frozen=True)
class Match:
    """A wrong rule that a trainer's step follows.

    **Arguments**

    - `rule`: its name; several joined by "or" if the arrays cannot distinguish them.
    - `misfit`: distance of the trainer's weights from its prediction, in rounding envelopes.
    - `deviation`: distance from the correct weights, in rounding envelopes.
    - `steps`: how many consecutive steps follow it, of those that were tested.
    - `tried`: how many were tested.
    """

    rule: str
    misfit: float
    deviation: float
    steps: int
    tried: int

    def __str__(self) -> str:
        return (
            self.rule
            if self.steps == self.tried
            else f"{self.rule}, at {self.steps} of {self.tried} steps"
        )

    @classmethod
    def from_json(cls, record: Json) -> Match:
        """The match that `to_json` wrote."""
        return cls(
            rule=record["rule"],
            misfit=record["misfit_envelopes"],
            deviation=record["deviation_envelopes"],
            steps=record["steps"],
            tried=record["steps_tried"],
        )

    def to_json(self) -> Json:
        """`behaves_like` of a verdict's evidence."""
        return {
            "rule": self.rule,
            "misfit_envelopes": self.misfit,
            "deviation_envelopes": self.deviation,
            "steps": self.steps,
            "steps_tried": self.tried,
        }


@dataclass(frozen=True)
class _Prediction:
    """The weights that a rule gives, and their rounding envelope, computed when needed."""

    rule: str
    weights: Callable[[], Float64Array]
    allowed: Callable[[], Float64Array]


_Rules = Callable[[Step], Iterator[_Prediction]]


def match(steps: Sequence[Step]) -> Match | None:
    """The wrong rule that the first of `steps` follows; None if no known one fits.

    **Arguments**

    - `steps`: of one trajectory in order; the first is the one that deviates.
    """
    with np.errstate(all="ignore"):  # what overflows matches nothing
        for rules, clear in ((_fixed, CLEAR), (_fitted, CLEAR_FITTED), (_precision, CLEAR)):
            found = _matches(steps[0], rules, clear)
            if found:
                return _confirmed(steps[: 1 + _LATER], rules, clear, found)
    return None


def _confirmed(
    steps: Sequence[Step], rules: _Rules, clear: float, found: dict[str, tuple[float, float]]
) -> Match:
    """The rules of `found` that hold for longest."""
    matching, held = dict(found), 1
    for step in steps[1:]:
        later = _matches(step, rules, clear, only=matching)
        if not later:
            break
        matching = {rule: both for rule, both in matching.items() if rule in later}
        held += 1
    best = sorted(matching, key=lambda rule: matching[rule][0])[:_NAMES]
    misfit, deviation = matching[best[0]]
    return Match(" or ".join(best), misfit, deviation, held, len(steps))


def _matches(
    step: Step, rules: _Rules, clear: float, only: Container[str] | None = None
) -> dict[str, tuple[float, float]]:
    """Rules that fit → distances in envelopes from their weights and from the correct ones."""
    right, envelope = step.right, step.envelope
    deviation = _distance(step.got, right, envelope)
    if not deviation >= clear:
        return {}
    apart = float(np.abs(step.got - right).max())
    found = {}
    for prediction in rules(step):
        if only is not None and prediction.rule not in only:
            continue
        weights = prediction.weights()
        # The envelope costs as much as the step: skip it where it cannot decide.
        if not np.abs(step.got - weights).max() <= apart / clear:
            continue
        misfit = _distance(step.got, weights, prediction.allowed())
        if misfit <= 1:
            found[prediction.rule] = (misfit, deviation)
    return found


def _distance(got: Float64Array, expected: Float64Array, allowed: Float64Array) -> float:
    """Largest |got − expected| in units of what is allowed."""
    return float((np.abs(got - expected) / np.maximum(allowed, np.finfo(np.float64).tiny)).max())


# -- the rules ---------------------------------------------------------------------------------


def _changed(step: Step, rule: str, **changes: Option) -> _Prediction:
    """The exact step with some of its arguments replaced."""
    given = step.arguments | changes
    bounded = given | {"eta": abs(given["eta"]), "beta": abs(given["beta"])}
    return _Prediction(
        rule,
        partial(exact_step, **given),
        partial(step_envelope, **bounded, dtype=step.dtype),
    )


def _scaled(step: Step, rule: str, *, keep: float, rate: float, **changes: Option) -> _Prediction:
    """W' = keep W − rate G, G the gradient with some of its arguments replaced."""
    return _changed(step, rule, eta=rate, beta=(1 - keep) / rate, **changes)


def _fixed(step: Step) -> Iterator[_Prediction]:
    """Rules without a free constant."""
    yield from _decay(step)
    yield from _scale(step)
    yield from _rows(step)
    yield from _labels(step)
    yield from _network(step)
    yield from _weights(step)


def _decay(step: Step) -> Iterator[_Prediction]:
    eta, beta = step.eta, step.beta
    if eta == 0 or beta == 0:
        return
    shrink = 1 - eta * beta
    yield _scaled(step, "weight decay missing", keep=1.0, rate=eta)
    yield _scaled(step, "weight decay of the wrong sign", keep=1 + eta * beta, rate=eta)
    yield _scaled(step, "weight decay applied twice", keep=1 - 2 * eta * beta, rate=eta)
    yield _scaled(step, "weight decay applied twice in a row", keep=shrink**2, rate=eta)
    yield _scaled(step, "weight decay not multiplied by the rate", keep=1 - beta, rate=eta)
    if shrink:
        yield _scaled(
            step, "weight decay applied after the gradient step", keep=shrink, rate=eta * shrink
        )


def _scale(step: Step) -> Iterator[_Prediction]:
    eta, keep = step.eta, 1 - step.eta * step.beta
    if eta == 0:
        return
    (n, d), m = step.X.shape, len(step.a)
    factors = {
        "gradient of the wrong sign": -1.0,
        "gradient summed over the samples instead of averaged": float(n),
        "gradient averaged over the m neurons instead of the n samples": n / m,
        "gradient divided by n − 1 instead of n": n / max(n - 1, 1),
        "gradient divided by n d instead of n": 1 / d,
        "gradient divided by the number of neurons as well": 1 / m,
        "loss with a factor 2": 2.0,
        "loss with a factor 1/2": 0.5,
    }
    for rule, factor in factors.items():
        if factor != 1:
            yield _scaled(step, rule, keep=keep, rate=factor * eta)


def _rows(step: Step) -> Iterator[_Prediction]:
    n = len(step.y)
    blocks: dict[int, list[str]] = {}
    for size in _BLOCKS:
        if size < n and n % size:
            blocks.setdefault(n - n % size, []).append(str(size))
    for kept, sizes in blocks.items():
        rule = f"last {n - kept} rows dropped, a partial block of {' or '.join(sizes)}"
        yield from _subset(step, rule, slice(kept))
    if n > 1:
        yield from _subset(step, "last row dropped", slice(n - 1))
        yield from _subset(step, "first row dropped", slice(1, None))
        yield from _subset(step, "only the first half of the rows used", slice(n // 2))
        yield from _subset(step, "only the second half of the rows used", slice(n // 2, None))
        yield from _subset(step, "only every second row used", slice(None, None, 2))


def _subset(step: Step, rule: str, rows: slice) -> Iterator[_Prediction]:
    X, y = step.X[rows], step.y[rows]
    yield _changed(step, rule, X=X, y=y)
    if step.eta:
        rate, keep = step.eta * len(y) / len(step.y), 1 - step.eta * step.beta
        yield _scaled(step, f"{rule}, but counted in n", keep=keep, rate=rate, X=X, y=y)


def _labels(step: Step) -> Iterator[_Prediction]:
    y = step.y
    output = ORACLE_ACTIVATIONS[step.activation].value(step.X @ step.W.T + step.b) @ step.a
    yield _changed(step, "labels of the wrong sign", y=-y)
    # f − (y + f): the residual without f.
    yield _changed(step, "network output f left out of the residual", y=y + output)
    yield _changed(step, "labels left out of the residual", y=np.zeros_like(y))
    yield _changed(step, "labels centred by their mean", y=y - y.mean())
    if y.std():
        yield _changed(step, "labels standardised", y=(y - y.mean()) / y.std())
    yield _changed(step, "labels one row late", y=np.roll(y, 1))
    yield _changed(step, "labels one row early", y=np.roll(y, -1))
    yield _changed(step, "inputs centred by their mean", X=step.X - step.X.mean(axis=0))


def _network(step: Step) -> Iterator[_Prediction]:
    m = len(step.a)
    yield _changed(step, "biases ignored", b=np.zeros_like(step.b))
    yield _changed(step, "biases of the wrong sign", b=-step.b)
    yield _changed(step, "output weights of the wrong sign", a=-step.a)
    if m > 1:
        yield _changed(step, "output weights divided by m", a=step.a / m)
        yield _changed(step, "output weights divided by √m", a=step.a / np.sqrt(m))
    pre = step.X @ step.W.T + step.b
    output = ORACLE_ACTIVATIONS[step.activation].value(pre) @ step.a
    for name, other in ORACLE_ACTIVATIONS.items():
        if name == step.activation:
            continue
        yield _changed(step, f"activation {name}", activation=name)
        # The residual of the right activation, the derivative of the other.
        shift = other.value(pre) @ step.a - output
        yield _changed(
            step, f"derivative of the activation {name}", activation=name, y=step.y + shift
        )
    for name in ORACLE_LOSSES:
        if name != step.loss:
            yield _changed(step, f"loss {name}", loss=name)


def _weights(step: Step) -> Iterator[_Prediction]:
    yield _Prediction("weights not updated", lambda: step.W, partial(np.zeros_like, step.W))
    second = replace(step, W=step.right)

    def two_steps() -> Float64Array:
        spread = lipschitz(**step.arguments) * float(np.linalg.norm(step.envelope))
        return np.asarray(second.envelope + spread)

    yield _Prediction("two steps taken for one", lambda: second.right, two_steps)
    resting = (step.got == step.W).all(axis=1)
    names = _neurons(resting)
    if names:
        yield _Prediction(
            f"{names} not updated",
            lambda: np.where(resting[:, None], step.W, step.right),
            lambda: step.envelope,
        )
    if step.previous is not None:
        old = replace(step, W=step.previous)
        moved = (1 - step.eta * step.beta) * (step.W - step.previous)
        yield _Prediction(
            "gradient at the weights of the step before",
            lambda: old.right + moved,
            lambda: step.envelope + old.envelope,
        )
    length = np.linalg.norm(step.right, axis=1, keepdims=True)
    if (length > 0).all():
        before = np.linalg.norm(step.W, axis=1, keepdims=True)
        for rule, wanted in (("length 1", 1.0), ("their length before", before)):
            yield _Prediction(
                f"weights brought to {rule} after the step",
                partial(np.multiply, wanted / length, step.right),
                partial(_after_normalising, step, wanted / length),
            )


def _after_normalising(step: Step, factor: Float64Array) -> Float64Array:
    """The envelope `(m, d)` after scaling each row: its own errors, and those of its length."""
    rows = np.linalg.norm(step.envelope, axis=1, keepdims=True)
    rounding = 16 * unit_roundoff(step.dtype) * np.abs(step.right)
    return np.asarray(factor * (step.envelope + rows + rounding))


def _neurons(chosen: NDArray[np.bool_]) -> str:
    """ "neuron 2" or "neurons 0, 2"; "" for none, all, or too many to name."""
    indices = np.flatnonzero(chosen)
    if not 0 < len(indices) < len(chosen):
        return ""
    if len(indices) > 8:
        return f"{len(indices)} of {len(chosen)} neurons"
    return f"neuron{'s' * (len(indices) > 1)} {', '.join(map(str, indices))}"


def _fitted(step: Step) -> Iterator[_Prediction]:
    """Rules with one constant, fitted by least squares."""
    eta, beta, right = step.eta, step.beta, step.right
    kept = (1 - eta * beta) * step.W
    gradient = kept - right  # η G
    if eta:
        c = _fit(kept - step.got, gradient)
        if c:
            yield _changed(step, f"gradient {c:.4g} times as long", eta=c * eta, beta=beta / c)
        c = _fit(step.W - step.got, step.W - right)
        if c:
            yield _changed(step, f"learning rate {c:.4g} times as large", eta=c * eta)
        c = _fit(step.W - gradient - step.got, eta * beta * step.W)
        if c:
            yield _changed(step, f"weight decay {c:.4g} times as strong", beta=c * beta)
    if step.previous is None:
        return
    moved = step.W - step.previous
    before = replace(step, W=step.previous)
    last_gradient = (1 - eta * beta) * step.previous - before.right  # η G, one step earlier
    for rule, direction in (
        ("momentum {:.4g}", moved),
        ("momentum {:.4g} on the gradient without the decay", -last_gradient),
    ):
        c = _fit(step.got - right, direction)
        if c:
            yield _Prediction(
                rule.format(c),
                partial(np.add, right, c * direction),
                partial(_momentum_envelope, step, before, c),
            )


def _momentum_envelope(step: Step, before: Step, c: float) -> Float64Array:
    u = unit_roundoff(step.dtype)
    sizes = np.abs(step.W) + np.abs(before.W)
    return np.asarray(step.envelope + abs(c) * (before.envelope + 8 * u * sizes))


def _fit(deviation: Float64Array, direction: Float64Array) -> float | None:
    """c that minimises ‖deviation − c direction‖; None if it is 0 or undetermined."""
    square = float((direction**2).sum())
    if not square > 0 or deviation.size < 3:
        return None
    c = float((deviation * direction).sum() / square)
    return c if np.isfinite(c) and c else None


def _precision(step: Step) -> Iterator[_Prediction]:
    """Lower precision, as far as the numbers themselves reveal it."""
    narrow = [name for name in _ROUNDINGS if step.dtype != name]
    for name in narrow:
        rounded = {key: _ROUNDINGS[name](getattr(step, key)) for key in ("X", "W", "a", "b", "y")}
        yield _changed(step, f"X rounded to {name}", X=rounded["X"])
        yield _changed(step, f"labels rounded to {name}", y=rounded["y"])
        inside = _changed(step, f"all arrays rounded to {name}", **rounded)
        yield inside
        kept = (1 - step.eta * step.beta) * (step.W - rounded["W"])
        yield _Prediction(
            f"all arrays but the weights' own copy rounded to {name}",
            partial(_shifted, inside.weights, kept),
            partial(_sum, inside.allowed, step),
        )
    # No number of a longer format has so many zero bits by chance.
    right = step.right
    near = np.abs(step.got - right).max() <= _NEAR * np.abs(right).max()
    for name in narrow:
        if near and step.got.any() and np.array_equal(_ROUNDINGS[name](step.got), step.got):
            yield _Prediction(
                f"every weight rounded to {name}",
                lambda: step.got,
                partial(np.zeros_like, step.W),
            )
            return


_NEAR = 0.1  # of the largest weight


def _sum(allowed: Callable[[], Float64Array], step: Step) -> Float64Array:
    return np.asarray(allowed() + step.envelope)


def _shifted(weights: Callable[[], Float64Array], by: Float64Array) -> Float64Array:
    return np.asarray(weights() + by)


def _bfloat16(values: Float64Array) -> Float64Array:
    """Rounded to nearest, ties to even."""
    bits = values.astype(np.float32).view(np.uint32)
    bits = bits + 0x7FFF + ((bits >> 16) & 1)
    return (bits & np.uint32(0xFFFF0000)).view(np.float32).astype(np.float64)


def _through(dtype: DTypeLike) -> Callable[[Float64Array], Float64Array]:
    return lambda values: values.astype(dtype).astype(np.float64)


#: The shortest format first: what fits in one also fits in the longer ones.
_ROUNDINGS: dict[str, Callable[[Float64Array], Float64Array]] = {
    "bfloat16": _bfloat16,
    "float16": _through(np.float16),
    "float32": _through(np.float32),
}
