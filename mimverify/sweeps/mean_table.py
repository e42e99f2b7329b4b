"""Means over seeds, point by point: what a sweep found, in one table for people."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

from mimverify.sweeps.content_key import canonical_json
from mimverify.sweeps.row import Row
from mimverify.sweeps.sweep import Sweep

__all__ = ["MeanTable", "mean_table"]

_MOST_ROWS, _MOST_RESULTS = 60, 3


@dataclass(frozen=True)
class MeanTable:
    """Headings and cells as texts; `note` says what they are, and what was left out."""

    headings: list[str]
    rows: list[list[str]]
    note: str


def mean_table(sweep: Sweep, rows: Sequence[Row]) -> MeanTable:
    """The values of the axes that have several, and means of the first results that are numbers."""
    axes = [name for name, values in sweep.axes.items() if len(values) > 1]
    results = _numeric([row for row in rows if row.result is not None])
    shown = results[:_MOST_RESULTS]
    by_point: dict[str, list[Row]] = {}
    for row in rows:
        if row.result is not None:
            text = canonical_json({name: row.parameters[name] for name in sweep.axes})
            by_point.setdefault(text, []).append(row)
    table = []
    for point in sweep.grid():
        found = by_point.get(canonical_json(point), [])
        if found:
            means = [_mean([row.result[name] for row in found if row.result]) for name in shown]
            table.append([*(f"{point[name]}" for name in axes), str(len(found)), *means])
    notes = ["Means over runs ± their standard errors."]
    if len(table) > _MOST_ROWS:
        notes.append(f"The first {_MOST_ROWS} of {len(table)} points.")
    if len(results) > len(shown):
        notes.append(f"Further results: {', '.join(results[len(shown) :])} (--export, --json).")
    return MeanTable([*axes, "runs", *shown], table[:_MOST_ROWS], " ".join(notes))


def _numeric(rows: Sequence[Row]) -> list[str]:
    """Results that are numbers wherever they are not None, and somewhere are."""
    names: dict[str, bool] = {}
    for row in rows:
        for name, value in (row.result or {}).items():
            number = isinstance(value, int | float) and not isinstance(value, bool)
            if number or value is not None:
                names[name] = names.get(name, True) and number
    return [name for name, number in names.items() if number]


def _mean(values: Sequence[object]) -> str:
    numbers = [float(value) for value in values if isinstance(value, int | float)]
    if not numbers:
        return "none"
    if len(numbers) == 1:
        return f"{numbers[0]:.4g}"
    return f"{fmean(numbers):.3g} ± {stdev(numbers) / math.sqrt(len(numbers)):.1g}"
