"""What is drawn of a history, as data: panels of lines against d, or over the commits."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import TypeAlias

from mimverify.performance.history.quantities import named
from mimverify.performance.history.reading import Commit, Point, Series
from mimverify.performance.history.regressions import Regression, steps_of
from mimverify.performance.history.slopes import Curve
from mimverify.support.strict_json import Json

__all__ = [
    "Line",
    "Mark",
    "Panel",
    "against_dim",
    "exponents",
    "limits",
    "medians_over_commits",
    "over_commits",
    "prefactors",
    "range_of",
    "ratios_against_dim",
]

#: A line of a panel before it has a place: its label, and the curve or series that it shows.
Labelled: TypeAlias = Sequence[tuple[str, Curve]]


@dataclass(frozen=True)
class Mark:
    """A value with its interval, if it has one, at a dimension or at the index of a commit."""

    x: float
    value: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Line:
    """One line of a panel.

    **Arguments**

    - `label`: in the legend.
    - `marks`: those of consecutive commits are joined; against d none are, the fit is drawn.
    - `fit`: the ends of the fitted line.
    - `levels`: asv's steps, as first and last index and level.
    """

    label: str
    marks: tuple[Mark, ...]
    fit: tuple[Mark, Mark] | None = None
    levels: tuple[tuple[int, int, float], ...] = ()


@dataclass(frozen=True)
class Panel:
    """Lines on common axes.

    **Arguments**

    - `title`, `y_label`, `unit`: of the vertical axis, with asv's unit.
    - `lines`: at most as many as there are colours.
    - `commits`: of the horizontal axis, those at which a line was run; none if it is d.
    - `logarithmic`: the vertical axis; that of d always is.
    - `bottom`, `top`: the ends of the vertical axis. Intervals may go on beyond them.
    - `guides`: powers of d through the lowest value at the smallest d.
    - `levels`: values that stand out.
    - `worse`, `recovered`: indices of commits at which a regression begins, or ends.
    """

    title: str
    y_label: str
    unit: str
    lines: tuple[Line, ...]
    commits: tuple[Commit, ...]
    logarithmic: bool
    bottom: float
    top: float
    guides: tuple[int, ...] = ()
    levels: tuple[float, ...] = ()
    worse: tuple[int, ...] = ()
    recovered: tuple[int, ...] = ()

    @property
    def dims(self) -> tuple[int, ...]:
        """The dimensions of an axis of d."""
        return tuple(sorted({int(mark.x) for line in self.lines for mark in line.marks}))

    @property
    def anchor(self) -> Mark:
        """The lowest value at the smallest d, where the guides begin."""
        marks = [mark for line in self.lines for mark in line.marks]
        return min(marks, key=lambda mark: (mark.x, mark.value))

    @property
    def clipped(self) -> int:
        """How many ends of intervals lie beyond the axis."""
        marks = [mark for line in self.lines for mark in line.marks]
        below = sum(mark.low is not None and mark.low < self.bottom for mark in marks)
        return below + sum(mark.high is not None and mark.high > self.top for mark in marks)

    def to_json(self) -> Json:
        """The numbers that are drawn, as a JSON object."""
        return {
            "title": self.title,
            "unit": self.unit,
            "lines": [
                {
                    "label": line.label,
                    "points": [self._point(mark) for mark in line.marks],
                    "steps": [
                        {
                            "from": self.commits[first].hash,
                            "to": self.commits[last].hash,
                            "level": level,
                        }
                        for first, last, level in line.levels
                    ],
                }
                for line in self.lines
            ],
        }

    def _point(self, mark: Mark) -> Json:
        at = {"commit": self.commits[int(mark.x)].hash} if self.commits else {"dim": int(mark.x)}
        return {**at, "value": mark.value, "low": mark.low, "high": mark.high}


def against_dim(curves: Labelled, title: str) -> Panel:
    """Values at the latest commit of each curve, with asv's intervals and the fitted lines."""
    lines = []
    for label, curve in curves:
        latest = curve.latest or 0
        slope = curve.slopes[latest]
        ends = None
        if slope is not None:
            low, high = min(slope.dims), max(slope.dims)
            ends = Mark(low, slope.at(low)), Mark(high, slope.at(high))
        lines.append(Line(label, _marks(curve.at(latest)), ends))
    unit = curves[0][1].unit
    bottom, top = limits(lines, logarithmic=True, least=2.5)
    return Panel(title, named(unit), unit, tuple(lines), (), True, bottom, top, (1, 2, 3))


