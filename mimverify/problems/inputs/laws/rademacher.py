"""Entries ±1."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mimverify.problems.inputs.base import InputLaw
from mimverify.support.arrays import Float64Array

if TYPE_CHECKING:
    from jaxtyping import Float64

__all__ = ["Law"]

_WORD = 64  # bits of a word of the generator


@dataclass(frozen=True, repr=False, eq=False)
class Law(InputLaw):
    """Independent entries, each −1 or 1 with probability 1/2."""

    name = "rademacher"
    finite = True
    isotropic = True
    independent = True
    excess_kurtosis = -2.0

    def fill(self, generator: np.random.Generator, out: Float64[Float64Array, "k d"]) -> None:
        rows, dim = out.shape
        # Every row begins with a word of its own, or rows would depend on how many are drawn.
        words = generator.bit_generator.random_raw(rows * (-(-dim // _WORD)))
        octets = np.asarray(words, dtype="<u8").view(np.uint8).reshape(rows, -1)
        out[...] = np.unpackbits(octets, axis=1, count=dim, bitorder="little")
        out *= 2
        out -= 1
