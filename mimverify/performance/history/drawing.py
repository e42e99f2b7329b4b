"""Panels of a history, drawn with matplotlib."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from mimverify.pages import COLOURS, GUIDE, STROKES, line_style
from mimverify.performance.history.panels import Line, Mark, Panel
from mimverify.performance.history.quantities import shown

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["draw_grid", "draw_panels"]

_POWERS = {1: "d", 2: "d²", 3: "d³"}
_LABELLED = 4  # commits with a label on an axis
_WORSE = COLOURS[1]


def draw_panels(figure: Figure, panels: Sequence[Panel]) -> None:
    """Draw panels below one another; those of the same lines share one legend, at the foot."""
    every = figure.subplots(len(panels), 1, squeeze=False)
    for panel, axes in zip(panels, every[:, 0], strict=True):
        _draw(panel, axes)
        if len(panels) > 1:
            axes.set_title(panel.title)
    handles, labels = every[0, 0].get_legend_handles_labels()
    columns = 1 if _long(panels[0]) else 2
    figure.legend(handles, labels, loc="outside lower left", ncols=columns)


def draw_grid(figure: Figure, panels: Sequence[Panel]) -> None:
    """Draw panels two in a row, each with its own legend."""
    rows = math.ceil(len(panels) / 2)
    columns = min(len(panels), 2)
    every = list(figure.subplots(rows, columns, squeeze=False).flat)
    for panel, axes in zip(panels, every, strict=False):
        _draw(panel, axes)
        axes.set_title(panel.title)
        below = {"loc": "upper left", "bbox_to_anchor": (0, -0.16), "borderaxespad": 0.0}
        axes.legend(**below, ncols=1 if _long(panel) else 2)
    for axes in every[len(panels) :]:
        axes.set_axis_off()


def _long(panel: Panel) -> bool:
    return max(len(line.label) for line in panel.lines) > 36


def _draw(panel: Panel, axes: Axes) -> None:
    if panel.y_label:
        axes.set_ylabel(panel.y_label)
    if panel.logarithmic:
        axes.set_yscale("log")
    axes.set_ylim(panel.bottom, panel.top)
    _vertical_ticks(panel, axes)
    if panel.commits:
        _over_commits(panel, axes)
    else:
        _against_dim(panel, axes)
    for level in panel.levels:
        axes.axhline(level, color=GUIDE, linestyle=(0, (2, 3)), linewidth=1.4)
    for index, line in enumerate(panel.lines):
        _line(panel, axes, index, line)


def _vertical_ticks(panel: Panel, axes: Axes) -> None:
    from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

    if panel.logarithmic:
        decades = math.log10(panel.top / panel.bottom)
        subs = (1, 2, 5) if decades < 2.5 else (1,)
        if decades < 0.7:
            subs = (1, 1.5, 2, 3, 4, 5, 6, 8)  # type: ignore[assignment]
        axes.yaxis.set_major_locator(LogLocator(10, subs=subs))
        axes.yaxis.set_minor_locator(NullLocator())
    else:
        axes.yaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 2.5, 5, 10]))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda at, _: shown(at, panel.unit, 3)))


def _over_commits(panel: Panel, axes: Axes) -> None:
    commits = panel.commits
    last = len(commits) - 1
    axes.set_xlim(-0.6, last + 0.6)
    count = min(_LABELLED, len(commits))
    places = sorted({round(k * last / max(count - 1, 1)) for k in range(count)})
    labels = [f"{commits[k].short}\n{commits[k].date:%Y-%m-%d}" for k in places]
    axes.set_xticks(places, labels)
    for mark, indices in (("v", panel.worse), ("^", panel.recovered)):
        for place in indices:
            axes.axvline(place, color=_WORSE, linestyle=(0, (4, 3)), linewidth=1)
            axes.plot(
                place, 1.02, mark, transform=axes.get_xaxis_transform(), color=_WORSE,
                clip_on=False, markersize=7, markerfacecolor=_WORSE if mark == "v" else "none",
            )  # fmt: skip


def _against_dim(panel: Panel, axes: Axes) -> None:
    from matplotlib.ticker import NullLocator

    dims = panel.dims
    axes.set_xscale("log")
    axes.set_xlim(dims[0] / 1.2, dims[-1] * 1.3)
    axes.set_xticks(dims, [str(dim) for dim in dims])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlabel("d")
    for power in panel.guides:
        _guide(panel, axes, power)


def _guide(panel: Panel, axes: Axes, power: int) -> None:
    """The power law through the anchor, up to the frame, with its name at its end."""
    start, right = panel.anchor, axes.get_xlim()[1]
    reach = math.log(right / start.x)
    length = min(reach, math.log(panel.top / start.value) / power)
    if length <= 0:
        return
    end = start.x * math.exp(length), start.value * math.exp(length * power)
    strong = power == 2
    axes.plot(
        [start.x, end[0]], [start.value, end[1]], color=GUIDE, marker="", zorder=1,
        linestyle=(0, (6, 3)) if strong else (0, (1, 3)), linewidth=1.8 if strong else 1.1,
    )  # fmt: skip
    at_top = length < reach
    axes.annotate(
        _POWERS[power], end,
        xytext=(0, 2) if at_top else (3, 0), textcoords="offset points",
        ha="center" if at_top else "left", va="bottom" if at_top else "center",
        fontweight="bold" if strong else "normal", annotation_clip=False,
    )  # fmt: skip


def _line(panel: Panel, axes: Axes, index: int, line: Line) -> None:
    style = line_style(index)
    colour = COLOURS[index]
    for first, last, level in line.levels:
        axes.plot(
            [first - 0.15, last + 0.15], [level, level], color=colour, marker="", linestyle="-",
            linewidth=6, alpha=0.25, solid_capstyle="butt",
        )  # fmt: skip
    label: str | None = line.label
    for part in _joined(line.marks) if panel.commits else [line.marks]:
        (drawn,) = axes.plot(
            [_beside(panel, index, mark.x) for mark in part], [mark.value for mark in part],
            label=label,
        )  # fmt: skip
        drawn.set(**style if panel.commits else {**style, "linestyle": "none"})
        label = None  # in the legend once
    if line.fit is not None:
        start, end = line.fit
        axes.plot(
            [start.x, end.x], [start.value, end.value], color=colour, marker="",
            linestyle=STROKES[index], linewidth=1.3,
        )  # fmt: skip
    _intervals(panel, axes, index, line)


def _beside(panel: Panel, index: int, x: float) -> float:
    """Lines stand a little beside one another, so that no bar hides another one."""
    shift = index - (len(panel.lines) - 1) / 2
    return float(x + 0.07 * shift if panel.commits else x * 1.022**shift)


def _intervals(panel: Panel, axes: Axes, index: int, line: Line) -> None:
    """Bars; where one goes on beyond the axis it ends in an arrow."""
    colour = COLOURS[index]
    bars = [
        (_beside(panel, index, mark.x), mark.low, mark.high)
        for mark in line.marks
        if mark.low is not None and mark.high is not None
    ]
    if not bars:
        return
    xs, lows, highs = zip(*bars, strict=True)
    within = [max(low, panel.bottom) for low in lows], [min(high, panel.top) for high in highs]
    axes.vlines(xs, *within, color=colour, linewidth=1.2)
    for x, low, high in bars:
        for clipped, edge, inward in (
            (low < panel.bottom, 0.0, 0.07),
            (high > panel.top, 1.0, -0.07),
        ):
            if clipped:
                arrow = axes.annotate(
                    "", (x, edge), xytext=(x, edge + inward),
                    xycoords=axes.get_xaxis_transform(), textcoords=axes.get_xaxis_transform(),
                    arrowprops={"arrowstyle": "-|>", "color": colour, "shrinkA": 0, "shrinkB": 0},
                    annotation_clip=False,
                )  # fmt: skip
                if arrow.arrow_patch is not None:
                    name = panel.title.partition(" ")[0].lower()  # for tests, unique in the figure
                    arrow.arrow_patch.set_gid(f"clipped-{name}-{index}-{x:g}-{edge:.0f}")


def _joined(marks: Sequence[Mark]) -> list[list[Mark]]:
    """Runs of consecutive commits: a gap is not bridged."""
    parts: list[list[Mark]] = []
    for mark in marks:
        if parts and mark.x == parts[-1][-1].x + 1:
            parts[-1].append(mark)
        else:
            parts.append([mark])
    return parts
