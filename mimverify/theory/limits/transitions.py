"""Thresholds and jumps of the algorithm and of the global optimum, from the learning curve.

The algorithm climbs from q = 0 to the first q with 𝒜(q) ≥ α, so that it jumps at every record
local maximum of 𝒜. The optimum maximises α I − C, so that it follows the lower convex hull of the
curve (I, C), and jumps along the hull's chords (Maxwell's construction). Source: theory.md §9.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from mimverify.support.arrays import Float64Array
from mimverify.theory.limits.learning_curve import FARTHEST, LearningCurve, overlap_of

#: A local maximum that is lower than this above the minimum behind it is rounding.
_SHALLOW = 1e-7
#: In q; smaller ones are not told from the interpolation's ripples.
_SMALLEST_JUMP = 1e-3
_FAR_POINTS = 400
#: Between 0 and this L differences of free entropies are rounding.
_SMALL = 1e-3


@dataclass(frozen=True)
class Jump:
    """At the sample ratio `ratio`, the overlap q rises from `low` to `high` at once."""

    ratio: float
    low: float
    high: float


@dataclass(frozen=True)
class Transitions:
    """What the learning curve says at every sample ratio.

    - `alpha_it`: where the optimum leaves q = 0; None if no ratio is large enough.
    - `alpha_it_exact`: from where on z is determined exactly; None if never.
    - `alpha_alg`: from where on the algorithm determines z exactly; None if never.
    - `jumps`, `jumps_it`: of the algorithm and of the optimum, by increasing ratio.
    - `hard`: intervals of ratios in which the algorithm stays below the optimum; the last may end
      at infinity.
    """

    curve: LearningCurve
    grid: Float64Array
    alpha_it: float | None
    alpha_it_exact: float | None
    alpha_alg: float | None
    jumps: tuple[Jump, ...]
    jumps_it: tuple[Jump, ...]
    hard: tuple[tuple[float, float], ...]

    def algorithm(self, ratio: float) -> float:
        """q that the algorithm reaches from q = 0."""
        return _reached(self.curve, self.grid, ratio, 0)

    def optimum(self, ratio: float) -> float:
        """q of the global optimum."""
        return _best(self.curve, self.grid, ratio)


def transitions(curve: LearningCurve, points: int) -> Transitions:
    """All thresholds and jumps, from a grid of so many points that is then refined."""
    near = curve.end * np.linspace(0, 1, points) ** 2
    grid = np.concatenate([near, np.linspace(curve.end, FARTHEST, _FAR_POINTS)[1:]])
    exact = 1 / curve.certain if curve.certain > 0 else None
    jumps = _climb(curve, grid)
    alpha_it, jumps_it = _hull(curve, grid)
    reaches_one = exact is not None and bool(np.isfinite(curve.ratio(grid[:1]))[0])
    ratios = curve.ratio(grid)
    highest = [*ratios[np.isfinite(ratios)], *(jump.ratio for jump in jumps)]
    found = Transitions(
        curve, grid, alpha_it, exact, float(max(*highest, exact or 0.0)) if reaches_one else None,
        jumps, jumps_it, (),
    )  # fmt: skip
    return replace(found, hard=_hard(found))


def _climb(curve: LearningCurve, grid: Float64Array) -> tuple[Jump, ...]:
    """The algorithm's jumps: record local maxima of 𝒜, and where it lands behind each."""
    ratios = curve.ratio(grid)
    found: list[Jump] = []
    start = 0
    while start < len(grid) - 1:
        # Up to the first fall that is more than rounding, the highest point is a record.
        record = np.maximum.accumulate(ratios[start:])
        fallen = np.flatnonzero(ratios[start:] < record * (1 - _SHALLOW))
        if not len(fallen) or not math.isfinite(record[fallen[0]]):
            break
        top = start + int(np.argmax(ratios[start : start + fallen[0]]))
        L, ratio = _refined_top(curve, grid, top)
        if found and ratio <= found[-1].ratio:
            break
        behind = np.flatnonzero(ratios[top + 1 :] > ratio)
        low = float(overlap_of(np.array(L)))
        if not len(behind):
            # Only a limit at q = 1 could be higher.
            ends_in_one = curve.certain > 0
            found.append(Jump(ratio, low, 1.0 if ends_in_one else low))
            break
        landing = top + 1 + int(behind[0])
        high = _reached(curve, grid, ratio, max(landing - 1, top + 1))
        if high - low > _SMALLEST_JUMP:
            found.append(Jump(ratio, low, high))
        start = landing
    return tuple(found)


def _refined_top(curve: LearningCurve, grid: Float64Array, top: int) -> tuple[float, float]:
    """L and 𝒜 of the local maximum at a point of the grid."""
    from scipy.optimize import minimize_scalar

    if top == 0:
        return 0.0, float(curve.ratio(grid[:1])[0])
    bounds = (grid[top - 1], grid[min(top + 1, len(grid) - 1)])
    best = minimize_scalar(
        lambda L: -float(curve.ratio(np.array(L))),
        bounds=bounds,
        method="bounded",
        options={"xatol": 1e-10},
    )
    return float(best.x), -float(best.fun)


