"""A sequential test of how often an event happens.

Wald's sequential probability ratio test with the guarantee of Ville's inequality: the
likelihood ratio of p_low against p_high is a non-negative supermartingale with mean at
most one under *every* p ≥ p_high, so it ever reaches 1/α with probability at most α; the
same for its inverse under every p ≤ p_low. No assumption is made about the order or the
number of looks.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from mimverify.errors import InputError
from mimverify.validation import number


@dataclass
class SequentialBinomial:
    """Decides between "the event has probability at least `high`" and "at most `low`".

    **Arguments**

    - `low`, `high`: 0 ≤ low < high ≤ 1; between them either decision is acceptable.
    - `alpha`: probability of deciding `"low"` although p ≥ high, at most.
    - `beta`: probability of deciding `"high"` although p ≤ low, at most; `alpha` by default.

    Feed it with `observe`; `decision` is None, `"low"` or `"high"`.
    """

    low: float
    high: float
    alpha: float
    beta: float | None = None
    successes: int = 0
    trials: int = 0
    decision: str | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        if not 0 <= self.low < self.high <= 1:
            raise InputError(f"low={self.low}, high={self.high}: expected 0 ≤ low < high ≤ 1")
        if self.beta is None:
            self.beta = self.alpha
        for name in ("alpha", "beta"):
            if number(name, getattr(self, name), minimum=0, exclusive=True) >= 1:
                raise InputError(f"{name}={getattr(self, name)}: expected a probability below 1")

    @property
    def log_ratio(self) -> float:
        """log of the likelihood ratio of `high` against `low`."""
        failures = self.trials - self.successes
        return _times_log(self.successes, self.high, self.low) + _times_log(
            failures, 1 - self.high, 1 - self.low
        )

    def observe(self, success: bool) -> str | None:
        """Count one independent trial; returns the decision, if it has fallen."""
        if self.decision is None:
            self.trials += 1
            self.successes += bool(success)
            assert self.beta is not None
            if self.log_ratio >= -math.log(self.beta):
                self.decision = "high"
            elif self.log_ratio <= math.log(self.alpha):
                self.decision = "low"
        return self.decision

    @property
    def fewest(self) -> int:
        """Trials after which a decision for `high` can first fall: all of them successes."""
        assert self.beta is not None
        needed = -math.log(self.beta)
        count = max(1, math.floor(needed / _times_log(1, self.high, self.low)))
        while _times_log(count, self.high, self.low) < needed:  # once, or not at all
            count += 1
        return count


def _times_log(count: int, p: float, q: float) -> float:
    """count · log(p/q), with 0 · log 0 = 0 and the infinite cases spelled out."""
    if count == 0:
        return 0.0
    if p == 0:
        return -math.inf
    if q == 0:
        return math.inf
    return count * math.log(p / q)
