"""x ~ N(0, I): the theorem's inputs."""

from __future__ import annotations

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
    """Independent standard normal entries."""

    name = "gaussian"
    finite = True
    counted = True
    isotropic = True
    independent = True
    rotation_invariant = True
    excess_kurtosis = 0.0

    def fill(self, generator: np.random.Generator, out: Float64[Float64Array, "k d"]) -> None:
        generator.standard_normal(out=out)
