"""x uniform on the sphere."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mimverify.problems.inputs.base import InputLaw
from mimverify.support.arrays import Float64Array

if TYPE_CHECKING:
    from jaxtyping import Float64

__all__ = ["Law"]


@dataclass(frozen=True, repr=False, eq=False)
class Law(InputLaw):
    """x uniform on the sphere of radius √d: uncorrelated entries of unit variance, dependent
    through ‖x‖² = d."""

    name = "sphere"
    finite = True
    isotropic = True
    rotation_invariant = True
    excess_kurtosis = -2.0  # the norm is constant, as that of signs

    def fill(self, generator: np.random.Generator, out: Float64[Float64Array, "k d"]) -> None:
        generator.standard_normal(out=out)
        for row in out:  # one by one: a row's rounding must not depend on those beside it
            row *= math.sqrt(len(row) / float(np.square(row).sum()))
