"""What a named study is: sweeps, the comparisons that their trials make, and figures of both."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from mimverify.support.strict_json import Json

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from mimverify.studies.comparison import Comparison
    from mimverify.sweeps import Row, Sweep

__all__ = ["SCALES", "NamedStudy", "StudyFigure"]

#: From seconds over minutes to what asks for patience and memory.
SCALES = ("small", "full", "large")

Rows: TypeAlias = "Sequence[Row]"


@dataclass(frozen=True)
class StudyFigure:
    """A figure of a study.

    - `name`: unique in the study, of letters, digits and hyphens.
    - `title`, `caption`: the caption says what error bars and shaded areas are.
    - `draw`: draws on an empty figure; `size`: in inches.
    - `data`: all numbers that it draws, prediction, measurement and z among them.
    """

    name: str
    title: str
    caption: str
    draw: Callable[[Figure], None]
    data: Json
    size: tuple[float, float] = (9.0, 4.2)


@dataclass(frozen=True)
class NamedStudy:
    """A study that `mimverify study NAME` runs; a file in this package has it as `STUDY`.

    - `title`: a heading; `summary`: what is measured, what is predicted, and by what law.
    - `sweeps`: for a scale of `SCALES`; predictions are trials among the others.
    - `compare`, `figures`: of the finished trials, from nothing else: the store is enough.
    """

    name: str
    title: str
    summary: str
    sweeps: Callable[[str], list[Sweep]]
    compare: Callable[[Rows], list[Comparison]]
    figures: Callable[[Rows], list[StudyFigure]]
