"""Entries from a mixture of two normals of different widths."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mimverify.problems.inputs.base import InputLaw
from mimverify.support.arrays import Float64Array
from mimverify.support.errors import InputError
from mimverify.support.validation import number, shortest

if TYPE_CHECKING:
    from jaxtyping import Float64

__all__ = ["Law"]


@dataclass(frozen=True, repr=False, eq=False)
class Law(InputLaw):
    """Independent entries, N(0, s²) with probability 1 − p and N(0, (w s)²) with probability p.

    s² = 1/(1 − p + p w²) makes the variance 1; E x⁴ = 3 (1 − p + p w⁴) s⁴, which is 8.33 by
    default: Tukey's contaminated normal distribution.

    **Arguments**

    - `weight`: p, the probability of the wide component.
    - `ratio`: w, its standard deviation over that of the other.

    **Raises** `InputError` for p outside [0, 1] or w ≤ 0.
    """

    finite = True
    isotropic = True
    independent = True

    weight: float = 0.1
    ratio: float = 3.0

    def __post_init__(self) -> None:
        weight = number("weight", self.weight, minimum=0.0)
        if weight > 1:
            raise InputError(
                f"inputs='gaussian-mixture', weight={weight:g}: expected a probability, 0 to 1"
            )
        object.__setattr__(self, "weight", weight)
        ratio = number("ratio", self.ratio, minimum=0.0, exclusive=True)
        if ratio > _WIDEST:
            raise InputError(
                f"inputs='gaussian-mixture', ratio={ratio:g}: expected at most {_WIDEST:g}"
            )
        object.__setattr__(self, "ratio", ratio)

    @property
    def name(self) -> str:
        return f"gaussian-mixture:{shortest(self.weight)},{shortest(self.ratio)}"

    @property
    def excess_kurtosis(self) -> float | None:
        second, fourth = (1 - self.weight + self.weight * self.ratio**power for power in (2, 4))
        return 3 * fourth / second**2 - 3

    def fill(self, generator: np.random.Generator, out: Float64[Float64Array, "k d"]) -> None:
        narrow = 1 / math.sqrt(1 - self.weight + self.weight * self.ratio**2)
        for row in out:  # row by row, so that what a row takes of the generator stays together
            component = generator.random(len(row)) < self.weight
            generator.standard_normal(out=row)
            row *= np.where(component, self.ratio * narrow, narrow)


_WIDEST = 1e6  # its square, and that of a narrow component beside it, are far from overflow