def ratios_against_dim(curves: Labelled) -> Panel:
    """Ratios at the latest commit of each curve: they are not expected to grow."""
    lines = [Line(label, _marks(curve.at(curve.latest or 0))) for label, curve in curves]
    bottom, top = limits(lines, logarithmic=True, least=1.5)
    levels = (1.0,) if bottom < 1 < top else ()
    return Panel(
        "Ratio against d", "ratio", "ratio", tuple(lines), (), True, bottom, top, (), levels
    )


def medians_over_commits(groups: Sequence[tuple[str, Sequence[Series]]], title: str) -> Panel:
    """Of each group its median over the commits, with bars from its least to its largest value.

    Of a group those series count that have values at the most commits: medians of other
    combinations at other commits would not compare.
    """
    chosen = []
    for label, series in groups:
        most = max(len(one.measured) for one in series)
        full = [one for one in series if len(one.measured) == most]
        text = f"{label}, {len(full)}" + ("" if len(full) == len(series) else f" of {len(series)}")
        chosen.append((text, full))
    kept = _run_at(one for _, series in chosen for one in series)
    commits = tuple(chosen[0][1][0].points[index].commit for index in kept)
    lines = []
    for label, series in chosen:
        marks = []
        for place, index in enumerate(kept):
            values = [one.points[index].value for one in series]
            there = [value for value in values if value is not None]
            if len(there) == len(series):
                marks.append(Mark(place, median(there), min(there), max(there)))
        lines.append(Line(label, tuple(marks)))
    lines = [line for line in lines if line.marks]
    marks = [mark for line in lines for mark in line.marks]
    low = min(mark.value if mark.low is None else mark.low for mark in marks)
    high = max(mark.value if mark.high is None else mark.high for mark in marks)
    pad = max(0.07 * (high - low), 0.05 * abs(high), 1e-9)
    levels = (1.0,) if low - pad < 1 < high + pad else ()
    return Panel(
        title, "ratio", "ratio", tuple(lines), commits, False, low - pad, high + pad, levels=levels
    )


def exponents(curves: Labelled) -> Panel:
    """The slope at each commit, with its interval."""
    kept = _run_at(one for _, curve in curves for one in curve.series)
    lines = []
    for label, curve in curves:
        marks = []
        for place, index in enumerate(kept):
            slope = curve.slopes[index]
            if slope is not None:
                ends = range_of(slope.exponent, slope.margin)
                marks.append(Mark(place, slope.exponent, *ends))
        lines.append(Line(label, tuple(marks)))
    bottom, top = limits(lines, logarithmic=False, least=1.0)
    commits = tuple(curves[0][1].commits[index] for index in kept)
    levels = tuple(power for power in (1.0, 2.0, 3.0) if bottom < power < top)
    title = "Slope over the commits"
    return Panel(title, "slope", "unit", tuple(lines), commits, False, bottom, top, levels=levels)


def prefactors(curves: Labelled) -> Panel:
    """The fit at the reference dimension, at each commit."""
    kept = _run_at(one for _, curve in curves for one in curve.series)
    commits = tuple(curves[0][1].commits[index] for index in kept)
    lines = []
    for label, curve in curves:
        marks = []
        for place, index in enumerate(kept):
            slope = curve.slopes[index]
            if slope is not None:
                factor = slope.factor
                low = None if factor is None else slope.prefactor / factor
                high = None if factor is None else slope.prefactor * factor
                marks.append(Mark(place, slope.prefactor, low, high))
        lines.append(Line(label, tuple(marks)))
    unit = curves[0][1].unit
    at = sorted({curve.reference for _, curve in curves})
    where = f"d = {at[0]}" if len(at) == 1 else f"d = {at[0]} … {at[-1]}"
    title = f"Prefactor over the commits: fit at {where}"
    bottom, top = limits(lines, logarithmic=True, least=3.0)
    return Panel(title, named(unit), unit, tuple(lines), commits, True, bottom, top)


