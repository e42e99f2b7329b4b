"""A run of stage 1 as a picture: alignment and span recovery by step, predicted and measured."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from mimverify.pages.figure_style import COLOURS, GUIDE, INK
from mimverify.pages.figures import Draw
from mimverify.support.arrays import Float64Array
from mimverify.support.errors import InputError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["ByStep", "ErrorBars", "trajectory_figure", "trajectory_size"]

_APART = 0.05  # of the axis: names of baselines that are nearer would touch
_PREDICTED, _MEASURED = COLOURS[0], COLOURS[1]


@dataclass(frozen=True)
class ByStep:
    """A number at the steps t = 0 … T.

    **Arguments**

    - `name`: of the number, for the axis.
    - `predicted`: the mean (of the span: median) and the ends of the central 95 % of runs,
      `(T + 1,)` each, NaN where nothing is predicted; None: no prediction.
    - `measured`: of one run, as far as it came, `(≤ T + 1,)`; None: nothing was measured.
    """

    name: str
    predicted: tuple[Float64Array, Float64Array, Float64Array] | None = None
    measured: Sequence[float] | None = None


@dataclass(frozen=True)
class ErrorBars:
    """The test error after stage 2.

    **Arguments**

    - `predicted`: median and the ends of the central 95 % of runs; None: no prediction.
    - `measured`: of one run; None: nothing was measured.
    - `baselines`: other predictors' errors in the same run, by name.
    """

    predicted: tuple[float, float, float] | None = None
    measured: float | None = None
    baselines: Mapping[str, float] | None = None


def trajectory_size(error: ErrorBars | None) -> tuple[float, float]:
    """Width and height in inches of the figure."""
    return (10.5, 4.2) if error is not None else (8.4, 4.2)


def trajectory_figure(
    title: str, numbers: Sequence[ByStep], error: ErrorBars | None = None
) -> Draw:
    """Draws each number on axes of its own, and the test error beside them.

    **Raises** `InputError` where there is nothing to draw.
    """
    if not any(one.predicted is not None or one.measured for one in numbers):
        raise InputError("neither a prediction nor a step was made: there is nothing to draw")
    return partial(_draw, title, numbers, error)


def _draw(title: str, numbers: Sequence[ByStep], error: ErrorBars | None, figure: Figure) -> None:
    ratios = [2.2] * len(numbers) + ([1.0] if error is not None else [])
    (row,) = figure.subplots(1, len(ratios), squeeze=False, width_ratios=ratios)
    for axes, one in zip(row, numbers, strict=False):
        _by_step(axes, one)
    if error is not None:
        _error(row[-1], error)
    figure.suptitle(title, fontsize="medium")
    handles = {
        label: handle
        for axes in row
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)
    }
    figure.legend(
        list(handles.values()), list(handles), loc="outside lower center", ncols=len(handles)
    )


def _by_step(axes: Axes, one: ByStep) -> None:
    from matplotlib.ticker import MaxNLocator

    last = 0
    if one.predicted is not None:
        middle, low, high = one.predicted
        steps = np.arange(len(middle))
        last = len(middle) - 1
        axes.fill_between(
            steps, low, high, color=_PREDICTED, alpha=0.2, lw=0, label="predicted: 95 % of runs"
        )
        label = "predicted mean (span: median)"
        axes.plot(steps, middle, color=_PREDICTED, marker="", label=label)
    if one.measured:
        steps = np.arange(len(one.measured))
        last = max(last, len(steps) - 1)
        axes.plot(
            steps, one.measured, color=_MEASURED, marker="o", ls="none", label="measured: one run"
        )
    axes.set(xlabel="step t", ylabel=one.name, ylim=(-0.03, 1.05), xlim=(-0.3, last + 0.3))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))


def _error(axes: Axes, error: ErrorBars) -> None:
    """The test error: one place on the horizontal axis, which has no meaning."""
    values = [1.0]
    if error.predicted is not None:
        middle, low, high = error.predicted
        values.append(high)
        axes.errorbar([0], [middle], yerr=[[middle - low], [high - middle]], color=_PREDICTED,
                      marker="_", ms=14, capsize=7, ls="none")  # fmt: skip
    if error.measured is not None:
        values.append(error.measured)
        axes.plot([0.25], [error.measured], marker="o", color=_MEASURED, ls="none")
    baselines = sorted((value, name) for name, value in (error.baselines or {}).items())
    baselines = [(value, name) for value, name in baselines if math.isfinite(value)]
    values += [value for value, _ in baselines]
    before = -math.inf
    names = ""
    for value, name in baselines:
        axes.axhline(value, color=GUIDE, lw=1, ls=":")
        near = value - before < _APART * max(values)
        names = f"{names}\n{name}" if near else name  # above the names that it would touch
        axes.annotate(
            f"{name}" + "\n" * (names.count("\n")),
            (1.0, before if near else value),
            xycoords=("axes fraction", "data"), ha="right", va="bottom", fontsize="x-small",
            color=INK,
        )  # fmt: skip
        before = before if near else value
    axes.set(ylabel="test error after stage 2", xlim=(-1, 1), xticks=[],
             ylim=(0, 1.12 * max(values)))  # fmt: skip
