"""Pages and figures: templates and one style for everything that is looked at.

Nothing here knows what it shows: packages above hand over tables, figures and data. Templates are
Jinja2's, in `templates/`; figures are matplotlib's (the extra `figures`), as files or as SVG
inside a page.
"""

from mimverify.pages.blocks import Cell, Column, FigureBlock, Fold, Table
from mimverify.pages.figure_style import COLOURS, GUIDE, MARKERS, STROKES, line_style
from mimverify.pages.figures import (
    FIGURE_FORMATS,
    Draw,
    figure_bytes,
    figure_svg,
    has_matplotlib,
    save_figure,
)
from mimverify.pages.progress import ProgressDisplay
from mimverify.pages.rendering import render, write_page

__all__ = [
    "COLOURS",
    "FIGURE_FORMATS",
    "GUIDE",
    "MARKERS",
    "STROKES",
    "Cell",
    "Column",
    "Draw",
    "FigureBlock",
    "Fold",
    "ProgressDisplay",
    "Table",
    "figure_bytes",
    "figure_svg",
    "has_matplotlib",
    "line_style",
    "render",
    "save_figure",
    "write_page",
]
