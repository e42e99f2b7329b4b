"""n_half by bisection on noisy measurements, with an interval."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

#: Measures the log-odds of the alignment at n samples; the second argument counts measurements.
Measurement = Callable[[int, int], float]

# How far apart the two sizes are, in log n, between which n_half is interpolated: little
# enough for the log-odds to be straight, by far, and enough for a slope.
_APART = 0.3
# Measurements of the first estimate of the scatter.
_PILOT = 8
# Times that more measurements are made, as many as all so far suggest.
_STAGES = 4
_MOST_MOVES = 12


@dataclass(frozen=True)
class HalfPoint:
    """A measured n_half.

    **Arguments**

    - `log_samples`, `log_error`: log n_half and its standard error.
    - `degrees`: degrees of freedom of the error.
    - `slope`: d log-odds/d log n there.
    - `scatter`: standard deviation of the log-odds between data sets.
    - `runs`: measurements behind it, those of the search not counted.
    """

    log_samples: float
    log_error: float
    degrees: int
    slope: float
    scatter: float
    runs: int

    @property
    def samples(self) -> float:
        """n_half."""
        return math.exp(self.log_samples)

    def interval(self, coverage: float = 0.95) -> tuple[float, float]:
        """Student's interval for n_half."""
        from scipy.special import stdtrit

        reach = float(stdtrit(self.degrees, (1 + coverage) / 2)) * self.log_error
        return math.exp(self.log_samples - reach), math.exp(self.log_samples + reach)


def find_n_half(
    measure: Measurement,
    guess: float,
    *,
    precision: float = 0.005,
    most_runs: int = 400,
    highest: float = math.inf,
    lowest: float = 2.0,
) -> HalfPoint | None:
    """The n at which the mean log-odds vanish; None where that needs n > `highest`.

    Doubling and bisection find a bracket from one measurement a size. At two sizes about its
    middle enough measurements are then made for a standard error of `precision` in log n
    (in stages: those so far determine how many more), `most_runs` at most, and a straight line
    through their means is solved. Where it ends far outside, the two sizes
    move there and the measurements are made afresh.

    **Arguments**

    - `measure`: the k-th measurement at n samples.
    - `guess`: where to look first.
    """
    counter = iter(range(10**9))

    def once(log_n: float) -> float:
        return measure(max(round(math.exp(log_n)), 1), next(counter))

    middle = _bracketed(once, math.log(guess), math.log(lowest), math.log(highest))
    if middle is None:
        return None
    top = math.log(highest) - _APART / 2  # both sizes must fit
    for _ in range(_MOST_MOVES):
        middle = min(middle, top)
        sizes = (middle - _APART / 2, middle + _APART / 2)
        values = [[once(x) for _ in range(_PILOT // 2)] for x in sizes]
        point = _solve(sizes, values)
        # A pilot estimates slope and scatter poorly: the number of runs is estimated again.
        for _ in range(_STAGES):
            if point is None or abs(point.log_samples - middle) > _APART:
                break
            wanted = min((point.log_error / precision) ** 2 * point.runs, most_runs)
            more = math.ceil((wanted - point.runs) / 2)
            if more <= 0:
                return point
            for x, column in zip(sizes, values, strict=True):
                column += [once(x) for _ in range(more)]
            point = _solve(sizes, values)
        else:
            return point
        if point is None:  # no clear slope: the sizes stay, the measurements do not
            continue
        if middle == top and point.log_samples > top + _APART / 2:
            return None
        middle += max(-1.0, min(1.0, point.log_samples - middle))
    return None


def _bracketed(
    once: Callable[[float], float], start: float, lowest: float, highest: float
) -> float | None:
    """The middle of a short interval of log n with a change of sign."""
    if start > highest:
        start = highest
    low: float | None = None
    high: float | None = None
    x, stride = start, math.log(2)
    while low is None or high is None:
        if once(x) < 0:
            low = x
            if high is None:
                if x >= highest:
                    return None
                x = min(x + stride, highest)
        else:
            high = x
            if low is None:
                if x <= lowest:
                    return x
                x = max(x - stride, lowest)
        stride *= 1.5
    while high - low > _APART:
        x = (low + high) / 2
        if once(x) < 0:
            low = x
        else:
            high = x
    return (low + high) / 2


def _solve(sizes: tuple[float, float], values: list[list[float]]) -> HalfPoint | None:
    """The root of the line through both means; None where it does not rise clearly."""
    means = [float(np.mean(column)) for column in values]
    runs = sum(len(column) for column in values)
    squares = sum(float(np.var(column)) * len(column) for column in values)
    scatter = math.sqrt(squares / (runs - 2))
    slope = (means[1] - means[0]) / (sizes[1] - sizes[0])
    per_mean = [scatter / math.sqrt(len(column)) for column in values]
    if slope * (sizes[1] - sizes[0]) <= 2 * math.hypot(*per_mean):
        return None
    root = sizes[0] - means[0] / slope
    # The root moves with either mean in proportion to its distance from the other size.
    weight = (root - sizes[0]) / (sizes[1] - sizes[0])
    error = math.hypot((1 - weight) * per_mean[0], weight * per_mean[1]) / slope
    return HalfPoint(root, error, runs - 2, slope, scatter, runs)
