"""Bisection for the value of one parameter at which a mean result crosses a level."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from statistics import fmean, stdev

from mimverify.support.errors import InputError
from mimverify.support.strict_json import Json
from mimverify.support.validation import choice, number

__all__ = ["Search", "Threshold"]

SCALES = ("log", "linear")
# Decimal digits of a value that is tried: more say nothing, and keep texts and keys long.
_DIGITS = 6


@dataclass(frozen=True)
class Search:
    """Where the mean over seeds of `result` crosses `level` as `parameter` goes from `low` to
    `high`, in either direction.

    **Arguments**

    - `scale`: `"log"` halves ratios (0 < `low`), `"linear"` halves differences.
    - `tolerance`: width of the last bracket, relative to its lower end, or on the linear scale to
      the whole range.
    - `integer`: only integers are tried.

    Every value is tried with the same seeds. **Raises** `InputError`.
    """

    parameter: str
    _: KW_ONLY
    result: str
    level: float
    low: float
    high: float
    tolerance: float = 0.05
    scale: str = "log"
    integer: bool = False

    def __post_init__(self) -> None:
        for name in ("parameter", "result"):
            if not isinstance(getattr(self, name), str) or not getattr(self, name):
                raise InputError(f"search.{name}={getattr(self, name)!r}: expected a name")
        object.__setattr__(self, "scale", choice("search.scale", self.scale, SCALES))
        number("search.level", self.level)
        if not isinstance(self.integer, bool):
            raise InputError(f"search.integer={self.integer!r}: expected true or false")
        if self.scale == "log":
            number("search.low", self.low, minimum=0.0, exclusive=True)
        else:
            number("search.low", self.low)
        number("search.high", self.high, minimum=self.low, exclusive=True)
        number("search.tolerance", self.tolerance, minimum=1e-5, maximum=1.0)
        if self.integer and (self.low != int(self.low) or self.high != int(self.high)):
            raise InputError(f"search: low={self.low}, high={self.high}: expected integers")

    def to_json(self) -> Json:
        """The fields by name."""
        return {
            "parameter": self.parameter, "result": self.result, "level": self.level,
            "low": self.low, "high": self.high, "tolerance": self.tolerance,
            "scale": self.scale, "integer": self.integer,
        }  # fmt: skip

    def wanted(self, means: Mapping[float, float]) -> tuple[float, ...]:
        """The values to try next, given the means so far; none when the search is over."""
        missing = tuple(
            x for x in (self._value(self.low), self._value(self.high)) if x not in means
        )
        if missing:
            return missing
        bracket = self._bracket(means)
        return () if bracket is None or bracket[2] is None else (bracket[2],)

    def examples(self) -> tuple[float, ...]:
        """Values as they may be tried: the ends, and what is first between them."""
        ends = self._value(self.low), self._value(self.high)
        middle = self._middle(*ends)
        return ends if middle is None else (*ends, middle)

    def most_values(self) -> int:
        """Values that are tried at most."""
        if self.integer:
            halvings = math.log2(self.high - self.low)
        elif self.scale == "log":
            halvings = math.log2(math.log(self.high / self.low) / math.log1p(self.tolerance))
        else:
            halvings = math.log2(1 / self.tolerance)
        return 2 + max(math.ceil(halvings), 0)

    def outcome(self, results: Mapping[float, Sequence[float]]) -> tuple[float | None, Json]:
        """The threshold, None where there is none in the range, and what it rests on."""
        means = {x: fmean(values) for x, values in results.items()}
        bracket = None if self.wanted(means) else self._bracket(means)
        if bracket is None:
            ends = {f"{end:g}": means.get(self._value(end)) for end in (self.low, self.high)}
            return None, {"means": ends}
        low, high, _ = bracket
        share = (self.level - means[low]) / (means[high] - means[low])
        if self.scale == "log":
            value = low * (high / low) ** share
        else:
            value = low + (high - low) * share
        errors = [_standard_error(results[x]) for x in (low, high)]
        return value, {
            "low": low, "high": high, "means": [means[low], means[high]],
            "standard_errors": errors,
        }  # fmt: skip

    def _bracket(self, means: Mapping[float, float]) -> tuple[float, float, float | None] | None:
        """The bracket that the means so far lead to and the value to try in it, None at the end of
        the search; None alone where both ends of the range lie on one side of the level."""
        low, high = self._value(self.low), self._value(self.high)
        rising = means[high] >= self.level
        if rising == (means[low] >= self.level):
            return None
        while True:
            middle = self._middle(low, high)
            if middle is None or middle not in means:
                return low, high, middle
            if (means[middle] >= self.level) == rising:
                high = middle
            else:
                low = middle

    def _middle(self, low: float, high: float) -> float | None:
        """The next value between the two; None where they are near enough."""
        if self.scale == "log":
            near = high <= low * (1 + self.tolerance)
            middle = math.sqrt(low * high)
        else:
            near = high - low <= self.tolerance * (self.high - self.low)
            middle = (low + high) / 2
        middle = self._value(middle)
        return None if near or not low < middle < high else middle

    def _value(self, x: float) -> float:
        return round(x) if self.integer else float(f"{x:.{_DIGITS}g}")


@dataclass(frozen=True)
class Threshold:
    """The outcome of one search.

    **Arguments**

    - `at`: the grid point, parameters by name.
    - `parameter`, `value`: what was searched, and the crossing, interpolated between the ends of
      the last bracket; None where there is none, for `reason`.
    - `evidence`: the last bracket with the means and their standard errors at its ends.
    """

    at: Json
    parameter: str
    value: float | None
    reason: str
    evidence: Json

    def to_json(self) -> Json:
        """The fields by name."""
        return {
            "at": self.at, "parameter": self.parameter, "value": self.value,
            "reason": self.reason, "evidence": self.evidence,
        }  # fmt: skip


def _standard_error(values: Sequence[float]) -> float | None:
    return stdev(values) / math.sqrt(len(values)) if len(values) > 1 else None
