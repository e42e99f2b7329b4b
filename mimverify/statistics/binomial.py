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
from functools import lru_cache

import numpy as np

from mimverify.support.errors import InputError
from mimverify.support.validation import integer, number

_BISECTIONS = 20  # of a probability: to 1e-6


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
    runs: int = 0
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
        return _log_ratio(self.successes, self.runs, self.low, self.high)

    def observe(self, success: bool) -> str | None:
        """Count one independent run; returns the decision, if there is one."""
        if self.decision is None:
            self.runs += 1
            self.successes += bool(success)
            assert self.beta is not None
            if self.log_ratio >= -math.log(self.beta):
                self.decision = "high"
            elif self.log_ratio <= math.log(self.alpha):
                self.decision = "low"
        return self.decision

    @property
    def fewest(self) -> int:
        """The fewest runs after which it can decide for `high`: all of them successes."""
        assert self.beta is not None
        needed = -math.log(self.beta)
        count = max(1, math.floor(needed / _times_log(1, self.high, self.low)))
        while _times_log(count, self.high, self.low) < needed:  # once, or not at all
            count += 1
        return count

    def fails_at(self, runs: int) -> int | None:
        """The largest number of successes in `runs` that decides for `low`; None: no number."""
        assert self.beta is not None
        runs = integer("runs", runs, minimum=1)
        size = 1 << (runs - 1).bit_length()  # few sizes, so that most calls find theirs
        lowest, _ = _bounds(self.low, self.high, self.alpha, self.beta, size)[runs - 1]
        return None if lowest < 0 else lowest

    def detectable(self, *, power: float = 0.95, runs: int) -> float | None:
        """The largest p for which the decision within `runs` is `"low"` with this probability.

        Every smaller p is caught at least as often: more successes never help to fail.
        Rounded down to 1e-6; None where not even p = 0 is caught.

        **Raises** `InputError` unless 0 < power < 1 and `runs` is at least 1.
        """
        assert self.beta is not None
        if not 0 < number("power", power) < 1:
            raise InputError(f"power={power}: expected a probability between 0 and 1")
        runs = integer("runs", runs, minimum=1)
        return _detectable(self.low, self.high, self.alpha, self.beta, float(power), runs)


@lru_cache(maxsize=64)
def _bounds(
    low: float, high: float, alpha: float, beta: float, runs: int
) -> tuple[tuple[int, int], ...]:
    """For t = 1, 2, …: the largest number of successes that decides for `low`, or −1, and
    the smallest that decides for `high`, or t + 1. Both never fall."""
    found, lowest, highest = [], -1, 0
    for t in range(1, runs + 1):
        while lowest < t and _log_ratio(lowest + 1, t, low, high) <= math.log(alpha):
            lowest += 1
        while highest <= t and _log_ratio(highest, t, low, high) < -math.log(beta):
            highest += 1
        found.append((lowest, highest))
    return tuple(found)


@lru_cache(maxsize=64)
def _detectable(
    low: float, high: float, alpha: float, beta: float, power: float, runs: int
) -> float | None:
    bounds = _bounds(low, high, alpha, beta, runs)
    if _rejection(0.0, bounds) < power:
        return None
    caught, missed = 0.0, high
    for _ in range(_BISECTIONS):
        middle = (caught + missed) / 2
        if _rejection(middle, bounds) >= power:
            caught = middle
        else:
            missed = middle
    return caught


def _rejection(p: float, bounds: tuple[tuple[int, int], ...]) -> float:
    """Probability of deciding for `low`, by dynamic programming over the successes."""
    rejected, mass = 0.0, np.array([1.0])
    for lowest, highest in bounds:
        following = np.zeros(len(mass) + 1)
        following[1:] = p * mass
        following[:-1] += (1 - p) * mass
        rejected += float(following[: lowest + 1].sum())
        following[: lowest + 1] = 0
        following[highest:] = 0
        mass = following
    return rejected


def _log_ratio(successes: int, runs: int, low: float, high: float) -> float:
    return _times_log(successes, high, low) + _times_log(runs - successes, 1 - high, 1 - low)


def _times_log(count: int, p: float, q: float) -> float:
    """count · log(p/q), with 0 · log 0 = 0 and the infinite cases spelled out."""
    if count == 0:
        return 0.0
    if p == 0:
        return -math.inf
    if q == 0:
        return math.inf
    return count * math.log(p / q)
