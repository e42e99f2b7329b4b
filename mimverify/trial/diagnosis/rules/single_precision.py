"""float32 arithmetic in answer to float64 arrays.

Its bound is a billion times as wide as float64's: any error of relative size 1e-9 is within it,
so that agreement proves nothing. It is named only where all entries are within that bound, and

- the weights, their change or the gradient are float32 numbers, by chance with probability
  ≤ `_CHANCE`; or
- a simulated float32 pass errs as the trainer does, up to a fraction ε of its error. In k
  dimensions an error of another origin is so near with probability ≈ ε^k. Entries depend on one
  another, so that k is not m d: it is 1/mean(cos²) of the angles with passes whose operations
  err at random by as much, of which `_SURROGATES` are taken, less a margin for their number.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np

from mimverify.support.arrays import Float64Array
from mimverify.trial.diagnosis.rule import Prediction, rule
from mimverify.trial.diagnosis.trainer_step import Step
from mimverify.trial.reference.envelope import step_envelope, unit_roundoff
from mimverify.trial.reference.oracle import exact_step

FLOAT32 = "float32 arithmetic"

_CHANCE = 1e-6
_ENOUGH = 20  # entries: 2^-20 is ≤ _CHANCE
_MOST_LEFT = 0.9  # of an error that is reproduced
_SURROGATES, _MARGIN = 64, 0.6  # 1 − 0.6 is more than twice the relative deviation √(2/64)
_LARGEST = 1 << 21  # multiplications of a step that is simulated
_PASSES = tuple(
    frozenset(stages.split())
    for stages in ("P b f R G W", "P b f R G", "P", "P b", "G", "P G", "P b G", "P b f G")
)
_ARRAYS = ("W", "a", "b", "X", "y")


@rule(
    FLOAT32,
    remedy="if it is meant, declare dtypes = ('float32',): these results are within its bound",
)
def arithmetic(step: Step) -> Iterator[Prediction]:
    if step.dtype != "float64" or not np.isfinite(step.got).all() or is_rounded_result(step):
        return
    given = step.arguments | {
        name: getattr(step, name).astype(np.float32).astype(np.float64) for name in _ARRAYS
    }
    weights = exact_step(**given)
    yield Prediction(
        lambda: weights,
        partial(_bound, step, given, weights),
        evident=_are_float32(step) or _simulated(step),
    )


def is_rounded_result(step: Step) -> bool:
    """Whether the weights returned are the right ones rounded to float32.

    Of float32 arithmetic each entry is correctly rounded with a probability of a half or less.
    """
    spacing = np.abs(np.spacing(step.right.astype(np.float32))).astype(np.float64)
    nearest = np.abs(step.got - step.right) <= spacing / 2 + step.envelope
    return bool(step.got.size >= _ENOUGH and nearest.all() and _on_grid(step.got, 0 * step.got))


def _bound(step: Step, given: dict[str, object], weights: Float64Array) -> Float64Array:
    """That of float32 on the rounded arrays, and on those given as far as they differ."""
    envelope = step_envelope(**given, dtype="float32")  # type: ignore[arg-type]
    return np.asarray(envelope + np.abs(weights - step.right))


def _are_float32(step: Step) -> bool:
    """Whether the weights, their change, or a gradient is made of float32 numbers."""
    u, W = unit_roundoff("float64"), step.W
    size = np.abs(step.got) + 3 * np.abs(W)
    numbers = [(step.got, 0 * size), (W - step.got, 2 * u * size)]
    if step.gradient_taken is not None:
        error = 4 * u * (size / step.eta + np.abs(step.gradient_taken))
        with_decay = (W - step.got) / step.eta
        numbers += [(step.gradient_taken, error), (with_decay, error)]
        numbers += [(step.keep * W - step.got, 4 * u * size)]
    return any(_on_grid(values, error) for values, error in numbers)


def _on_grid(values: Float64Array, error: Float64Array) -> bool:
    """Whether all are float32 numbers within their errors, which chance makes unlikely."""
    nearest = values.astype(np.float32)
    spacing = np.abs(np.spacing(nearest)).astype(np.float64)
    # Numbers that a float64 computation may give exactly are no evidence.
    counted = (values != 0) & (np.ldexp(np.frexp(values)[0], 12) % 1 != 0)
    chance = np.minimum(1.0, 2 * np.maximum(error, spacing * 2.0**-29) / spacing)
    if not counted.any() or np.prod(chance[counted]) > _CHANCE:
        return False
    return bool((np.abs(values - nearest) <= error).all())


def _simulated(step: Step) -> bool:
    """Whether a float32 pass, in all its parts or in some products, errs as the trainer does."""
    if step.W.size * len(step.y) > _LARGEST:
        return False
    errors = step.got - step.right
    size = float(np.linalg.norm(errors))
    rng = np.random.default_rng(0)
    for stages in _PASSES:
        left = float(np.linalg.norm(step.got - _pass(step, stages))) / size
        if not left < _MOST_LEFT:
            continue
        others = [
            _cosine(errors, _pass(step, stages, rng) - step.right) for _ in range(_SURROGATES)
        ]
        dimensions = _MARGIN / float(np.mean(np.square(others)))
        if dimensions * np.log(max(left, 1e-16)) <= np.log(_CHANCE / len(_PASSES)):
            return True
    return False


def _cosine(one: Float64Array, other: Float64Array) -> float:
    size = float(np.linalg.norm(one) * np.linalg.norm(other))
    return float((one * other).sum()) / size if size > 0 and np.isfinite(size) else 0.0


def _pass(
    step: Step, single: frozenset[str], rng: np.random.Generator | None = None
) -> Float64Array:
    """The step with some of its stages in float32, or erring at random by as much as float32.

    The stages: P = X Wᵀ, the sum with b, f, R = l' aᵀ ∘ σ'(P), G = RᵀX/n, and W' itself.
    """

    def cast(stage: str, *values: Any) -> tuple[Any, ...]:  # of a dtype that the stage decides
        if stage not in single:
            return tuple(v.astype(np.float64) for v in values)
        if rng is None:
            return tuple(v.astype(np.float32) for v in values)
        u = unit_roundoff("float32")
        return tuple(v * (1 + u * rng.uniform(-1, 1, v.shape)) for v in values)

    X, W = cast("P", step.X, step.W)
    P, b = cast("b", X @ W.T, step.b)
    (P,) = cast("f", np.asarray(P + b))
    value, a, y = cast("f", step.sigma.value(P), step.a, step.y)
    (slope,) = cast("R", np.asarray(step.psi.derivative(value @ a - y)))
    first, a = cast("R", step.sigma.first(P), step.a)
    R, X = cast("G", np.asarray(slope[:, None] * first * a), step.X)
    (G,) = cast("W", np.asarray(R.T @ X / len(y)))
    (W,) = cast("W", step.W)
    return np.asarray(W - step.eta * (G + step.beta * W), dtype=np.float64)


RULES = (arithmetic,)
