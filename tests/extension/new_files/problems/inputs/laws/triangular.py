"""Entries of a triangular density."""

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
    """Independent entries √6 (u + v − 1), u and v uniform on [0, 1): of unit variance."""

    name = "triangular"
    finite = True
    isotropic = True
    independent = True
    excess_kurtosis = -0.6

    def fill(self, generator: np.random.Generator, out: Float64[Float64Array, "k d"]) -> None:
        out[...] = generator.random((*out.shape, 2)).sum(axis=-1)
        out -= 1
        out *= math.sqrt(6)
