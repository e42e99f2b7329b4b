"""Hermite tensors of functions of z ~ N(0, I_r) and the information exponent.

The tensor of order k of f has entries E[f(z) He_k(z)] with the k-th (probabilists') Hermite
tensor He_k: He_1 = z, He_2 = zzᵀ − I, …; divided by √k! its square norm is the variance of
the part of f of degree k. Source: theory.md §1 (Λ is the tensor of order 2 of T).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
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


def hermite_tensors(law: LabelLaw, values: Callable[[LabelLaw], Float64Array]) -> HermiteTensors:
    """Tensors of `values(law)` `(q,)`, such as T or y."""
    indices = [
        index
        for order in range(HIGHEST_ORDER + 1)
        for index in combinations_with_replacement(range(law.rank), order)
    ]

    def products(at: LabelLaw) -> Float64Array:
        rows = at.z.T.copy()
        polynomials = {
            (axis, degree): hermite(degree, rows[axis])
            for axis in range(law.rank)
            for degree in range(1, HIGHEST_ORDER + 1)
        }
        found = np.empty((len(indices), len(at.T)))
        found[:] = values(at)
        for row, index in zip(found, indices, strict=True):
            for factor in Counter(index).items():
                row *= polynomials[factor]
        return found.T

    entries, uncertainties = law.mean(products)
    tensors, errors = [], []
    for order in range(HIGHEST_ORDER + 1):
        tensor, error = np.zeros((law.rank,) * order), 0.0
        for index, entry, uncertainty in zip(indices, entries, uncertainties, strict=True):
            if len(index) == order:
                error = max(error, float(uncertainty))
                for permuted in set(permutations(index)):
                    tensor[permuted] = entry
        tensors.append(tensor)
        errors.append(error)
    return HermiteTensors(tuple(tensors), tuple(errors))
