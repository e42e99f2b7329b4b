"""Regressions over the commits, by asv's own step detection."""

from __future__ import annotations

from dataclasses import dataclass

from mimverify.performance.history.reading import Commit, Point, Series, asv_module

__all__ = ["LEAST_RISE", "Regression", "Step", "find_regressions", "steps_of"]

#: Steps that rise by less, relatively, are left out, as in `asv publish`.
LEAST_RISE = 0.05


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
    """A step upwards that no later commit undid.

    **Arguments**

    - `series`: which one.
    - `before`: the last commit of the better step.
    - `commit`: the first one measured of the worse step. It may have been caused by a
      commit between them that was not measured.
    - `old`, `new`: level before, and the best level since.
    """

    series: Series
    before: Commit
    commit: Commit
    old: float
    new: float

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
    """Regressions by `asv.step_detect`, oldest first.

    **Arguments**

    - `series`: values over commits, lower is better.
    - `threshold`: the smallest relative rise.
    """
    detect = asv_module("asv.step_detect").detect_regressions
    _, _, jumps = detect(_raw(series), threshold)
    points = series.points
    return tuple(
        Regression(series, points[before].commit, points[after].commit, old, new)
        for before, after, old, new in jumps or ()
        if old > 0
    )


def _raw(series: Series, until: int | None = None) -> list[tuple[int, int, float, float, float]]:
    points = series.points[:until]
    if not any(point.value is not None for point in points):
        return []
    detect = asv_module("asv.step_detect").detect_steps
    steps: list[tuple[int, int, float, float, float]] = detect(
        [point.value for point in points], [_weight(point) for point in points]
    )
    return steps


def _weight(point: Point) -> float | None:
    """asv's weight of a value: the inverse of its interval's half-width."""
    if point.low is None or point.high is None or point.high <= point.low:
        return None
    return 2 / (point.high - point.low)
