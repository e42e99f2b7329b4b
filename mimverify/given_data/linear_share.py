"""How much of the labels is linear, tested exactly against permuted labels."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import numpy as np

from mimverify.given_data.unit_transform import in_deviations
from mimverify.support.arrays import Float64Array
from mimverify.support.strict_json import Json

if TYPE_CHECKING:
    from jaxtyping import Float64

__all__ = ["LinearShare", "linear_share"]


@dataclass(frozen=True)
class LinearShare:
    """R² of least squares on the components, and its exact p-value for "y independent of x".

    The spectrum of H hardly sees a linear part of Gaussian inputs (theory.md N1).
    """

    r_squared: float
    p_value: float

    def to_json(self) -> Json:
        """A record of plain numbers."""
        return asdict(self)


def linear_share(
    Z: Float64[Float64Array, "n k"],
    y: Float64[Float64Array, " n"],
    *,
    permutations: int,
    seed: int,
) -> LinearShare:
    """Of whitened inputs, Zᵀ Z = n I."""
    y = in_deviations(y)

    def r_squared(labels: Float64Array) -> float:
        return float(np.sum((Z.T @ labels / len(labels)) ** 2))

    observed, reached = r_squared(y), 0
    for index in range(permutations):
        generator = np.random.default_rng(np.random.SeedSequence([seed, 3, index]))
        reached += r_squared(generator.permutation(y)) >= observed * (1 - 1e-10)
    return LinearShare(min(observed, 1.0), (1 + reached) / (1 + permutations))
