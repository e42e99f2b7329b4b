"""Medians of a few rounds, with distribution-free intervals."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from mimverify.pages.notebook import ShownInNotebooks
from mimverify.support.strict_json import Json

#: Nominal coverage of the intervals.
COVERAGE = 0.95


@dataclass(frozen=True)
class Estimate(ShownInNotebooks):
    """A median, and order statistics around it.

    **Arguments**

    - `median`, `low`, `high`: of the values.
    - `coverage`: probability that [low, high] contains the median of the distribution, for
      independent values: below `COVERAGE` where they are too few.
    """

    median: float
    low: float
    high: float
    coverage: float

    def to_json(self) -> Json:
        """The fields by name."""
        return asdict(self)


def estimate(values: Sequence[float]) -> Estimate:
    """The median of at least one value, and the shortest symmetric pair of order statistics
    that covers it with probability `COVERAGE`, or the extremes."""
    ordered, n = sorted(values), len(values)
    rank = 1  # of the lower end, counted from 1
    while 2 * (rank + 1) <= n and _coverage(n, rank + 1) >= COVERAGE:
        rank += 1
    return Estimate(
        statistics.median(ordered), ordered[rank - 1], ordered[n - rank], _coverage(n, rank)
    )


def ratio(above: Sequence[float], below: Sequence[float]) -> Estimate | None:
    """The ratio of two competitors, round by round; None without a common round."""
    pairs = [a / b for a, b in zip(above, below, strict=False)]
    return estimate(pairs) if pairs else None


def _coverage(n: int, rank: int) -> float:
    """P(the median lies between the values of ranks `rank` and n + 1 − `rank`)."""
    if n < 2:
        return 0.0
    return 1.0 - 2.0 * sum(math.comb(n, k) for k in range(rank)) / 2.0**n
