"""Predictions of two fits that have to be the same."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

import numpy as np

from mimverify.support.arrays import FloatArray
from mimverify.trial.outcomes import NotApplicable

if TYPE_CHECKING:
    from jaxtyping import Float

__all__ = ["HALF_THE_DIGITS", "NEGLIGIBLE", "same_predictions"]

#: Of float32, the coarsest arithmetic that a correct trainer may use inside, whatever it was given.
HALF_THE_DIGITS = float(np.sqrt(np.finfo("float32").eps))

#: Predictions that differ by less than this fraction of their spread (root mean square) are the
#: same: what a readout's solver leaves, in single precision or iterating to a tolerance. They move
#: an explained variance by at most twice as much.
NEGLIGIBLE = 1e-3
_REPEATED = 2  # fits of new trainers that have to agree before a difference counts


class _Trial(Protocol):
    """What is used of a `Trial`."""

    def within(
        self, what: str, got: FloatArray, expected: FloatArray, bound: float, **settings: object
    ) -> None: ...


def same_predictions(
    trial: _Trial,
    what: str,
    got: Float[FloatArray, " n"],
    expected: Float[FloatArray, " n"],
    again: Callable[[], Float[FloatArray, " n"]],
) -> None:
    """Compare predictions `(n,)` by the claim's only decision on rounding.

    The bound on their root mean square difference is `NEGLIGIBLE` times the spread of the expected
    ones. Where it is exceeded, two more fits show whether the difference means anything.

    **Arguments**

    - `again`: the expected predictions once more, by a new trainer of the same random state.

    **Raises** `ClaimFailed`; `NotApplicable` where new trainers do not agree with one another, so
    that fits are comparable in law only.
    """
    allowed = NEGLIGIBLE * float(np.std(expected))
    distance = _distance(got, expected)
    if not distance <= allowed:
        for _ in range(_REPEATED):
            varies = _distance(again(), expected)
            if not varies <= allowed:
                raise NotApplicable(
                    "two new trainers of one random state differ on the same data by "
                    f"{varies / allowed * NEGLIGIBLE:.2g} of the predictions' spread: fits can be "
                    "compared in law only"
                )
    trial.within(what, np.array(distance), np.array(0.0), allowed)


def _distance(one: FloatArray, other: FloatArray) -> float:
    difference = np.asarray(one, dtype=np.float64) - other
    return float(np.sqrt(np.mean(difference**2)))
