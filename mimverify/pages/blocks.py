"""What pages are made of: tables, figures, folded text. Plain data; the templates lay them out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from markupsafe import Markup

from mimverify.support.errors import InputError
from mimverify.support.strict_json import Json

__all__ = ["Cell", "Column", "FigureBlock", "Fold", "Table"]

#: The meanings that a cell's colour may have; each also has a sign or a word in its text.
TONES = ("", "good", "bad", "warn", "faint")


@dataclass(frozen=True)
class Column:
    """A column of a table.

    **Arguments**

    - `label`: its heading, with the unit where there is one.
    - `numeric`: aligned to the right, digits of one width, never wrapped.
    """

    label: str
    numeric: bool = False


@dataclass(frozen=True)
class Cell:
    """A cell of a table.

    **Arguments**

    - `text`: as shown; `Markup` is taken as it is, anything else is escaped.
    - `tone`: one of `TONES`.
    - `pointer`: where the number that the text rounds is: a JSON pointer into the page's data,
      "/trainers/0/seconds", or into a figure's, "figure-ID#/points/3/y". Tests compare the two.
    - `code`: whether it is code: a monospaced font, broken anywhere.
    """

    text: str
    tone: str = ""
    pointer: str = ""
    code: bool = False

    def __post_init__(self) -> None:
        if self.tone not in TONES:
            raise InputError(f"tone={self.tone!r}: expected one of {', '.join(map(repr, TONES))}")


@dataclass(frozen=True)
class Table:
    """A table; the first cell of each row is its heading.

    **Arguments**

    - `caption`: what it shows, in a sentence.
    - `columns`: names, or `Column`s.
    - `rows`: of cells, or of their texts, as many as there are columns.
    - `note`: below it, such as what an interval is.

    **Raises** `InputError` for a row of another length.
    """

    caption: str
    columns: Sequence[Column | str]
    rows: Sequence[Sequence[Cell | str]]
    note: str = ""
    heads: tuple[Column, ...] = field(init=False)
    cells: tuple[tuple[Cell, ...], ...] = field(init=False)

    def __post_init__(self) -> None:
        heads = tuple(c if isinstance(c, Column) else Column(c) for c in self.columns)
        for row in self.rows:
            if len(row) != len(heads):
                raise InputError(
                    f"rows: one of {len(row)} cells, expected {len(heads)}, one for each column of "
                    f"{self.caption!r}"
                )
        cells = tuple(
            tuple(c if isinstance(c, Cell) else Cell(c) for c in row) for row in self.rows
        )
        object.__setattr__(self, "heads", heads)
        object.__setattr__(self, "cells", cells)


@dataclass(frozen=True)
class FigureBlock:
    """A figure inside a page, with what it takes to make it again.

    **Arguments**

    - `title`: its heading.
    - `caption`: what is drawn, the meaning of error bars and shaded areas included.
    - `svg`: from `figure_svg`; None where there is no matplotlib: the data stay.
    - `command`: the command line that draws it as a file.
    - `data`: the numbers that it draws.
    - `name`: unique in the page: of letters, digits and hyphens; anchor "figure-NAME".
    """

    title: str
    caption: str
    svg: Markup | None
    command: str = ""
    data: Json | None = None
    name: str = ""

    @property
    def anchor(self) -> str:
        """The figure's id in the page."""
        words = "".join(c if c.isalnum() and c.isascii() else " " for c in self.name or self.title)
        return "figure-" + "-".join(words.lower().split())


@dataclass(frozen=True)
class Fold:
    """Text behind a heading that opens it.

    **Arguments**

    - `summary`: the heading.
    - `text`: preformatted.
    - `lines`: or one paragraph each.
    - `table`: or a table.
    """

    summary: str
    text: str = ""
    lines: Sequence[str] = ()
    table: Table | None = None
