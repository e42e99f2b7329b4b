"""The pictures of a history: which panels stand together, under which names."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from itertools import groupby
from typing import TYPE_CHECKING, TypeVar

from mimverify.pages import COLOURS, Draw
from mimverify.performance.history.drawing import draw_grid, draw_panels
from mimverify.performance.history.panels import (
    Panel,
    against_dim,
    exponents,
    medians_over_commits,
    over_commits,
    prefactors,
    ratios_against_dim,
)
from mimverify.performance.history.reading import RATIO, Parameters, Series
from mimverify.performance.history.report import Report
from mimverify.performance.history.slopes import Curve, grouped
from mimverify.support.errors import InputError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Picture", "figure_of", "overview", "pictures_of"]

T = TypeVar("T", Curve, Series)

_WIDTH, _ROW = 6.4, 3.6  # inches


@dataclass(frozen=True)
class Picture:
    """Panels below one another.

    **Arguments**

    - `name`: unique among the history's pictures.
    - `title`, `caption`: around it.
    - `panels`: of the same lines.
    """

    name: str
    title: str
    caption: str
    panels: tuple[Panel, ...]

    @property
    def draw(self) -> Draw:
        """Draws it on an empty figure."""
        return lambda figure: draw_panels(figure, self.panels)

    @property
    def size(self) -> tuple[float, float]:
        """Width and height in inches; the legend takes a row for each long name."""
        labels = [line.label for line in self.panels[0].lines]
        rows = math.ceil(len(labels) / (1 if max(map(len, labels)) > 36 else 2))
        height = _ROW if len(self.panels) == 1 else 2.4 * len(self.panels)
        return _WIDTH, height + 0.2 * rows


def overview(report: Report, place: tuple[str, str]) -> tuple[Picture, ...]:
    """The pictures to look at first, of a machine and environment: time against d, slope and
    prefactor of the longest benchmarks, and the ratios over the commits."""
    found: list[Picture] = []
    curves = _longest([curve for curve in report.curves if curve.place == place])
    if curves:
        labelled = [(_named(curve.benchmark, curve.parameters), curve) for curve in curves]
        found += _of_curves("overview", "Longest benchmarks", labelled, "")
    ratios = [one for one in _at(report.rest, place) if one.unit == RATIO]
    if ratios:
        panel = medians_over_commits(_ratio_groups(ratios), "Ratios over the commits")
        caption = (
            "Median of each group of ratios, with the number of its ratios; bars from the least "
            "to the largest. Those measured at the most commits count, so that all medians of a "
            "line are of the same ones."
        )
        found.append(Picture("overview ratios", "Ratios over the commits", caption, (panel,)))
    return tuple(found)


def pictures_of(
    benchmark: str, curves: Sequence[Curve], series: Sequence[Series], report: Report
) -> Iterator[Picture]:
    """All pictures of a benchmark: against d, with slope and prefactor over the commits; its
    ratios against d; its values over the commits, where there are two of them."""
    for name, part in _parts(benchmark, curves):
        labelled = [(_values(curve.parameters) or _short(benchmark), curve) for curve in part]
        yield from _of_curves(name, "", labelled, _names(part[0].parameters))
    for name, part in _parts(f"{benchmark} ratio", grouped(series)):
        labelled = [(_values(curve.parameters) or _short(benchmark), curve) for curve in part]
        caption = f"{_names(part[0].parameters)}Latest values."
        yield Picture(name, "Against d", caption, (ratios_against_dim(labelled),))
    moves = (*report.regressions, *report.recovered)
    several = [one for one in series if len(one.measured) > 1]
    for name, some in _parts(f"{benchmark} commits", several):
        lines = [(_values(one.parameters) or _short(benchmark), one) for one in some]
        panel = over_commits(lines, moves, "Over the commits")
        caption = f"{_names(some[0].parameters)}Pale levels are asv's steps."
        if panel.worse or panel.recovered:
            caption += (
                " A full triangle marks the first commit of a regression, an empty one the commit "
                "at which it has recovered."
            )
        yield Picture(name, "Over the commits", caption + _bars(panel, "99 %"), (panel,))


def figure_of(report: Report, benchmark: str | None = None) -> tuple[Draw, tuple[float, float]]:
    """The function that draws a figure for a file, and its size in inches.

    **Arguments**

    - `report`: the history, evaluated.
    - `benchmark`: one of asv's names; by default the overview.

    **Raises** `InputError` for a name that has no picture.
    """
    pictures: list[Picture] = []
    for place in report.history.places:
        if benchmark is None:
            pictures += overview(report, place)
            continue
        curves = [c for c in report.curves if (c.benchmark, c.place) == (benchmark, place)]
        series = [one for one in _at(report.rest, place) if one.benchmark == benchmark]
        pictures += pictures_of(benchmark, curves, series, report)
    panels = [panel for picture in pictures for panel in picture.panels]
    if not panels:
        raise _nothing_to_draw(report, benchmark)
    rows, columns = math.ceil(len(panels) / 2), min(len(panels), 2)

    def draw(figure: Figure) -> None:
        draw_grid(figure, panels)

    return draw, (_WIDTH * columns, (_ROW + 1) * rows)


def _nothing_to_draw(report: Report, benchmark: str | None) -> InputError:
    if benchmark is None:
        return InputError(
            f"--figure: {str(report.history.path)!r} holds nothing to draw, expected a benchmark "
            "with values at two dimensions, or of unit 'ratio'"
        )
    names = sorted({one.benchmark for one in report.history.series})
    if benchmark in names:
        return InputError(
            f"--benchmark={benchmark!r}: has values at one commit and one dimension alone, "
            "expected two of either"
        )
    near = get_close_matches(benchmark, names, 3, 0.4) or names[:3]
    expected = f"one of asv's names, such as {', '.join(near)}" if near else "one with a value"
    return InputError(f"--benchmark={benchmark!r}: expected {expected}")


def _at(series: Iterable[Series], place: tuple[str, str]) -> list[Series]:
    return [one for one in series if (one.machine, one.environment) == place]


def _of_curves(
    name: str, title: str, labelled: Sequence[tuple[str, Curve]], parameters: str
) -> Iterator[Picture]:
    panel = against_dim(labelled, f"{_GROWTH.get(labelled[0][1].unit, 'Value')} against d")
    caption = (
        f"{title}{'. ' if title else ''}{parameters}Marks: the latest commit measured; lines: "
        "least squares through logarithms; guides grow like d, d² (bold) and d³."
        f"{_bars(panel, '99 %')}"
    )
    yield Picture(name, panel.title, caption, (panel,))
    fitted = {k for _, c in labelled for k, slope in enumerate(c.slopes) if slope is not None}
    if len(fitted) > 1:
        panels = (exponents(labelled), prefactors(labelled))
        caption = (
            "The fitted slope, and the fit's value at one d: if it rises while the slope stays, "
            "all d got slower by the same factor. Seconds of different days are not comparable."
            f"{_bars(panels[0], '95 %', panels[1])}"
        )
        yield Picture(f"{name} fits", "Slope and prefactor over the commits", caption, panels)


_GROWTH = {"seconds": "Time", "bytes": "Memory"}


def _bars(panel: Panel, level: str, *more: Panel) -> str:
    """What bars mean, if there are any, and what an arrow at their end does."""
    panels = (panel, *more)
    marks = [mark for one in panels for line in one.lines for mark in line.marks]
    if all(mark.low is None for mark in marks):
        return ""
    text = f" Bars: {level} intervals" + (" by Student's t." if level == "95 %" else " of asv's.")
    clipped = sum(one.clipped for one in panels)
    if clipped:
        text += f" {clipped} of their ends lie beyond the axis, and end in an arrow there."
    return text


def _longest(curves: Sequence[Curve]) -> list[Curve]:
    """Curves of the benchmarks that take longest, as many as there are colours."""
    found: list[Curve] = []

    def length(family: list[Curve]) -> float:
        points = [point for curve in family for _, point in curve.at(curve.latest or 0)]
        return max(point.value or 0.0 for point in points)

    timed = [curve for curve in curves if curve.unit == "seconds"]
    families = [list(some) for _, some in groupby(timed, key=lambda curve: curve.benchmark)]
    small = [family for family in families if len(family) <= len(COLOURS)]
    for family in sorted(small, key=length, reverse=True):
        if len(found) + len(family) <= len(COLOURS):
            found += family
    return found or timed[: len(COLOURS)]


def _ratio_groups(ratios: Sequence[Series]) -> list[tuple[str, list[Series]]]:
    """By benchmark and its first parameter; by benchmark alone if that is too many."""
    for depth in (1, 0):
        groups: dict[str, list[Series]] = {}
        for one in ratios:
            name = _named(one.benchmark, one.parameters[:depth])
            groups.setdefault(name, []).append(one)
        if len(groups) <= len(COLOURS):
            break
    return sorted(groups.items(), key=lambda group: -len(group[1]))[: len(COLOURS)]


def _parts(name: str, items: Sequence[T]) -> Iterator[tuple[str, Sequence[T]]]:
    """Parts of about equal size, none with more lines than there are colours, with names."""
    if not items:
        return
    size = math.ceil(len(items) / math.ceil(len(items) / len(COLOURS)))
    for start in range(0, len(items), size):
        yield f"{name} {start // size + 1}", items[start : start + size]


def _named(benchmark: str, parameters: Parameters) -> str:
    return " ".join(part for part in (_short(benchmark), _values(parameters)) if part)


def _short(benchmark: str) -> str:
    """A benchmark without its module."""
    return benchmark.partition(".")[2] or benchmark


def _values(parameters: Parameters) -> str:
    return ", ".join(str(value) for _, value in parameters)


def _names(parameters: Parameters) -> str:
    """What the legend's values are of."""
    names = ", ".join(name for name, _ in parameters)
    return f"Legend: {names}. " if names else ""
