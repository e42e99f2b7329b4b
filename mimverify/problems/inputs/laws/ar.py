"""Correlated entries: a stationary autoregression along the coordinates."""

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
    """Gaussian with the covariance ρ^|j − k|: x_1 = ξ_1, x_k = ρ x_{k−1} + √(1 − ρ²) ξ_k.

    Entries have unit variance and are correlated: not isotropic unless ρ = 0.

    **Arguments**

    - `rho`: ρ, the correlation of neighbouring entries.

    **Raises** `InputError` for |ρ| ≥ 1.
    """

    finite = True

    rho: float = 0.6

    def __post_init__(self) -> None:
        rho = number("rho", self.rho)
        if abs(rho) >= 1:
            raise InputError(
                f"inputs='ar', rho={rho:g}: expected a correlation between -1 and 1, both excluded"
            )
        object.__setattr__(self, "rho", rho)

    @property
    def name(self) -> str:
        return f"ar:{shortest(self.rho)}"

    def fill(self, generator: np.random.Generator, out: Float64[Float64Array, "k d"]) -> None:
        from scipy.signal import lfilter  # slow to import, and seldom needed

        generator.standard_normal(out=out)
        out[:, 1:] *= math.sqrt(1 - self.rho**2)
        out[...] = lfilter([1.0], [1.0, -self.rho], out, axis=1)