def _reached(curve: LearningCurve, grid: Float64Array, ratio: float, start: int) -> float:
    """q of the first L from a point of the grid on with 𝒜 ≥ the ratio; 1 if there is none."""
    from scipy.optimize import brentq

    ratios = curve.ratio(grid[start:])
    above = np.flatnonzero(ratios >= ratio)
    if not len(above):
        return 1.0
    first = start + int(above[0])
    if above[0] == 0:
        return float(overlap_of(grid[first]))
    L = brentq(
        lambda L: float(curve.ratio(np.array(L))) - ratio, grid[first - 1], grid[first], xtol=1e-13
    )
    return float(overlap_of(np.array(L)))


def _best(curve: LearningCurve, grid: Float64Array, ratio: float) -> float:
    """q that maximises the free entropy."""
    from scipy.optimize import brentq

    if curve.certain * ratio > 1:
        return 1.0
    grid = _distinct(grid)
    entropy = ratio * curve.information(grid) - curve.cost(grid)
    top = int(np.argmax(entropy))
    low, high = max(grid[max(top - 1, 0)], 1e-9), grid[min(top + 1, len(grid) - 1)]

    def slope(L: float) -> float:
        return ratio * float(curve.explained(np.array(L))) - float(overlap_of(np.array(L)))

    if slope(low) > 0 > slope(high):
        return float(overlap_of(np.array(brentq(slope, low, high, xtol=1e-13))))
    return float(overlap_of(grid[top]))


def _distinct(grid: Float64Array) -> Float64Array:
    """The points of the grid of which free entropies can be told apart."""
    return np.asarray(grid[(grid == 0) | (grid > _SMALL)])


def _hull(curve: LearningCurve, grid: Float64Array) -> tuple[float | None, tuple[Jump, ...]]:
    """The ratio at which the optimum leaves 0, and its jumps."""
    grid = _distinct(grid)
    x, y = curve.information(grid), curve.cost(grid)
    kept: list[int] = []
    for i in range(len(grid)):
        while len(kept) > 1 and (y[kept[-1]] - y[kept[-2]]) * (x[i] - x[kept[-1]]) >= (
            y[i] - y[kept[-1]]
        ) * (x[kept[-1]] - x[kept[-2]]):
            kept.pop()
        kept.append(i)
    limit = 1 / curve.certain if curve.certain > 0 else math.inf
    found: list[Jump] = []
    leaves: float | None = None
    for before, after in pairwise(kept):
        ratio = (y[after] - y[before]) / (x[after] - x[before])
        if ratio >= limit:
            break
        if leaves is None:
            leaves = _lowest(curve, grid, after) if before == 0 else float(ratio)
        if (
            after > before + 2
            and overlap_of(grid[after]) - overlap_of(grid[before]) > _SMALLEST_JUMP
        ):
            low, high = (float(overlap_of(grid[i])) for i in (before, after))
            found.append(Jump(float(ratio), low, high))
    else:
        before = len(grid) - 1
    if math.isfinite(limit) and overlap_of(grid[before]) < 1 - 1e-3:
        found.append(Jump(limit, float(overlap_of(grid[before])), 1.0))
    if leaves is None and math.isfinite(limit):
        leaves = limit
    return leaves, tuple(found)


def _lowest(curve: LearningCurve, grid: Float64Array, near: int) -> float:
    """min C/I near a point of the grid, or its limit at 0, α_c, where that is lower."""
    from scipy.optimize import minimize_scalar

    def quotient(L: float) -> float:
        return float(curve.cost(np.array(L)) / curve.information(np.array(L)))

    if near <= 1:
        return float(curve.ratio(grid[:1])[0])
    best = minimize_scalar(
        quotient, bounds=(grid[near - 1], grid[min(near + 1, len(grid) - 1)]), method="bounded",
        options={"xatol": 1e-9},
    )  # fmt: skip
    return min(float(best.fun), float(curve.ratio(grid[:1])[0]))


def _hard(found: Transitions) -> tuple[tuple[float, float], ...]:
    """Maximal intervals between thresholds in whose middle the algorithm is below the optimum."""
    marks = {jump.ratio for jump in (*found.jumps, *found.jumps_it)}
    marks |= {a for a in (found.alpha_it, found.alpha_it_exact, found.alpha_alg) if a}
    ordered = sorted(mark for mark in marks if mark > 0)
    intervals: list[tuple[float, float]] = []
    for low, high in zip([0.0, *ordered], [*ordered, math.inf], strict=True):
        if high - low < 1e-6 * high and math.isfinite(high):
            continue
        middle = (low + high) / 2 if math.isfinite(high) else 2 * low + 1
        if found.optimum(middle) - found.algorithm(middle) > 1e-4:
            if intervals and intervals[-1][1] >= low * (1 - 1e-6):
                intervals[-1] = (intervals[-1][0], high)
            else:
                intervals.append((low, high))
    return tuple(intervals)
