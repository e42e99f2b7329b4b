"""Slopes on logarithmic axes: how a benchmark grows with d, with Student's interval."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from mimverify.performance.history.reading import (
    RATIO,
    Commit,
    History,
    Parameters,
    Point,
    Series,
    listed,
)

__all__ = ["LEAST_DEGREES", "LEVEL", "Curve", "Slope", "curves_of", "fit_slope", "grouped"]

#: Level of the intervals.
LEVEL = 0.95

#: Least degrees of freedom of an interval. With one, it would rest on a single residual: of any
#: width, and ± 0.00 where three points happen to lie on a line.
LEAST_DEGREES = 2


@dataclass(frozen=True)
class Slope:
    """A power law c · d^exponent, fitted by least squares to logarithms.

    **Arguments**

    - `exponent`, `margin`: the slope and half of its interval (None for fewer than four
      dimensions, which are too few for one).
    - `reference`: the d at which the prefactor is given.
    - `prefactor`, `factor`: the fit at `reference`; its interval is from `prefactor / factor`
      to `prefactor * factor`.
    - `dims`: the dimensions that were fitted.
    """

    exponent: float
    margin: float | None
    reference: int
    prefactor: float
    factor: float | None
    dims: tuple[int, ...]

    def at(self, dim: float) -> float:
        """The fitted value."""
        return float(self.prefactor * (dim / self.reference) ** self.exponent)

    def __str__(self) -> str:
        if self.margin is None:
            return f"{self.exponent:.2f} ({len(self.dims)} points)"
        small = self.margin < 0.005
        return f"{self.exponent:.2f} ± {'<0.01' if small else f'{self.margin:.2f}'}"


def fit_slope(
    dims: Sequence[int], values: Sequence[float], reference: int | None = None
) -> Slope | None:
    """Fit a power law.

    **Arguments**

    - `dims`, `values`: positive, of the same length.
    - `reference`: the d at which to give the prefactor; by default the middle one.

    Returns None for fewer than two different dimensions.
    """
    from scipy.stats import t as student

    if len(set(dims)) < 2:
        return None
    reference = middle(dims) if reference is None else reference
    x = np.log(np.asarray(dims, dtype=float) / reference)
    y = np.log(np.asarray(values, dtype=float))
    n, centre = len(x), x.mean()
    spread = float(((x - centre) ** 2).sum())
    exponent = float(((x - centre) * (y - y.mean())).sum() / spread)
    intercept = float(y.mean() - exponent * centre)
    margin = factor = None
    if n - 2 >= LEAST_DEGREES:
        residual = float(((y - intercept - exponent * x) ** 2).sum()) / (n - 2)
        quantile = float(student.ppf((1 + LEVEL) / 2, n - 2))
        margin = quantile * math.sqrt(residual / spread)
        factor = math.exp(quantile * math.sqrt(residual * (1 / n + centre**2 / spread)))
    return Slope(exponent, margin, reference, math.exp(intercept), factor, tuple(dims))


def middle(dims: Iterable[int]) -> int:
    """The dimension nearest to the geometric mean."""
    ordered = sorted(set(dims))
    centre = sum(map(math.log, ordered)) / len(ordered)
    return min(ordered, key=lambda dim: abs(math.log(dim) - centre))


@dataclass(frozen=True)
class Curve:
    """A benchmark against d, at each commit.

    **Arguments**

    - `series`: one for each d, in its order.
    - `least_dim`: smaller ones are shown, but not fitted.
    """

    series: tuple[Series, ...]
    least_dim: int = 1

    @property
    def benchmark(self) -> str:
        """Its name in asv."""
        return self.series[0].benchmark

    @property
    def unit(self) -> str:
        """Its unit in asv."""
        return self.series[0].unit

    @property
    def parameters(self) -> Parameters:
        """Those but for d."""
        return self.series[0].others

    @property
    def place(self) -> tuple[str, str]:
        """Machine and environment."""
        return self.series[0].machine, self.series[0].environment

    @property
    def label(self) -> str:
        """Its parameters, in one line."""
        return listed(self.parameters) or self.benchmark.rpartition(".")[2]

    @property
    def commits(self) -> tuple[Commit, ...]:
        """Oldest first."""
        return tuple(point.commit for point in self.series[0].points)

    @cached_property
    def reference(self) -> int:
        """The d at which prefactors are given, the same for all commits."""
        dims = [one.dim for one in self.series if one.dim and one.dim >= self.least_dim]
        return middle(dims or [one.dim or 1 for one in self.series])

    @cached_property
    def latest(self) -> int | None:
        """Index of the last commit with values for two dimensions or more."""
        full = [k for k in range(len(self.commits)) if len(self.at(k)) > 1]
        return full[-1] if full else None

    def at(self, index: int) -> list[tuple[int, Point]]:
        """Dimensions and points that have a positive value at a commit."""
        found = ((one.dim, one.points[index]) for one in self.series)
        return [(dim, point) for dim, point in found if dim and point.value and point.value > 0]

    @cached_property
    def slopes(self) -> tuple[Slope | None, ...]:
        """The fit at each commit; None where it has fewer than two dimensions."""
        return tuple(self._slope(index) for index in range(len(self.commits)))

    def _slope(self, index: int) -> Slope | None:
        found = [(d, p.value) for d, p in self.at(index) if d >= self.least_dim]
        values = [value for _, value in found if value is not None]
        return fit_slope([dim for dim, _ in found], values, self.reference)


def curves_of(history: History, least_dim: int = 1) -> tuple[Curve, ...]:
    """All benchmarks against d that have a value for two dimensions at some commit.

    Ratios are left out: they do not grow, and are shown over the commits too.

    **Arguments**

    - `history`: what asv measured.
    - `least_dim`: the smallest d to fit.
    """
    return grouped((one for one in history.series if one.unit != RATIO), least_dim)


def grouped(series: Iterable[Series], least_dim: int = 1) -> tuple[Curve, ...]:
    """Series that differ in d alone, as curves with two dimensions at some commit at least."""
    families: dict[tuple[str, Parameters, str, str], list[Series]] = {}
    for one in series:
        if one.dim is not None:
            key = (one.benchmark, one.others, one.machine, one.environment)
            families.setdefault(key, []).append(one)
    curves = (
        Curve(tuple(sorted(family, key=lambda one: one.dim or 0)), least_dim)
        for family in families.values()
    )
    return tuple(curve for curve in curves if curve.latest is not None)
