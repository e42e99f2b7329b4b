"""One style of figures: colours for any colour vision, and a second cue beside each of them."""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["COLOURS", "GUIDE", "INK", "MARKERS", "STROKES", "THEMED", "line_style", "settings"]

#: Okabe and Ito's colours: distinct with any colour vision.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
#: The second cue of points and of lines, in the same order.
MARKERS = ("o", "s", "^", "D", "v", "P")
STROKES = ("-", (0, (5, 2)), (0, (1, 1.5)), (0, (5, 2, 1, 2)), (0, (9, 2)), (0, (3, 1, 1, 1, 1, 1)))
#: Of guides and thresholds, on light and on dark.
GUIDE = "#7b8187"

INK = "#1b1f24"
_GRID = "#d9dde2"
_PAPER = "#ffffff"

#: What stands in a page for a colour of a figure, so that it follows the reader's light or dark.
THEMED: Mapping[str, str] = {
    INK: "currentColor",
    _GRID: "var(--grid)",
    _PAPER: "var(--paper)",
    GUIDE: "var(--guide)",
    **{colour: f"var(--c{index})" for index, colour in enumerate(COLOURS)},
}


def line_style(index: int) -> dict[str, object]:
    """Colour, marker and stroke of the series `index`, as keywords of matplotlib's `plot`."""
    which = index % len(COLOURS)
    return {"color": COLOURS[which], "marker": MARKERS[which], "linestyle": STROKES[which]}


def settings(*, embedded: bool) -> dict[str, object]:
    """Of matplotlib; `embedded` figures keep text as text, in the page's own font."""
    from cycler import cycler

    return {
        "axes.prop_cycle": cycler(color=COLOURS) + cycler(linestyle=STROKES),
        "axes.edgecolor": INK,
        "axes.facecolor": "none",
        "axes.grid": True,
        "axes.labelcolor": INK,
        "axes.spines.right": False,
        "axes.spines.top": False,
        "axes.titlelocation": "left",
        "axes.titlesize": "medium",
        "figure.facecolor": "none" if embedded else _PAPER,
        "font.family": "sans-serif",
        "font.size": 10,
        "grid.color": _GRID,
        "grid.linewidth": 0.7,
        "legend.frameon": False,
        "legend.fontsize": "small",
        "lines.linewidth": 1.6,
        "lines.markersize": 5,
        "errorbar.capsize": 3,
        "pdf.fonttype": 42,  # TrueType: text that an editor can select
        "savefig.facecolor": "none" if embedded else _PAPER,
        "svg.fonttype": "none" if embedded else "path",
        "svg.hashsalt": "mimverify",  # the same figure has the same ids
        "text.color": INK,
        "xtick.color": INK,
        "ytick.color": INK,
        "xtick.labelsize": "small",
        "ytick.labelsize": "small",
    }
