"""Formatting of numbers with their units."""

from __future__ import annotations

import math

__all__ = ["named", "scale_of", "shown"]

_SCALES = {
    "seconds": ((1e-9, "ns"), (1e-6, "µs"), (1e-3, "ms"), (1.0, "s")),
    "bytes": ((1.0, "B"), (1e3, "kB"), (1e6, "MB"), (1e9, "GB"), (1e12, "TB")),
}


def shown(value: float | None, unit: str, digits: int = 3) -> str:
    """A value in a unit of asv's: 0.0123 seconds as '12.3 ms'; '–' for none.

    Units other than seconds and bytes belong into headings (`named`): asv allows phrases.
    """
    if value is None:
        return "–"
    factor, name = scale_of(value, unit)
    number = f"{value / factor:.{digits}g}"
    if "e" in number and 1 <= abs(value / factor) < 1e6:  # 1.23e+04; small ones keep theirs
        number = f"{value / factor:.0f}"
    return f"{number} {name}".rstrip()


def named(unit: str) -> str:
    """What is measured in a unit of asv's, for headings; nothing for its default unit."""
    return {"seconds": "time", "bytes": "memory", "unit": ""}.get(unit, unit)


def scale_of(value: float, unit: str) -> tuple[float, str]:
    """Factor and name of the unit that suits a value."""
    if unit not in _SCALES:
        return 1.0, ""
    size = abs(value) * (1 + 1e-9)
    fitting = [scale for scale in _SCALES[unit] if scale[0] <= size and math.isfinite(size)]
    return fitting[-1] if fitting else _SCALES[unit][0 if size else -1]
