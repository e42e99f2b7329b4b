"""A claim's share of a profile's time."""

from __future__ import annotations

import time

from mimverify.trial.outcomes import Inconclusive

__all__ = ["TimeShare", "TimeSpent"]


class TimeSpent(Inconclusive):
    """A claim's share of the profile's time was spent before a decision."""


class TimeShare:
    """The seconds that a claim may take, from now on.

    **Arguments**

    - `seconds`: without what the trainer spends on compiling.
    - `compiling`: seconds of compiling, at most, that do not count. A claim thus ends after
      `seconds + compiling` and the call that is under way then.
    """

    def __init__(self, seconds: float, *, compiling: float = 0.0) -> None:
        self.seconds, self.most_compiling = seconds, compiling
        self._began = time.monotonic()

    @property
    def elapsed(self) -> float:
        """Seconds since it began."""
        return time.monotonic() - self._began

    def allowed(self, compiling: float) -> float:
        """The part of so many seconds of compiling that does not count."""
        return min(compiling, self.most_compiling)

    def spent(self, compiling: float) -> bool:
        """Whether it is spent, if the trainer has compiled for so many seconds."""
        return self.elapsed - self.allowed(compiling) > self.seconds
