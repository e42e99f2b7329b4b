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
    tensors, errors = [], []
    # Each polynomial once: it is part of many products.
    polynomials: dict[int, dict[tuple[int, int], Float64Array]] = {}

    def polynomial(at: LabelLaw, degree: int, axis: int) -> Float64Array:
        found = polynomials.setdefault(id(at), {})
        if (degree, axis) not in found:
            found[degree, axis] = hermite(degree, at.z[:, axis])
        return found[degree, axis]

    for order in range(HIGHEST_ORDER + 1):
        indices = list(combinations_with_replacement(range(law.rank), order))
        entries: list[float] = []
        error = 0.0
        for index in indices:  # one at a time: all products at once would not fit into memory

            def product(at: LabelLaw, index: tuple[int, ...] = index) -> Float64Array:
                result = values(at)
                for axis, degree in Counter(index).items():
                    result = result * polynomial(at, degree, axis)
                return result

            value, uncertainty = law.mean(product)
            entries.append(float(value))
            error = max(error, float(uncertainty))
        tensor = np.zeros((law.rank,) * order)
        for index, entry in zip(indices, entries, strict=True):
            for permuted in set(permutations(index)):
                tensor[permuted] = entry
        tensors.append(tensor)
        errors.append(error)
    return HermiteTensors(tuple(tensors), tuple(errors))
