"""Numbers rounded to fewer bits, as far as they reveal it: bfloat16, float16, TF32, float32."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import DTypeLike

from mimverify.support.arrays import Float64Array
from mimverify.trial.diagnosis.rule import (
    Prediction,
    changed,
    given,
    rule,
    shifted,
    with_preactivations,
)
from mimverify.trial.diagnosis.trainer_step import Step
from mimverify.trial.reference.envelope import unit_roundoff

_NEAR = 0.1  # of the largest weight, or gradient
_CHANCE = 1e-9  # that numbers have so many zero bits by chance


def _cut_bits(dropped: int, *, nearest: bool) -> Callable[[Float64Array], Float64Array]:
    """float32 without its last bits: rounded to nearest, ties to even, or truncated."""

    def cut(values: Float64Array) -> Float64Array:
        bits = np.ascontiguousarray(values.astype(np.float32)).view(np.uint32)
        if nearest:
            half = np.uint32((1 << (dropped - 1)) - 1)
            bits = bits + half + ((bits >> np.uint32(dropped)) & np.uint32(1))
        mask = np.uint32(0xFFFFFFFF << dropped & 0xFFFFFFFF)
        return np.asarray((bits & mask).view(np.float32).astype(np.float64))

    return cut


def _through(dtype: DTypeLike) -> Callable[[Float64Array], Float64Array]:
    return lambda values: np.asarray(values.astype(dtype).astype(np.float64))


#: The shortest format first: what fits in one also fits in the longer ones.
ROUNDINGS: dict[str, Callable[[Float64Array], Float64Array]] = {
    "bfloat16": _cut_bits(16, nearest=True),
    "float16": _through(np.float16),
    "float32": _through(np.float32),
}
#: Of operands of matrix products; TF32 has the ten bits of float16 and the exponent of float32.
_OPERANDS = {
    "TF32": _cut_bits(13, nearest=True),
    "TF32, truncated": _cut_bits(13, nearest=False),
    "bfloat16": ROUNDINGS["bfloat16"],
    "float16": ROUNDINGS["float16"],
    "float32": ROUNDINGS["float32"],
}
_BITS = {"bfloat16": 8, "float16": 11, "float32": 24}


def _narrower(step: Step) -> list[str]:
    return [name for name in ROUNDINGS if step.dtype != name]


def _all_rounded(step: Step, name: str) -> dict[str, Float64Array]:
    return {key: ROUNDINGS[name](getattr(step, key)) for key in ("X", "W", "a", "b", "y")}


@rule("X rounded to {}")
def inputs(step: Step) -> Iterator[Prediction]:
    for name in _narrower(step):
        yield changed(step, X=ROUNDINGS[name](step.X)).named(name)


@rule("labels rounded to {}")
def labels(step: Step) -> Iterator[Prediction]:
    for name in _narrower(step):
        yield changed(step, y=ROUNDINGS[name](step.y)).named(name)


@rule("weights handed over rounded to {}")
def first_weights(step: Step) -> Iterator[Prediction]:
    """Those of the first step; what it returns has all its digits."""
    for name in () if step.t else _narrower(step):
        yield changed(step, W=ROUNDINGS[name](step.W)).named(name)


@rule("all arrays rounded to {}")
def arrays(step: Step) -> Iterator[Prediction]:
    for name in _narrower(step):
        yield changed(step, **_all_rounded(step, name)).named(name)


@rule("all arrays but the weights' own copy rounded to {}")
def arrays_but_weights(step: Step) -> Iterator[Prediction]:
    for name in _narrower(step):
        rounded = _all_rounded(step, name)
        inside = changed(step, **rounded)
        yield shifted(step, inside, step.keep * (step.W - rounded["W"])).named(name)


@rule("operands of X Wᵀ rounded to {}")
def forward_product(step: Step) -> Iterator[Prediction]:
    """The preactivations alone; the gradient's product has X itself."""
    for name, rounded in _OPERANDS.items():
        if name != step.dtype:
            shift = rounded(step.X) @ rounded(step.W).T + step.b - step.preactivations
            yield with_preactivations(step, shift).named(name)


@rule("operands of all matrix products rounded to {}")
def all_products(step: Step) -> Iterator[Prediction]:
    """X Wᵀ and RᵀX, R = l' aᵀ ∘ σ'; where a number of R is within rounding of a tie, either way."""
    for name, rounded in _OPERANDS.items():
        if name == step.dtype:
            continue
        X = rounded(step.X)
        at = replace(step, X=X)
        P = X @ rounded(step.W).T + step.b
        slope = step.psi.derivative(step.sigma.value(P) @ step.a - step.y)
        R = slope[:, None] * step.sigma.first(P) * step.a
        error = 64 * unit_roundoff(step.dtype) * (np.abs(R) + np.abs(step.back).max())
        unsure = np.maximum(
            np.abs(rounded(R + error) - rounded(R)), np.abs(rounded(R - error) - rounded(R))
        )
        weights = step.keep * step.W - step.eta * rounded(R).T @ X / len(step.y)
        slack = step.eta * unsure.T @ np.abs(X) / len(step.y)
        yield given(weights, 2 * at.envelope + slack, name)


@rule("every weight rounded to {}")
def weights(step: Step) -> Iterator[Prediction]:
    """No number of a longer format has so many zero bits by chance."""
    right = step.right
    spacing = _spacing(right)
    for name in _narrower(step):
        if not (step.got.any() and np.array_equal(ROUNDINGS[name](step.got), step.got)):
            continue
        # Rounded or truncated: within a spacing of the format; float32 is only ever rounded to.
        bits = _BITS[name] + (name == "float32")
        allowed = spacing * 2.0 ** (1 - bits) + step.envelope
        if (np.abs(step.got - right) <= allowed).all():
            yield Prediction(lambda: step.got, lambda: np.zeros_like(step.W), name)
        return


@rule("gradient rounded to {}")
def gradients(step: Step) -> Iterator[Prediction]:
    """The gradient of which the step would be a right one consists of such numbers."""
    taken, right = step.gradient_taken, step.gradient
    if taken is None or np.abs(taken - right).max() > _NEAR * np.abs(right).max():
        return
    u = unit_roundoff(step.dtype)
    error = 4 * u * (np.abs(step.got) + np.abs(step.W) * (2 + abs(step.keep))) / step.eta
    error += 4 * u * np.abs(taken)
    for name in _narrower(step):
        if name == "float32":  # a matter of arithmetic: see `single_precision`
            continue
        nearest = ROUNDINGS[name](taken)
        spacing = _spacing(taken) * 2.0 ** (1 - _BITS[name])
        chance = np.minimum(1.0, 2 * error / np.maximum(spacing, np.finfo(float).tiny))
        if (np.abs(taken - nearest) <= error).all() and np.prod(chance) <= _CHANCE:
            at = step.keep * step.W - step.eta * nearest
            yield given(at, 2 * step.eta * error, name)
            return


def _spacing(values: Float64Array) -> Float64Array:
    """The power of 2 below each number."""
    _, exponent = np.frexp(values)
    return np.asarray(np.ldexp(1.0, exponent - 1))


RULES = (
    inputs, labels, first_weights, arrays, arrays_but_weights, forward_product, all_products,
    weights, gradients,
)  # fmt: skip
