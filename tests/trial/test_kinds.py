"""Kinds of cases: each has what it is for, and admits a correct trainer and few others."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings

from mimverify import numpy_trainer
from mimverify.support.arrays import FloatArray
from mimverify.trial import (
    KINDS,
    ONE_STEP_KINDS,
    PROFILES,
    STANDARD_ACTIVATIONS,
    STANDARD_LOSSES,
    SYMMETRIC_KINDS,
    ExactCase,
    exact_cases,
    exact_step,
    step_envelope,
)

Arrays = tuple[FloatArray, FloatArray, FloatArray, FloatArray, FloatArray]


def simplest(kind: str) -> ExactCase:
    """The case that the quick profile tries, which takes one of each kind."""
    found: list[ExactCase] = []

    @settings(
        max_examples=1,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(exact_cases(kinds=(kind,))[0])
    def draw(case: ExactCase) -> None:
        found.append(case)

    draw()
    return found[0]


def arrays(kind: str, dtype: str = "float64", seed: int = 0) -> Arrays:
    """W, a, b, X, y of the simplest case."""
    case = simplest(kind)
    W, a, b = case.general_network(seed, dtype)
    X, y = case.data(seed, dtype)
    return W, a, b, X, y


@pytest.mark.parametrize("kind", KINDS)
def test_the_first_case_of_a_kind_has_its_first_values(kind: str) -> None:
    case, values = simplest(kind), KINDS[kind]
    assert (case.dim, case.neurons) == (values.dims[0], values.neurons[0])
    assert case.samples == (values.samples or (case.samples,))[0]
    assert (case.norm, case.scale) == (values.norms[0], values.scales[0])


def test_kinds_that_are_named_elsewhere_exist() -> None:
    assert set(ONE_STEP_KINDS) < set(KINDS)
    assert set(SYMMETRIC_KINDS) < set(KINDS)


def test_larger_profiles_try_several_cases_of_each_kind() -> None:
    least = [PROFILES[name].examples_of_stratum(len(KINDS)) for name in PROFILES]
    assert least == [1, 2, 7]
    assert PROFILES["standard"].examples_of_stratum(2) == 10


#: What is special about each, as (W, a, b, X, y) show it.
SPECIAL: dict[str, Callable[..., bool]] = {
    "rows-beyond-16-bits": lambda W, a, b, X, y: len(y) > 1.4 * 2**16,
    "many-neurons": lambda W, a, b, X, y: len(a) > 1024 and len(a) % 64 > 0,
    "many-columns": lambda W, a, b, X, y: len(X.T) > 1024 and len(X.T) % 64 > 0,
    "square-inputs": lambda W, a, b, X, y: X.shape[0] == X.shape[1] != len(a),
    "rows-as-neurons": lambda W, a, b, X, y: len(y) == len(a) != len(X.T),
    "square": lambda W, a, b, X, y: len(a) == len(X.T) != len(y),
    "cubic": lambda W, a, b, X, y: len(a) == len(X.T) == len(y),
    "zeros": lambda W, a, b, X, y: (
        (y == 0).any() and not X.any(axis=1).all() and not X.any(axis=0).all()
        and not W.any(axis=1).all() and not a.all()
    ),
    "outliers": lambda W, a, b, X, y: np.abs(y).max() > 1e6 and np.abs(X).max() > 10,
    "tiny-labels": lambda W, a, b, X, y: np.median(np.abs(y)) < 1e-6,
    "subnormal": lambda W, a, b, X, y: all(
        ((v != 0) & (np.abs(v) < np.finfo(v.dtype).tiny)).any() for v in (W, a, X, y)
    ),
    "whole-numbers": lambda W, a, b, X, y: (
        np.abs(X).max() > 127 and (np.rint(X) == X).all() and set(y) == {-1.0, 1.0}
    ),
    "constant-labels": lambda W, a, b, X, y: np.ptp(y) == 0 and y[0] != 0,
    "one-odd-label": lambda W, a, b, X, y: (y == y[0]).sum() == len(y) - 1,
    "mirrored-biases": lambda W, a, b, X, y: (
        mirrored(W) and opposite(a) and mirrored(b) and b.any()
    ),
    "mirrored-with-decay": lambda W, a, b, X, y: mirrored(W) and opposite(a) and not b.any(),
    "mirrored-opposite-biases": lambda W, a, b, X, y: (
        mirrored(W) and opposite(a) and opposite(b) and b.any()
    ),
    "mirrored-unequal": lambda W, a, b, X, y: mirrored(W) and opposite(a) and np.ptp(abs(a)) > 0,
    "mirrored-weights": lambda W, a, b, X, y: mirrored(W) and a.sum() == 0 and not opposite(a),
    "first-pairs-mirrored": lambda W, a, b, X, y: (
        opposite(a) and np.array_equal(W[0], W[len(W) // 2]) and not mirrored(W)
    ),
    "interleaved": lambda W, a, b, X, y: (
        np.array_equal(W[::2], W[1::2]) and np.array_equal(a[::2], -a[1::2]) and not mirrored(W)
    ),
}  # fmt: skip


def mirrored(v: FloatArray) -> bool:
    """Whether both halves are equal."""
    first, second = np.split(v, 2)
    return np.array_equal(first, second)


def opposite(v: FloatArray) -> bool:
    """Whether the second half is the first with the other sign."""
    first, second = np.split(v, 2)
    return np.array_equal(first, -second)


@pytest.mark.parametrize("kind", SPECIAL)
def test_a_kind_has_what_it_is_for(kind: str, dtype: str) -> None:
    for seed in range(3):
        assert SPECIAL[kind](*arrays(kind, dtype, seed))


@pytest.mark.parametrize("kind", KINDS)
def test_a_right_step_is_admitted_and_a_step_one_per_cent_too_long_is_not(
    kind: str, dtype: str
) -> None:
    """The envelope holds on every kind, and none makes it so wide that nothing is caught.

    In float32 the worst order of so many rows errs by some per cent: twice the gradient then. There
    log-cosh of tiny residuals, as automatic differentiation computes it, errs by more: three times.
    """
    case = simplest(kind)
    error = 1.0 if dtype == "float32" and case.samples > 10**4 else 0.01
    for activation in STANDARD_ACTIVATIONS:
        for loss in ("squared", "l1") if case.samples > 10**4 else STANDARD_LOSSES:
            W, a, b, X, y = arrays(kind, dtype)
            options = case.options((W, a, b), (X, y), activation, loss)
            exact = exact_step(W, a, b, X, y, **options)
            bound = step_envelope(W, a, b, X, y, dtype=dtype, **options)
            right = numpy_trainer().step(W, a, b, X, y, **options)
            assert (np.abs(right - exact) <= bound).all(), (activation, loss)
            gradient = (1 - options["eta"] * options["beta"]) * W.astype(float) - exact
            coarse = dtype == "float32" and (kind, loss) == ("tiny-labels", "log-cosh")
            seen = 2.0 if coarse else error
            assert (seen * np.abs(gradient) > bound).any(), (activation, loss)


@pytest.mark.parametrize("kind", KINDS)
def test_no_case_lies_on_a_jump(kind: str, dtype: str) -> None:
    """With ReLU or l1 several subgradients would be right there, and the envelope as wide."""
    for seed in range(4):
        W, a, b, X, y = arrays(kind, dtype, seed)
        P = X.astype(float) @ W.T.astype(float) + b
        assert (P != 0)[X.any(axis=1)].all()  # a row of zeros gives no gradient
        assert (np.maximum(P, 0) @ a != y).all()
