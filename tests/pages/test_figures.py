"""Figures as files and inside pages: formats, determinism, colours, ids."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING
from xml.etree import ElementTree

import pytest

import mimverify.pages.figures
from mimverify.pages import COLOURS, MARKERS, STROKES, figure_bytes, figure_svg, save_figure
from mimverify.pages.figure_style import THEMED, line_style
from mimverify.support.errors import InputError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

pytest.importorskip("matplotlib", reason="an extra")


def draw(figure: Figure) -> None:
    axes = figure.subplots()
    for index in range(len(COLOURS)):
        axes.plot([1, 2], [1, 2 + index], label=f"<{index}>", **line_style(index))  # type: ignore[arg-type]
    axes.set(xlabel="a & b", title=r"$d^2$")
    axes.legend()


@pytest.mark.parametrize(
    ("suffix", "head"), [("png", b"\x89PNG"), ("PDF", b"%PDF"), ("svg", b"<?xml")]
)
def test_the_format_is_that_of_the_name(suffix: str, head: bytes, tmp_path: Path) -> None:
    path = tmp_path / f"a.{suffix}"
    save_figure(draw, path)
    assert path.read_bytes().startswith(head)


@pytest.mark.parametrize("name", ["a.jpg", "a", "svg"])
def test_another_format_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"expected a name that ends in \.png or \.pdf or \.svg"):
        save_figure(draw, tmp_path / name)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("file_format", ["png", "pdf", "svg"])
def test_the_same_figure_is_the_same_file(file_format: str) -> None:
    assert figure_bytes(draw, file_format) == figure_bytes(draw, file_format)


def test_a_readers_own_style_changes_nothing() -> None:
    import matplotlib

    with matplotlib.rc_context(
        {"lines.linewidth": 9.0, "font.size": 30.0, "axes.facecolor": "red"}
    ):
        styled = figure_bytes(draw, "svg")
    assert styled == figure_bytes(draw, "svg")


def test_svg_in_a_page_is_one_element_with_a_text_and_its_own_ids() -> None:
    one, other = (figure_svg(draw, alt='a "line" <b>', name=name) for name in ("one", "other"))
    root = ElementTree.fromstring(one)
    assert root.get("role") == "img"
    assert root.get("aria-label") == 'a "line" <b>'
    for text in ("<metadata", "<style", "<!--", "<?xml", "http://purl"):
        assert text not in one
    ids = re.findall(r'\bid="([^"]+)"', one)
    assert len(set(ids)) == len(ids)
    assert not set(ids) & set(re.findall(r'\bid="([^"]+)"', other))
    for target in re.findall(r'(?:href="#|url\(#)([^")]+)', one):
        assert target in ids


def test_svg_in_a_page_keeps_text_and_follows_the_readers_colours() -> None:
    text = figure_svg(draw, alt="")
    assert "a &amp; b" in text
    for colour, themed in THEMED.items():
        assert colour not in text.lower()
        assert themed in text or colour in ("#ffffff", "#7b8187")
    assert "currentColor" in text


def test_every_series_has_a_second_cue() -> None:
    styles = [line_style(index) for index in range(len(COLOURS))]
    assert len(COLOURS) == len(MARKERS) == len(STROKES)
    for cue in ("color", "marker", "linestyle"):
        assert len({str(style[cue]) for style in styles}) == len(COLOURS)


def test_without_matplotlib_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mimverify.pages.figures, "has_matplotlib", lambda: False)
    with pytest.raises(InputError, match=r"pip install 'mimverify\[figures\]'"):
        figure_bytes(draw)


def test_pages_do_not_import_matplotlib() -> None:
    """Nor Jinja2, until one is rendered: commands start as fast without."""
    import subprocess

    code = (
        "import sys, mimverify.pages, mimverify.cli.verbs.check, mimverify.cli.verbs.train; "
        "print(*({'matplotlib', 'jinja2'} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
