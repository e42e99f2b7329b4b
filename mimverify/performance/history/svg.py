"""Small plots as inline SVG: axes, and what is drawn between them.

Colours are set by the page's style sheet, by way of classes, for light and dark.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from html import escape

__all__ = ["Plot", "Scale", "Tick", "log_ticks", "nice_ticks"]

_LEFT, _RIGHT, _TOP, _BOTTOM = 62, 34, 18, 50


@dataclass(frozen=True)
class Tick:
    """A mark on an axis; without a label only a line of the grid."""

    at: float
    label: str = ""
    second: str = ""


@dataclass(frozen=True)
class Scale:
    """Positions of values along an axis, as fractions of its length.

    **Arguments**

    - `low`, `high`: the ends.
    - `logarithmic`: whether equal ratios take equal lengths.
    """

    low: float
    high: float
    logarithmic: bool = False

    def fraction(self, value: float) -> float:
        """0 at the low end, 1 at the high one."""
        low, high = self._of(self.low), self._of(self.high)
        return (self._of(value) - low) / (high - low)

    def _of(self, value: float) -> float:
        return math.log10(value) if self.logarithmic else value


@dataclass
class Plot:
    """A plot under construction.

    **Arguments**

    - `x`, `y`: the scales.
    - `title`: for screen readers.
    - `width`, `height`: in pixels, before the page scales it.
    """

    x: Scale
    y: Scale
    title: str
    width: int = 400
    height: int = 270
    _elements: list[str] = field(default_factory=list)

    def axes(
        self, x_ticks: Iterable[Tick], y_ticks: Iterable[Tick], x_label: str, y_label: str
    ) -> None:
        """Grid, ticks and labels."""
        left, right, top, bottom = _LEFT, self.width - _RIGHT, _TOP, self.height - _BOTTOM
        for tick in x_ticks:
            x = self._x(tick.at)
            self._line(x, top, x, bottom, "grid")
            self._text(x, bottom + 14, tick.label, "tick middle")
            self._text(x, bottom + 25, tick.second, "tick faint middle")
        for tick in y_ticks:
            y = self._y(tick.at)
            self._line(left, y, right, y, "grid")
            self._text(left - 6, y + 3.5, tick.label, "tick end")
        self._elements.append(
            f'<rect class="frame" x="{left}" y="{top}" width="{right - left}" '
            f'height="{bottom - top}"/>'
        )
        self._text((left + right) / 2, bottom + 30, x_label, "label middle")
        self._text(left, top - 6, y_label, "label")

    def line(self, points: Sequence[tuple[float, float]], style: str) -> None:
        """A line through points, which lie within the frame."""
        if len(points) > 1:
            places = " ".join(f"{self._x(x):.1f},{self._y(y):.1f}" for x, y in points)
            self._elements.append(f'<polyline class="{style}" points="{places}"/>')

    def marker(self, x: float, y: float, style: str, note: str, radius: float = 3.2) -> None:
        """A point, with `note` as its tooltip."""
        self._elements.append(
            f'<circle class="{style}" cx="{self._x(x):.1f}" cy="{self._y(y):.1f}" r="{radius}">'
            f"<title>{escape(note)}</title></circle>"
        )

    def interval(self, x: float, low: float, high: float, style: str) -> None:
        """A vertical bar, clipped to the frame."""
        low, high = max(low, self.y.low), min(high, self.y.high)
        if low < high:
            self._line(self._x(x), self._y(low), self._x(x), self._y(high), style)

    def level(self, y: float, style: str) -> None:
        """A horizontal line, if it lies within the frame."""
        if self.y.low <= y <= self.y.high:
            self._line(_LEFT, self._y(y), self.width - _RIGHT, self._y(y), style)

    def flag(self, x: float, style: str, note: str) -> None:
        """A vertical line with a triangle on top, and `note` as its tooltip."""
        place = self._x(x)
        self._elements.append(
            f'<g class="{style}"><title>{escape(note)}</title>'
            f'<line x1="{place:.1f}" y1="{_TOP}" x2="{place:.1f}" y2="{self.height - _BOTTOM}"/>'
            f'<path d="M{place - 5:.1f} {_TOP - 8}h10l-5 8z"/></g>'
        )

    def guide(self, x: float, y: float, power: float, label: str) -> None:
        """The power law through a point (logarithmic scales), from there to the frame."""
        reach = math.log10(self.x.high / x)
        height = math.log10(self.y.high / y)
        length = min(reach, height / power)
        if length <= 0:
            return
        end = x * 10**length, y * 10 ** (length * power)
        self.line([(x, y), end], "guide")
        at_top = length < reach
        self._text(
            self._x(end[0]) + (0 if at_top else 3),
            self._y(end[1]) + (-5 if at_top else 3.5),
            label,
            "tick faint middle" if at_top else "tick faint",
        )

    def render(self) -> str:
        """The SVG element, to be put into a page."""
        return (
            f'<svg viewBox="0 0 {self.width} {self.height}" role="img" '
            f'aria-label="{escape(self.title, quote=True)}">' + "".join(self._elements) + "</svg>"
        )

    def _x(self, value: float) -> float:
        return _LEFT + self.x.fraction(value) * (self.width - _LEFT - _RIGHT)

    def _y(self, value: float) -> float:
        return self.height - _BOTTOM - self.y.fraction(value) * (self.height - _TOP - _BOTTOM)

    def _line(self, x1: float, y1: float, x2: float, y2: float, style: str) -> None:
        self._elements.append(
            f'<line class="{style}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'
        )

    def _text(self, x: float, y: float, text: str, style: str) -> None:
        if text:
            self._elements.append(
                f'<text class="{style}" x="{x:.1f}" y="{y:.1f}">{escape(text)}</text>'
            )


def log_ticks(scale: Scale, label: Callable[[float], str]) -> list[Tick]:
    """Decades; where they are few, 2 and 5 times a decade too."""
    low, high = scale.low * (1 - 1e-9), scale.high * (1 + 1e-9)
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for multiples in ((1,), (1, 3), (1, 2, 5), (1, 2, 3, 4, 5, 6, 8)):
        found = [m * 10.0**k for k in decades for m in multiples if low <= m * 10.0**k <= high]
        if len(found) > 2:
            break
    every = math.ceil(len(found) / 8)
    return [Tick(at, label(at) if k % every == 0 else "") for k, at in enumerate(found)]


def nice_ticks(scale: Scale, label: Callable[[float], str], most: int = 6) -> list[Tick]:
    """Round numbers at equal distances."""
    length = scale.high - scale.low
    step = 10.0 ** math.floor(math.log10(length / most))
    step *= next(m for m in (1, 2, 2.5, 5, 10) if length / (m * step) <= most)
    first, last = math.ceil(scale.low / step - 1e-9), math.floor(scale.high / step + 1e-9)
    return [Tick(k * step, label(k * step)) for k in range(first, last + 1)]
