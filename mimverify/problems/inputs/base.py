"""What a law of the inputs is: how rows are drawn, and what theory asks of them."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

import numpy as np

from mimverify.support.arrays import Float64Array
from mimverify.support.errors import InputError
from mimverify.support.importing import summarise

if TYPE_CHECKING:
    from jaxtyping import Float64

__all__ = ["InputLaw"]

_PROBE_ROWS = 3  # of a user's law: more than one part, and a part of more than one row


class InputLaw(ABC):
    """The law of an input x `(d,)`: rows are drawn independently of one another.

    A subclass draws rows (`fill`) and says of itself what predictions depend on. Two laws of one
    `name` are the same law: configurations and checkpoints know a law by it.

    - `isotropic`: E x = 0 and E[x xᵀ] = I.
    - `independent`: the entries of x are.
    - `rotation_invariant`: Q x has the law of x for every orthogonal Q, so that no direction is
      special.
    - `moments`: E |x_k|^p is finite for every p below this.
    - `excess_kurtosis`: E x_k⁴ − 3 of independent entries; of other isotropic laws the κ with which
      Var ‖x‖² = (2 + κ) d. None: not known, or infinite.
    - `finite`: `fill` is known to write finite numbers only; any other law's are checked.
    - `counted`: entries are independent standard normals. Models draw them by counter
      (`NormalStream`), any row on its own, and do not call `fill`.

    Their defaults promise nothing. Source: theory.md §11.
    """

    isotropic: bool = False
    independent: bool = False
    rotation_invariant: bool = False
    finite: bool = False
    counted: bool = False

    @property
    @abstractmethod
    def name(self) -> str:
        """The specification that gives this law back, parameters included."""

    @property
    def moments(self) -> float:
        return math.inf

    @property
    def excess_kurtosis(self) -> float | None:
        return None

    @abstractmethod
    def fill(self, generator: np.random.Generator, out: Float64[Float64Array, "k d"]) -> None:
        """Write the generator's next k rows into `out`, C-contiguous float64.

        Rows come one after the other: k rows and then l rows are the same numbers as k + l rows,
        whatever k and l are. A data set is then a prefix of every longer one, and one row block
        the same in every design. Several threads may call this at once, each with a generator of
        its own.
        """

    def draw(self, generator: np.random.Generator, out: Float64[Float64Array, "k d"]) -> None:
        """`fill`, and a check of what a user's law has written.

        **Raises** `InputError` where it raises, or leaves a number that is not finite.
        """
        if self.finite:
            self.fill(generator, out)
            return
        try:
            self.fill(generator, out)
        except InputError:
            raise
        except Exception as error:
            raise InputError(f"inputs {self.name}: raised {summarise(error)}") from error
        if not np.isfinite(out).all():
            row, column = (int(k) for k in np.argwhere(~np.isfinite(out))[0])
            raise InputError(
                f"inputs {self.name}: entry {column} of a row is {out[row, column]}: expected "
                "finite numbers"
            )

    def check(self, dim: int) -> None:
        """**Raises** `InputError` where the law has no reproducible inputs of this dimension."""
        if self.finite:
            return
        streams = [np.random.Generator(np.random.SFC64(0)) for _ in range(2)]
        whole, parts = np.full((2, _PROBE_ROWS, dim), np.nan)
        self.draw(streams[0], whole)
        self.draw(streams[1], parts[:1])
        self.draw(streams[1], parts[1:])
        if not np.array_equal(whole, parts):
            raise InputError(
                f"inputs {self.name}: {_PROBE_ROWS} rows at once are not the same as 1 and then "
                f"{_PROBE_ROWS - 1} of an equal generator: draw row after row, and from the "
                "generator only"
            )

    def __eq__(self, other: object) -> bool:
        return isinstance(other, InputLaw) and self.name == other.name

    def __hash__(self) -> int:
        return hash(self.name)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r})"
