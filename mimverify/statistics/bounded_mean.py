"""A sequential test of the mean of bounded numbers, by betting.

Waudby-Smith and Ramdas (JRSS B 2024): whoever bets on x − m, with a stake that may depend on the
numbers before, wins nothing on average where the mean of x is at most m. The wealth is then a
non-negative supermartingale, and by Ville's inequality it ever reaches 1/α with probability at
most α, whatever the law of x on its range, the number of looks and the rule to stop. The same with
m − x where the mean is at least m.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np

from mimverify.support.arrays import Float64Array
from mimverify.support.errors import InputError
from mimverify.support.validation import integer, number

__all__ = ["SequentialMean"]

# Stakes, as fractions of the largest one with which nothing can be lost but what was staked.
_STAKES = np.array([1 / 16, 1 / 8, 1 / 4, 1 / 2, 15 / 16])
_BISECTIONS = 20  # of a mean: to 1e-6


@dataclass
class SequentialMean:
    """Decides between "the mean is at most `bound`" and "at least `bound + gap`", in [0, 1].

    Two bettors begin with 1: one wins where x exceeds `bound`, one where x stays below
    `bound + gap`. The wealth of each is the mean over five stakes, a factor two apart.

    **Arguments**

    - `bound`, `gap`: 0 < bound < bound + gap < 1; between both either decision is acceptable.
    - `alpha`: probability of deciding `"high"` although the mean of every number, given those
      before, is at most `bound`; at most.
    - `beta`: probability of deciding `"low"` although it is at least `bound + gap`, at most;
      `alpha` by default.

    Feed it with `observe`; `decision` is None, `"low"` or `"high"`.

    Power: a bet with stake λ ≤ 1/(2m) multiplies its wealth by at least exp(λ δ − λ² v) a number,
    geometrically, with δ the mean of x − m and v that of its square; so that a decision takes about
    2 v/δ² · log(5/α) numbers for small δ, fewer where x varies less: for x always c > m the wealth
    grows by a factor of nearly c/m.
    """

    bound: float
    gap: float
    alpha: float
    beta: float | None = None
    runs: int = field(default=0, init=False)
    decision: str | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        self.bound, self.gap = number("bound", self.bound), number("gap", self.gap)
        if not 0 < self.bound < self.bound + self.gap < 1:
            raise InputError(
                f"bound={self.bound}, gap={self.gap}: expected 0 < bound < bound + gap < 1"
            )
        if self.beta is None:
            self.beta = self.alpha
        for name in ("alpha", "beta"):
            if number(name, getattr(self, name), minimum=0, exclusive=True) >= 1:
                raise InputError(f"{name}={getattr(self, name)}: expected a probability below 1")
        self._above, self._below = np.zeros((2, len(_STAKES)))

    @property
    def log_e_value(self) -> float:
        """log of the evidence against "at most `bound`": 0 at the start."""
        return _log_mean(self._above)

    @property
    def log_e_value_below(self) -> float:
        """log of the evidence against "at least `bound + gap`": 0 at the start."""
        return _log_mean(self._below)

    def observe(self, x: float) -> str | None:
        """Count one number; returns the decision, if there is one.

        **Raises** `InputError` for one outside [0, 1].
        """
        if not 0 <= x <= 1:  # NaN, too
            raise InputError(f"x={x}: expected a number in [0, 1]")
        if self.decision is None:
            assert self.beta is not None
            self.runs += 1
            self._above += _log_growth(x, self.bound)
            self._below += _log_growth(1 - x, 1 - self.bound - self.gap)
            if self.log_e_value >= -math.log(self.alpha):
                self.decision = "high"
            elif self.log_e_value_below >= -math.log(self.beta):
                self.decision = "low"
        return self.decision

    @property
    def fewest(self) -> int:
        """The fewest numbers after which it can decide for `"low"`: all of them 0."""
        assert self.beta is not None
        growth = _log_growth(1.0, 1 - self.bound - self.gap)
        runs = 1
        while _log_mean(runs * growth) < -math.log(self.beta):
            runs += 1
        return runs

    def detectable(self, *, power: float = 0.95, runs: int) -> float | None:
        """The smallest mean of numbers at both ends of the range, 0 or 1, for which the decision
        within `runs` is `"high"` with this probability.

        Of all laws of one mean these make a bet's wealth grow the least: its logarithm is concave
        in x. Rounded up to 1e-6; None where not even ones alone are enough.

        **Raises** `InputError` unless 0 < power < 1 and `runs` is at least 1.
        """
        assert self.beta is not None
        if not 0 < number("power", power) < 1:
            raise InputError(f"power={power}: expected a probability between 0 and 1")
        runs = integer("runs", runs, minimum=1)
        return _detectable(self.bound, self.gap, self.alpha, self.beta, float(power), runs)


def _log_growth(x: float, m: float) -> Float64Array:
    """log(1 + λ (x − m)) for each stake λ, at most 1/m."""
    return np.asarray(np.log1p(_STAKES * (x / m - 1)))


def _log_mean(logs: Float64Array) -> float:
    largest = float(logs.max())
    return largest + math.log(float(np.exp(logs - largest).mean()))


@lru_cache(maxsize=64)
def _detectable(
    bound: float, gap: float, alpha: float, beta: float, power: float, runs: int
) -> float | None:
    limits = _limits(bound, gap, alpha, beta, runs)
    if _rejection(1.0, limits) < power:
        return None
    missed, caught = bound, 1.0
    for _ in range(_BISECTIONS):
        middle = (missed + caught) / 2
        if _rejection(middle, limits) >= power:
            caught = middle
        else:
            missed = middle
    return caught


def _limits(
    bound: float, gap: float, alpha: float, beta: float, runs: int
) -> list[tuple[int, int]]:
    """For t = 1, 2, …: the fewest ones among t numbers, else zeros, that decide for `"high"`, or
    t + 1, and the most that decide for `"low"`, or −1. Both never fall."""
    other = bound + gap
    won, lost = _log_growth(1.0, bound), _log_growth(0.0, bound)
    lost_below, won_below = _log_growth(0.0, 1 - other), _log_growth(1.0, 1 - other)
    found, high, low = [], 0, -1
    for t in range(1, runs + 1):
        while high <= t and _log_mean(high * won + (t - high) * lost) < -math.log(alpha):
            high += 1
        while low < t and _log_mean(
            (low + 1) * lost_below + (t - low - 1) * won_below
        ) >= -math.log(beta):
            low += 1
        found.append((high, low))
    return found


def _rejection(p: float, limits: list[tuple[int, int]]) -> float:
    """Probability of deciding for `"high"`, by dynamic programming over the ones."""
    rejected, mass = 0.0, np.array([1.0])
    for high, low in limits:
        following = np.zeros(len(mass) + 1)
        following[1:] = p * mass
        following[:-1] += (1 - p) * mass
        rejected += float(following[high:].sum())
        following[high:] = 0
        following[: low + 1] = 0
        mass = following
    return rejected
