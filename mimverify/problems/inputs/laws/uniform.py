"""Entries uniform on an interval."""

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

_EDGE = math.sqrt(3)


@dataclass(frozen=True, repr=False, eq=False)
class Law(InputLaw):
    """Independent entries, uniform on [−√3, √3): of unit variance."""

    name = "uniform"
    finite = True
    isotropic = True
    independent = True
    excess_kurtosis = -1.2

    def fill(self, generator: np.random.Generator, out: Float64[Float64Array, "k d"]) -> None:
        generator.random(out=out)
        out *= 2 * _EDGE
        out -= _EDGE
