"""Regressions over the commits, by asv's own step detection."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TypeAlias

from mimverify.performance.history.reading import Commit, Point, Series, asv_module

__all__ = ["LEAST_RISE", "Regression", "Step", "find_regressions", "steps_of"]

#: Steps that rise by less, relatively, are left out, as in `asv publish`.
LEAST_RISE = 0.05

# Its first point, the one after its last, level, least value and error.
_AsvStep: TypeAlias = tuple[int, int, float, float, float]


@dataclass(frozen=True)
class Step:
    """Commits over which a benchmark did not change, by asv's step detection.

    **Arguments**

    - `first`, `last`: indices of the series' points, both included.
    - `value`: the level.
    """

    first: int
    last: int
    value: float


@dataclass(frozen=True)
class Regression:
    """A step upwards.

    **Arguments**

    - `series`: which one.
    - `before`: the last commit of the better step.
    - `commit`: the first one measured of the worse step. It may have been caused by a
      commit between them that was not measured.
    - `old`, `new`: level before, and the best level since, or until it was undone.
    - `last`, `recovered`: the last commit measured before the step that undid it, and the
      first one of that step; None while none did.
    """

    series: Series
    before: Commit
    commit: Commit
    old: float
    new: float
    last: Commit | None = None
    recovered: Commit | None = None

    @property
    def factor(self) -> float:
        """The new level relative to the old one."""
        return self.new / self.old


def steps_of(series: Series, until: int | None = None) -> tuple[Step, ...]:
    """asv's steps of a series, oldest first; none where there are no values.

    **Arguments**

    - `series`: values over commits; gaps belong to no step.
    - `until`: only the points before this index.
    """
    return tuple(Step(left, right - 1, value) for left, right, value, *_ in _raw(series, until))


def find_regressions(series: Series, threshold: float = LEAST_RISE) -> tuple[Regression, ...]:
    """Regressions by `asv.step_detect`: those that a later step undid first, then those that
    none did, each oldest first.

    asv reports what is left at the last commit. What it would have reported after each of the
    steps, and reports no longer after a later one, has recovered there.

    **Arguments**

    - `series`: values over commits, lower is better.
    - `threshold`: the smallest relative rise.
    """
    steps = _raw(series)
    points = series.points
    standing: dict[tuple[int, int], Regression] = {}
    recovered: list[Regression] = []
    for count in range(1, len(steps) + 1):
        found = _standing(series, steps[:count], threshold)
        first = points[steps[count - 1][0]].commit
        last = points[steps[count - 2][1] - 1].commit
        recovered += [
            replace(one, last=last, recovered=first)
            for place, one in standing.items()
            if place not in found
        ]
        standing = found
    return (*recovered, *standing.values())


def _standing(
    series: Series, steps: list[_AsvStep], threshold: float
) -> dict[tuple[int, int], Regression]:
    """What asv reports of these steps, by the indices of the points before and after."""
    _, _, jumps = asv_module("asv.step_detect").detect_regressions(steps, threshold)
    points = series.points
    return {
        (before, after): Regression(series, points[before].commit, points[after].commit, old, new)
        for before, after, old, new in jumps or ()
        if old > 0
    }


def _raw(series: Series, until: int | None = None) -> list[_AsvStep]:
    points = series.points[:until]
    if not any(point.value is not None for point in points):
        return []
    detect = asv_module("asv.step_detect").detect_steps
    steps: list[_AsvStep] = detect(
        [point.value for point in points], [_weight(point) for point in points]
    )
    return steps


def _weight(point: Point) -> float | None:
    """asv's weight of a value: the inverse of its interval's half-width."""
    if point.low is None or point.high is None or point.high <= point.low:
        return None
    return 2 / (point.high - point.low)
