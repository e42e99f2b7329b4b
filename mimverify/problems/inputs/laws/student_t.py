"""Entries with Student's t distribution."""

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
    """Independent entries √((ν − 2)/ν) t_ν, of unit variance; moments below ν are finite.

    **Arguments**

    - `df`: ν, the degrees of freedom.

    **Raises** `InputError` for ν ≤ 2, where the variance is infinite.
    """

    finite = True
    isotropic = True
    independent = True

    df: float = 5.0

    def __post_init__(self) -> None:
        df = number("df", self.df, minimum=0.0)
        if df <= 2:
            raise InputError(
                f"inputs='student-t', df={df:g}: t with at most 2 degrees of freedom has no "
                "variance to be standardised by; expected more than 2, and more than 4 for a "
                "finite fourth moment"
            )
        object.__setattr__(self, "df", df)

    @property
    def name(self) -> str:
        return f"student-t:{shortest(self.df)}"

    @property
    def moments(self) -> float:
        return self.df

    @property
    def excess_kurtosis(self) -> float | None:
        return 6 / (self.df - 4) if self.df > 4 else None

    def fill(self, generator: np.random.Generator, out: Float64[Float64Array, "k d"]) -> None:
        out[...] = generator.standard_t(self.df, size=out.shape)
        out *= math.sqrt((self.df - 2) / self.df)