def over_commits(
    series: Sequence[tuple[str, Series]], regressions: Iterable[Regression], title: str
) -> Panel:
    """Values over the commits, with asv's intervals and steps; a regression begins or ends
    where `regressions` say so."""
    kept = _run_at(one for _, one in series)
    commits = tuple(series[0][1].points[index].commit for index in kept)
    lines = []
    for label, one in series:
        points = [(place, one.points[index]) for place, index in enumerate(kept)]
        steps = ((kept.index(step.first), kept.index(step.last), step) for step in steps_of(one))
        levels = tuple((first, last, step.value) for first, last, step in steps)
        lines.append(Line(label, _marks(points), levels=levels))
    keys = {one.key for _, one in series}
    mine = [one for one in regressions if one.series.key in keys]
    ended = [one.recovered for one in mine if one.recovered is not None]
    return _over(
        title,
        series[0][1].unit,
        lines,
        commits,
        worse=tuple(sorted({commits.index(one.commit) for one in mine})),
        recovered=tuple(sorted({commits.index(commit) for commit in ended})),
    )


def range_of(value: float, margin: float | None) -> tuple[float | None, float | None]:
    """The ends of an interval; none without a margin."""
    return (None, None) if margin is None else (value - margin, value + margin)


def limits(lines: Sequence[Line], *, logarithmic: bool, least: float) -> tuple[float, float]:
    """Ends of an axis that holds all values, and of the intervals what is not far from them:
    a wide one would press everything else into a line, and is cut off.

    **Arguments**

    - `lines`: at least one mark.
    - `logarithmic`: equal ratios take equal lengths.
    - `least`: the smallest extent; a factor if logarithmic.
    """

    def on_axis(value: float) -> float:
        return math.log(value) if logarithmic else value

    marks = [mark for line in lines for mark in line.marks]
    values = [on_axis(mark.value) for mark in marks]
    low, high = min(values), max(values)
    extent = max(high - low, math.log(least) if logarithmic else least)
    ends = [end for mark in marks for end in (mark.low, mark.high) if end is not None]
    inside = [on_axis(end) for end in ends if end > 0 or not logarithmic]
    low = max(min([low, *inside]), low - extent / 2)
    high = min(max([high, *inside]), high + extent / 2)
    pad = max(0.07 * (high - low), (extent - (high - low)) / 2)
    low, high = low - pad, high + pad
    return (math.exp(low), math.exp(high)) if logarithmic else (low, high)


def _over(
    title: str,
    unit: str,
    lines: Sequence[Line],
    commits: tuple[Commit, ...],
    *,
    worse: tuple[int, ...] = (),
    recovered: tuple[int, ...] = (),
) -> Panel:
    """A panel over the commits: logarithmic where values differ a lot, and all are positive."""
    values = [mark.value for line in lines for mark in line.marks]
    logarithmic = min(values) > 0 and max(values) / min(values) > 4
    least = 1.5 if logarithmic else 0.2 * max(*map(abs, values), 1e-9)
    bottom, top = limits(lines, logarithmic=logarithmic, least=least)
    return Panel(
        title, named(unit), unit, tuple(lines), commits, logarithmic, bottom, top,
        worse=worse, recovered=recovered,
    )  # fmt: skip


def _run_at(series: Iterable[Series]) -> list[int]:
    """Indices of the commits at which any of the series was run: the others take no space."""
    columns = zip(*(one.points for one in series), strict=True)
    return [
        k
        for k, points in enumerate(columns)
        if any(point.recorded and not point.skipped for point in points)
    ]


def _marks(points: Iterable[tuple[int, Point]]) -> tuple[Mark, ...]:
    return tuple(
        Mark(x, point.value, point.low, point.high)
        for x, point in points
        if point.value is not None
    )
