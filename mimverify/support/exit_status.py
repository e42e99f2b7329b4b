"""The exit statuses of every verb, and which of several is a run's."""

from __future__ import annotations

from collections.abc import Iterable

__all__ = ["FAILED", "NOTHING_VERIFIED", "OUTPUT_LOST", "VERIFIED", "WRONG_INPUT", "worst"]

VERIFIED, FAILED, WRONG_INPUT, NOTHING_VERIFIED, OUTPUT_LOST = range(5)

#: The first that occurs is a run's: what was never tried first, then what is known to be wrong.
_PRECEDENCE = (WRONG_INPUT, FAILED, NOTHING_VERIFIED, VERIFIED)


def worst(statuses: Iterable[int]) -> int:
    """The run's status, of its parts': 2 before 1, before 3, before 0; 3 without any part.

    A part in which nothing was verified is no evidence against the others, but must not be
    green: hence 3 after 1 and before 0.
    """
    found = set(statuses)
    return next((status for status in _PRECEDENCE if status in found), NOTHING_VERIFIED)
