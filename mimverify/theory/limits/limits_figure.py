"""The limits of a link as a picture: alignment against n/d, for the algorithm and the optimum."""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from mimverify.pages.figure_style import COLOURS, GUIDE
from mimverify.pages.figures import figure_bytes
from mimverify.support.arrays import Float64Array
from mimverify.support.errors import InputError
from mimverify.theory.limits.bayes_limits import BayesLimits

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["draw_limits", "limits_figure"]

# Distinct by their strokes as well.
_ALGORITHM, _OPTIMUM, _HARD = COLOURS[0], COLOURS[1], COLOURS[4]
_NAMES = ("best known algorithm (AMP)", "best estimator")
_POINTS = 400


def draw_limits(found: BayesLimits, file_format: str = "png", *, width: float = 8.0) -> bytes:
    """A picture as the content of a file, `width` inches wide.

    **Raises** `InputError` without matplotlib, or where nothing was computed.
    """
    if found.feature is None and not found.points:
        raise InputError("a figure of a link of several features needs a ratio")
    draw = partial(limits_figure, found, columns=3 if width > 6 else 1)
    return figure_bytes(draw, file_format, size=(width, 4.6))


def limits_figure(found: BayesLimits, figure: Figure, *, columns: int = 3) -> None:
    """Alignment against n/d, for the algorithm and the optimum, thresholds as dotted lines."""
    axes = figure.subplots()
    ratios, logarithmic = _ratios(found)
    if found.feature is None:
        _points(axes, found)
    else:
        algorithm, optimum = found.curves(ratios)
        axes.plot(ratios, algorithm, color=_ALGORITHM, lw=2, label=_NAMES[0])
        axes.plot(ratios, optimum, color=_OPTIMUM, lw=2, ls=(0, (3, 3)), label=_NAMES[1])
    low, high = float(ratios[0]), float(ratios[-1])
    for index, (start, end) in enumerate(found.hard_phase or ()):
        label = "hard: the algorithm stays below" if index == 0 else None
        axes.axvspan(max(start, low), min(end or high, high), color=_HARD, alpha=0.2, lw=0,
                     label=label)  # fmt: skip
    axes.set(
        xscale="log" if logarithmic else "linear", xlim=(low, high), ylim=(-0.03, 1.06),
        xlabel="samples for each dimension, n/d", ylabel="alignment tr q/r",
    )  # fmt: skip
    _marks(axes, found, low, high)
    noise = f", noise {found.noise:g}" if found.noise else ""
    axes.set_title(f"{found.link.name}{noise}: the limits of learning", pad=26, loc="center")
    figure.legend(loc="outside lower center", ncols=columns)


def _points(axes: Axes, found: BayesLimits) -> None:
    """What is known at the ratios asked for; lines between them would claim too much."""
    for index, (marker, colour) in enumerate((("o", _ALGORITHM), ("D", _OPTIMUM))):
        names = (("alignment", "alignment_error"), ("alignment_it", "alignment_it_error"))[index]
        known = [point for point in found.points if getattr(point, names[0]) is not None]
        axes.errorbar(
            [point.ratio for point in known],
            [getattr(point, names[0]) for point in known],
            yerr=[getattr(point, names[1]) for point in known],
            ls="none", marker=marker, ms=6 + 4 * index, mfc="none" if index else colour,
            color=colour, label=_NAMES[index],
        )  # fmt: skip


def _thresholds(found: BayesLimits) -> list[tuple[str, float]]:
    """Names and ratios; those that coincide under one name."""
    named = (
        (r"$\alpha_{IT}$", found.alpha_it), (r"$\alpha_c$", found.alpha_c),
        (r"$\alpha_{exact}$", found.alpha_it_exact), (r"$\alpha_{alg}$", found.alpha_alg),
    )  # fmt: skip
    merged: list[tuple[str, float]] = []
    for name, threshold in named:
        if not threshold.value:
            continue
        for index, (other, at) in enumerate(merged):
            if abs(at - threshold.value) <= 1e-3 * at:
                merged[index] = (f"{other}, {name}", at)
                break
        else:
            merged.append((name, threshold.value))
    return sorted(merged, key=lambda mark: mark[1])


def _ratios(found: BayesLimits) -> tuple[Float64Array, bool]:
    """Ratios of the curve `(k,)`, dense at jumps, and whether their axis is logarithmic."""
    if found.feature is None:
        at = [point.ratio for point in found.points] + [at for _, at in _thresholds(found)]
        at = [ratio for ratio in at if ratio > 0] or [1.0]
        return np.linspace(0.8 * min(at), 1.1 * max(at), _POINTS), max(at) > 20 * min(at)
    jumps = [jump.ratio for jump in (*found.jumps, *found.jumps_it)]
    marks = [at for _, at in _thresholds(found)] + jumps + [point.ratio for point in found.points]
    marks = [ratio for ratio in marks if ratio > 0]
    if not marks:
        return np.linspace(0, 5, _POINTS), False
    first, last = min(marks), max(marks)
    logarithmic = last > 12 * first
    if logarithmic:
        grid = np.geomspace(first / 2, 2 * last, _POINTS)
    else:
        grid = np.linspace(0, 1.35 * last, _POINTS)[1:]
    near = [jump * (1 + side * 1e-6) for jump in jumps for side in (-1, 1)]
    return np.unique(np.concatenate([grid, near])), logarithmic


def _marks(axes: Axes, found: BayesLimits, low: float, high: float) -> None:
    """Thresholds as dotted lines, their names above, on a second line where they would touch."""
    raised = False
    before = -math.inf
    for name, at in _thresholds(found):
        if not low <= at <= high:
            continue
        axes.axvline(at, color=GUIDE, lw=1, ls=":")
        if axes.get_xscale() == "log":
            place = (math.log(at) - math.log(low)) / (math.log(high) - math.log(low))
        else:
            place = (at - low) / (high - low)
        raised = not raised and place - before < 0.16
        before = place
        axes.annotate(name, (place, 1.0), xycoords="axes fraction", ha="center", va="bottom",
                      xytext=(0, 13 if raised else 2), textcoords="offset points",
                      fontsize="small")  # fmt: skip
