"""Figures as files for a paper and as SVG inside a page, drawn by one function each."""

from __future__ import annotations

import hashlib
import io
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from markupsafe import Markup, escape

from mimverify.pages.figure_style import THEMED, settings
from mimverify.support.errors import InputError
from mimverify.support.files import atomic_write

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = [
    "FIGURE_FORMATS",
    "Draw",
    "check_format",
    "check_matplotlib",
    "figure_bytes",
    "figure_svg",
    "has_matplotlib",
    "save_figure",
]

#: Draws on an empty figure.
Draw: TypeAlias = "Callable[[Figure], None]"

#: Formats by the end of a file's name.
FIGURE_FORMATS = ("png", "pdf", "svg")

_SIZE = (7.0, 4.2)  # inches
# Nothing in a file depends on when it was written.
_METADATA: dict[str, dict[str, None]] = {
    "svg": {"Date": None, "Creator": None, "Format": None, "Type": None},
    "pdf": {"CreationDate": None},
    "png": {},
}


def has_matplotlib() -> bool:
    """Whether figures can be drawn."""
    return find_spec("matplotlib") is not None


def check_format(argument: str, path: str | Path) -> str:
    """The format that the end of the file's name stands for. **Raises** `InputError`."""
    file_format = Path(path).suffix.lower().removeprefix(".")
    if file_format not in FIGURE_FORMATS:
        names = " or .".join(FIGURE_FORMATS)
        raise InputError(f"{argument}={str(path)!r}: expected a name that ends in .{names}")
    return file_format


def check_matplotlib(argument: str = "") -> None:
    """Refuse a figure where nothing can draw it. **Raises** `InputError`."""
    if not has_matplotlib():
        begin = f"{argument}: " if argument else ""
        raise InputError(f"{begin}figures need matplotlib: pip install 'mimverify[figures]'")


def save_figure(draw: Draw, path: str | Path, *, size: tuple[float, float] = _SIZE) -> None:
    """Draw into a file: PNG, PDF or SVG by the end of its name; atomically.

    **Arguments**

    - `draw`: draws on an empty figure with a constrained layout.
    - `size`: width and height in inches.

    **Raises** `InputError` for the end of the name, for the place, and without matplotlib.
    """
    file_format = check_format("path", path)
    atomic_write(Path(path), figure_bytes(draw, file_format, size=size))


def figure_bytes(
    draw: Draw, file_format: str = "png", *, size: tuple[float, float] = _SIZE
) -> bytes:
    """A figure as the content of a file; the same bytes for the same drawing.

    **Raises** `InputError` without matplotlib.
    """
    return _saved(draw, file_format, size, embedded=False)


def figure_svg(
    draw: Draw, *, alt: str, name: str = "", size: tuple[float, float] = _SIZE
) -> Markup:
    """A figure as SVG for inside a page: text as text, colours that follow light and dark.

    **Arguments**

    - `draw`: draws on an empty figure with a constrained layout.
    - `alt`: what a screen reader says instead: the message of the figure.
    - `name`: unique in the page, the beginning of all its ids (default: from its content).

    **Raises** `InputError` without matplotlib.
    """
    text = _saved(draw, "svg", size, embedded=True).decode()
    return Markup(_for_a_page(text, str(escape(alt)), name))


# -- saving ------------------------------------------------------------------------------------


def _saved(draw: Draw, file_format: str, size: tuple[float, float], *, embedded: bool) -> bytes:
    check_matplotlib()
    with _style(embedded):
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        figure = Figure(figsize=size, layout="constrained")
        FigureCanvasAgg(figure)
        draw(figure)
        buffer = io.BytesIO()
        figure.savefig(buffer, format=file_format, dpi=150, metadata=_METADATA[file_format])
    return buffer.getvalue()


@contextmanager
def _style(embedded: bool) -> Iterator[None]:
    """The one style, whatever the reader's matplotlibrc says."""
    import matplotlib.style

    with matplotlib.style.context(["default", settings(embedded=embedded)]):
        yield


# -- SVG inside a page -------------------------------------------------------------------------


def _for_a_page(text: str, alt: str, name: str) -> str:
    """The element alone, with ids of its own, the page's colours, and a text for screen readers.

    Its style sheet would hold for the whole page: its two rules become attributes.
    """
    text = text[text.index("<svg") :]
    text = re.sub(r"\s*<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r"\s*<style[^>]*>.*?</style>", "", text, flags=re.DOTALL)
    text = re.sub(r"<!--.*?-->\s*", "", text, flags=re.DOTALL)
    prefix = name or "f" + hashlib.sha256(text.encode()).hexdigest()[:8]
    text = re.sub(r'\bid="', f'id="{prefix}-', text)
    text = re.sub(r'href="#', f'href="#{prefix}-', text)
    text = text.replace("url(#", f"url(#{prefix}-")
    for colour, themed in THEMED.items():
        text = re.sub(rf"{colour}\b", themed, text, flags=re.IGNORECASE)
    view = re.search(r'viewBox="([^"]+)"', text)
    assert view is not None
    width = float(view[1].split()[2]) * 4 / 3  # points to CSS's pixels
    begin = (
        f'<svg class="plot" role="img" aria-label="{alt}" viewBox="{view[1]}" '
        f'style="max-width: {width:.0f}px" stroke-linejoin="round" stroke-linecap="butt" '
        'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink">'
    )
    return begin + text[text.index(">") + 1 :].rstrip()
