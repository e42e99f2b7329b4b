"""The scaling law as a picture: n_half against d on logarithmic axes, and its exponents."""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING

from mimverify.pages.figure_style import COLOURS, GUIDE, MARKERS
from mimverify.pages.figures import figure_bytes
from mimverify.scaling.scaling_law import ScalingLaw, ScalingPoint
from mimverify.support.errors import InputError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["SIZE", "draw_scaling", "scaling_figure"]

SIZE = (11.0, 5.2)  # inches


def draw_scaling(law: ScalingLaw, file_format: str = "png") -> bytes:
    """A picture of the law, as the content of a file.

    **Raises** `InputError` without matplotlib, or where nothing was measured.
    """
    return figure_bytes(partial(scaling_figure, law), file_format, size=SIZE)


def scaling_figure(law: ScalingLaw, figure: Figure) -> None:
    """n_half with its 95 % intervals, D1's curves and guides, and the local exponents beside.

    **Raises** `InputError` where nothing was measured.
    """
    if not any(point.measured for point in law.points):
        raise InputError("nothing was measured: there is nothing to draw")
    sizes, slopes = figure.subplots(1, 2, width_ratios=(3, 2))
    for index, steps in enumerate(sorted({point.steps for point in law.points})):
        style = COLOURS[index % len(COLOURS)], MARKERS[index % len(MARKERS)]
        points = [point for point in law.points if point.steps == steps]
        _sizes(sizes, points, steps, style)
        _slopes(slopes, law, steps, style, index)
    sizes.set(
        xscale="log", yscale="log", xlabel="input dimension d",
        ylabel="samples n for alignment 1/2",
        title=f"{law.link}, {law.loss}: samples that T steps need",
    )  # fmt: skip
    sizes.plot([], [], color=GUIDE, lw=1, label="D1")
    sizes.plot([], [], color=GUIDE, lw=1, ls=":", label=r"guide $d^{1+1/T}$")
    sizes.legend()
    slopes.set(
        xscale="log", xlim=sizes.get_xlim(), xlabel="input dimension d (geometric middle)",
        ylabel="local exponent of n in d", title="Local exponents, 95 % intervals",
    )  # fmt: skip


def _sizes(axes: Axes, points: list[ScalingPoint], steps: int, style: tuple[str, str]) -> None:
    colour, marker = style
    found = [(point.dim, point.measured) for point in points if point.measured is not None]
    if not found:
        return
    dims = [dim for dim, _ in found]
    values = [half.samples for _, half in found]
    reach = [half.interval() for _, half in found]
    below = [value - low for value, (low, _) in zip(values, reach, strict=True)]
    above = [high - value for value, (_, high) in zip(values, reach, strict=True)]
    axes.errorbar(
        dims,
        values,
        yerr=[below, above],
        ls="none",
        label=f"T = {steps}",
        color=colour,
        marker=marker,
    )
    theory = [(point.dim, point.predicted) for point in points if point.predicted is not None]
    if theory:
        xs, ys = zip(*theory, strict=True)
        axes.plot(xs, ys, color=colour, lw=1)
    # A guide of the limiting slope through the last point: where they separate, d is small.
    slope = 1 + 1 / steps
    ends = [min(point.dim for point in points), max(point.dim for point in points)]
    guide = [values[-1] * (end / dims[-1]) ** slope for end in ends]
    axes.plot(ends, guide, color=colour, lw=1, ls=":")


def _slopes(axes: Axes, law: ScalingLaw, steps: int, style: tuple[str, str], index: int) -> None:
    exponents = [exponent for exponent in law.exponents if exponent.steps == steps]
    if not exponents:
        return
    colour, marker = style
    # Different T side by side rather than on top of one another.
    xs = [math.sqrt(e.dims[0] * e.dims[1]) * 1.06**index for e in exponents]
    values = [e.measured for e in exponents]
    errors = [[e.measured - e.low for e in exponents], [e.high - e.measured for e in exponents]]
    axes.errorbar(xs, values, yerr=errors, ls="none", color=colour, marker=marker)
    theory = [(x, e.predicted) for x, e in zip(xs, exponents, strict=True) if e.predicted]
    if theory:
        axes.plot(*zip(*theory, strict=True), color=colour, lw=1)
    axes.axhline(exponents[0].limit, color=colour, lw=1, ls=":")
