"""Hermite tensors of functions of z ~ N(0, I_r) and the information exponent.

The tensor of order k of f has entries E[f(z) He_k(z)] with the k-th (probabilists') Hermite
tensor He_k: He_1 = z, He_2 = zzᵀ − I, …; divided by √k! its square norm is the variance of
the part of f of degree k. Source: theory.md §1 (Λ is the tensor of order 2 of T).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations_with_replacement, permutations

import numpy as np

from mimverify.problems.links import hermite
from mimverify.support.arrays import Float64Array
from mimverify.theory.conditional.moments import CLEARLY
from mimverify.theory.labels.label_law import LabelLaw

HIGHEST_ORDER = 4


@dataclass(frozen=True)
class HermiteTensors:
    """Tensors of order 0 … 4, `(r, …, r)`, and an error for each (of its largest entry)."""

    tensors: tuple[Float64Array, ...]
    errors: tuple[float, ...]

    def norm(self, order: int) -> float:
        """Frobenius norm of a tensor."""
        return float(np.linalg.norm(self.tensors[order]))

    @property
    def lowest(self) -> int | None:
        """The lowest order ≥ 1 that is clearly not zero; None if there is none up to 4."""
        for order in range(1, len(self.tensors)):
            if np.abs(self.tensors[order]).max() > CLEARLY * self.errors[order]:
                return order
        return None


def hermite_tensors(
    law: LabelLaw, *functions: Callable[[LabelLaw], Float64Array]
) -> tuple[HermiteTensors, ...]:
    """Tensors of each of `functions(law)` `(q,)`, such as T or y."""
    indices = [
        index
        for order in range(HIGHEST_ORDER + 1)
        for index in combinations_with_replacement(range(law.rank), order)
    ]
    place = {index: k for k, index in enumerate(indices)}
    count = len(indices)

    def products(at: LabelLaw) -> Float64Array:
        found = np.empty((len(functions) * count, len(at.T)))
        polynomials = found[:count]
        polynomials[0] = 1.0
        for k, index in enumerate(indices[1:], start=1):
            # He_n(z) of the last axis, times the product for the axes before it.
            axis = index[-1]
            repeated = index.count(axis)
            before = index[:-repeated]
            if before:
                own = polynomials[place[(axis,) * repeated]]
                np.multiply(polynomials[place[before]], own, out=polynomials[k])
            else:
                polynomials[k] = hermite(repeated, at.z[:, axis])
        for which in reversed(range(len(functions))):  # the polynomials themselves last
            rows = found[which * count : (which + 1) * count]
            np.multiply(polynomials, functions[which](at), out=rows)
        return found.T

    entries, uncertainties = law.mean(products)
    return tuple(
        _tensors(law.rank, indices, entries[own], uncertainties[own])
        for own in (slice(k * count, (k + 1) * count) for k in range(len(functions)))
    )


def _tensors(
    rank: int,
    indices: Sequence[tuple[int, ...]],
    entries: Float64Array,
    uncertainties: Float64Array,
) -> HermiteTensors:
    tensors, errors = [], []
    for order in range(HIGHEST_ORDER + 1):
        tensor, error = np.zeros((rank,) * order), 0.0
        for index, entry, uncertainty in zip(indices, entries, uncertainties, strict=True):
            if len(index) == order:
                error = max(error, float(uncertainty))
                for permuted in set(permutations(index)):
                    tensor[permuted] = entry
        tensors.append(tensor)
        errors.append(error)
    return HermiteTensors(tuple(tensors), tuple(errors))
