"""The two tests: the labels permuted, and what a linear fit leaves of them permuted."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from mimverify.given_data.label_spectrum import bulk_edge, spectrum_of
from mimverify.given_data.spectrum_test import SpectrumTest
from mimverify.given_data.unit_transform import in_deviations, unit_transform, without_copies
from mimverify.network.losses import Loss
from mimverify.support.arrays import Float64Array
from mimverify.support.errors import InputError
from mimverify.support.threads import map_in_order

if TYPE_CHECKING:
    from jaxtyping import Float64

__all__ = ["INDEPENDENT", "LINEAR", "OnPermutation", "beyond_linear_test", "independence_test"]

#: Called with the number of permutations done.
OnPermutation: TypeAlias = Callable[[int], None]

INDEPENDENT = "y is independent of x"
LINEAR = "y is linear in x, with errors independent of x"

_EXACT = (
    "exact: P(p ≤ a) ≤ a for every law of x and of y, if the rows are exchangeable; the choice "
    "among the losses is inside each permutation"
)
_NEARLY = (
    "not exact: residuals of least squares are permuted and fitted again (at 5 %: .045 to .065 "
    "simulated); errors whose size depends on x are rejected too (.18 to .21), and may be what "
    "stands out"
)

#: T of a permutation under each loss; None where it is constant.
_Transforms: TypeAlias = "Callable[[np.random.Generator], list[Float64Array | None]]"


def independence_test(
    Z: Float64[Float64Array, "n k"],
    y: Float64[Float64Array, " n"],
    losses: Sequence[Loss],
    *,
    permutations: int,
    alpha: float,
    seed: int,
    threads: int | None,
    on_permutation: OnPermutation | None = None,
) -> tuple[SpectrumTest, dict[str, str]]:
    """Permute the labels; also returns the losses that were left out, and why."""
    kept, left = _transforms(losses, in_deviations(y))

    def permuted(generator: np.random.Generator) -> list[Float64Array | None]:
        # T is a function of each label and of the set of all: permuted labels have T permuted.
        order = generator.permutation(len(y))
        return [T[order] for T in kept.values()]

    test = _test(
        Z, kept, permuted, permutations, alpha, (seed, 1), threads, on_permutation,
        INDEPENDENT, _EXACT, exact=True,
    )  # fmt: skip
    return test, left


def beyond_linear_test(
    Z: Float64[Float64Array, "n k"],
    y: Float64[Float64Array, " n"],
    losses: Sequence[Loss],
    *,
    permutations: int,
    alpha: float,
    seed: int,
    threads: int | None,
    on_permutation: OnPermutation | None = None,
) -> tuple[SpectrumTest, dict[str, str]] | None:
    """The same of least squares' residuals, which are permuted and fitted again.

    None where a linear function of Z is all of y.
    """
    y = in_deviations(y)

    def residual(labels: Float64Array) -> Float64Array:
        # Zᵀ Z = n I, and Z's columns have mean 0: the regression is a projection.
        return np.asarray(labels - labels.mean() - Z @ (Z.T @ labels) / len(labels))

    left = residual(y)
    if float(left.std()) < 1e-7:  # of y's
        return None

    kept, left_out = _transforms(losses, in_deviations(left))
    used = [loss for loss in losses if loss.name in kept]

    def permuted(generator: np.random.Generator) -> list[Float64Array | None]:
        labels = in_deviations(residual(left[generator.permutation(len(left))]))
        return [unit_transform(loss, labels) for loss in used]

    test = _test(
        Z, kept, permuted, permutations, alpha, (seed, 2), threads, on_permutation,
        LINEAR, _NEARLY, exact=False,
    )  # fmt: skip
    return test, left_out


def _transforms(
    losses: Sequence[Loss], labels: Float64Array
) -> tuple[dict[str, Float64Array], dict[str, str]]:
    kept, left = without_copies([(loss.name, unit_transform(loss, labels)) for loss in losses])
    if not kept:
        raise InputError(
            "losses: under each of them T is constant on these labels: expected another loss, "
            "such as 'squared'"
        )
    return kept, left


def _test(
    Z: Float64Array,
    kept: dict[str, Float64Array],
    permuted: _Transforms,
    permutations: int,
    alpha: float,
    key: tuple[int, int],
    threads: int | None,
    on_permutation: OnPermutation | None,
    null: str,
    level: str,
    *,
    exact: bool,
) -> SpectrumTest:
    k = Z.shape[1]
    lock, done = threading.Lock(), 0

    def of_permutation(index: int) -> list[tuple[Float64Array, float]]:
        nonlocal done
        transforms = permuted(np.random.default_rng(np.random.SeedSequence([*key, index])))
        # Where a permutation's T is constant, H is 0.
        found = [
            (np.zeros(k), 1.0) if T is None else (spectrum_of(Z, T), bulk_edge(T, k))
            for T in transforms
        ]
        with lock:
            done += 1
            if on_permutation is not None:
                on_permutation(done)
        return found

    drawn = map_in_order(of_permutation, range(permutations), threads)
    return SpectrumTest(
        null,
        level,
        exact,
        alpha,
        len(Z),
        k,
        {name: spectrum_of(Z, T) for name, T in kept.items()},
        {name: bulk_edge(T, k) for name, T in kept.items()},
        {name: np.array([one[i][0] for one in drawn]) for i, name in enumerate(kept)},
        {name: np.array([one[i][1] for one in drawn]) for i, name in enumerate(kept)},
    )
