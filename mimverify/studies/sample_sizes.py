"""How many samples: n_half(d, T), the n at which T steps align by one half, as d grows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
from scipy.stats import t as student

from mimverify.studies.comparison import Comparison, of_runs
from mimverify.studies.named_study import NamedStudy, StudyFigure
from mimverify.studies.trial_rows import grouped, result_of, select, stacked
from mimverify.support.errors import InputError
from mimverify.support.strict_json import Json
from mimverify.sweeps import Row, Search, Sweep

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from mimverify.support.arrays import Float64Array

__all__ = ["STUDY"]

_PROBLEM = {"link": "cos2z", "loss": "huber"}
# Where to look first: n/d^(1 + 1/T). The bracket is a factor of two to either side, less where the
# upper end would ask for much memory; what is found does not depend on it.
_FIRST = {1: 1.6, 2: 2.2, 3: 2.5, 4: 2.6}
_TOLERANCE = 0.15
# Sizes this near to the crossing, in log n, take part in the parabola through it, and so many at
# least, where there are.
_NEAR, _FEWEST = 0.4, 3
# Newton's iterations for its root, from a guess that is off by a few per cent.
_NEWTON = 5
# Below this d a run scatters more, and several pairs of neurons for a direction are cheap.
_SMALL_DIM, _REPEATS = 300, 4
_LARGE_DIM = 50_000

_DIMS: dict[str, dict[int, tuple[int, ...]]] = {
    "small": {t: (32, 100, 320) for t in _FIRST},
    "full": {
        1: (64, 200, 640, 2000),
        2: (64, 200, 640, 2000, 6400),
        3: (64, 200, 640, 2000, 6400, 20_000),
        4: (64, 200, 640, 2000, 6400, 20_000),
    },
    "large": {
        1: (100, 1000, 4000),
        2: (100, 1000, 10_000, 60_000),
        3: (100, 1000, 10_000, 100_000),
        4: (100, 1000, 10_000, 100_000, 1_000_000),
    },
}
_RUNS = {"small": (6, 6), "full": (32, 10), "large": (32, 8)}  # below _SMALL_DIM, and above


def _sweeps(scale: str) -> list[Sweep]:
    sweeps = []
    for steps, dims in _DIMS[scale].items():
        for dim in dims:
            guess = _FIRST[steps] * dim ** (1 + 1 / steps)
            reach = 2 if dim < _LARGE_DIM else 1.3
            at = {**_PROBLEM, "dim": dim, "steps": steps}
            at["repeats"] = _REPEATS if dim < _SMALL_DIM else 1
            name = f"T = {steps}, d = {dim}"
            sweeps += [
                Sweep(
                    name,
                    kind="balanced-run",
                    fixed=at,
                    seeds=_RUNS[scale][dim >= _SMALL_DIM],
                    search=Search(
                        "samples", result="log_odds", level=0.0, low=round(guess / reach),
                        high=round(guess * reach), tolerance=_TOLERANCE, integer=True,
                    ),
                ),
                Sweep(f"{name}, predicted", kind="predicted-half", fixed=at),
            ]  # fmt: skip
    return sweeps


@dataclass(frozen=True)
class _Half:
    """log n_half of each seed at one (d, T), and its prediction."""

    steps: int
    dim: int
    crossings: Float64Array
    predicted: float
    error: float
    limit: float

    @property
    def mean(self) -> float:
        return float(self.crossings.mean())

    @property
    def standard_error(self) -> float:
        return float(self.crossings.std(ddof=1) / math.sqrt(len(self.crossings)))


def _halves(rows: Sequence[Row]) -> list[_Half]:
    found = []
    for runs in grouped(select(rows, "balanced-run"), "steps", "dim"):
        steps, dim = (runs[0].parameters[name] for name in ("steps", "dim"))
        predicted = result_of(rows, "predicted-half", steps=steps, dim=dim)
        found.append(
            _Half(
                steps,
                dim,
                _crossings(runs),
                predicted["log_samples"],
                predicted["error"],
                predicted["limit"],
            )
        )
    return found


def _crossings(runs: Sequence[Row]) -> Float64Array:
    """log n at which the log-odds vanish, with the scatter that each seed gives it.

    A parabola through the means at the sizes near to the crossing: over so many a straight line
    would put it per mille too high. The parabola's value at its root is linear in the means; what
    a seed has beyond the means moves the root by that much over the slope.
    """
    sizes = grouped(runs, "samples")
    x = np.array([math.log(group[0].parameters["samples"]) for group in sizes])
    y = np.array([stacked(group, "log_odds") for group in sizes])
    order = np.argsort(x)
    x, y = x[order], y[order]
    means = y.mean(axis=1)
    rises = np.flatnonzero((means[:-1] < 0) & (means[1:] >= 0))
    if len(rises) == 0:
        raise InputError(
            f"T = {runs[0].parameters['steps']}, d = {runs[0].parameters['dim']}: no change of "
            "sign in the range that was searched: run the study to its end"
        )
    k = rises[0]
    middle = x[k] - means[k] * (x[k + 1] - x[k]) / (means[k + 1] - means[k])
    distance = np.abs(x - middle)
    near = distance <= max(_NEAR, *np.sort(distance)[:_FEWEST])
    degree = min(2, int(near.sum()) - 1)
    powers = np.arange(degree + 1)
    V = (x[near, None] - middle) ** powers
    solve = np.linalg.pinv(V)  # means to coefficients
    coefficients = solve @ means[near]
    root = 0.0
    for _ in range(_NEWTON):
        value = float(root**powers @ coefficients)
        slope = float((powers[1:] * root ** (powers[1:] - 1)) @ coefficients[1:])
        root -= value / slope
    at_root = root**powers @ solve
    return np.asarray(middle + root - at_root @ (y[near] - means[near, None]) / slope)


def _compare(rows: Sequence[Row]) -> list[Comparison]:
    halves = _halves(rows)
    found = [
        of_runs(
            {"T1": half.steps, "d": half.dim},
            "n_half",
            half.crossings,
            prediction=half.predicted,
            prediction_error=half.error,
            scale="log",
        )
        for half in halves
    ]
    return found + [slope.comparison for slope in _slopes(halves)]


@dataclass(frozen=True)
class _Slope:
    """The exponent of n_half in d between the ends of what was measured at one T, or between two
    neighbours."""

    low: _Half
    high: _Half

    @property
    def comparison(self) -> Comparison:
        low, high = self.low, self.high
        span = math.log(high.dim / low.dim)
        return Comparison(
            {"T1": low.steps, "d": [low.dim, high.dim]},
            "exponent of n_half in d",
            prediction=(high.predicted - low.predicted) / span,
            prediction_error=math.hypot(low.error, high.error) / span,
            measurement=(high.mean - low.mean) / span,
            standard_error=math.hypot(low.standard_error, high.standard_error) / span,
            runs=min(len(low.crossings), len(high.crossings)),
        )

    def to_json(self) -> Json:
        found = self.comparison
        reach = float(student.ppf(0.975, found.runs - 1)) * found.standard_error
        return {
            **found.to_json(),
            "low": found.measurement - reach,
            "high": found.measurement + reach,
            "limit": 1 + 1 / self.low.steps,
        }


def _by_steps(halves: Sequence[_Half]) -> dict[int, list[_Half]]:
    groups: dict[int, list[_Half]] = {}
    for half in halves:
        groups.setdefault(half.steps, []).append(half)
    return groups


def _slopes(halves: Sequence[_Half]) -> list[_Slope]:
    return [_Slope(some[0], some[-1]) for some in _by_steps(halves).values() if len(some) > 1]


# -- the figure --------------------------------------------------------------------------------


def _figures(rows: Sequence[Row]) -> list[StudyFigure]:
    halves = _halves(rows)
    points = []
    for half in halves:
        found = of_runs(
            {"T1": half.steps, "d": half.dim},
            "n_half",
            half.crossings,
            prediction=half.predicted,
            prediction_error=half.error,
            scale="log",
        )
        reach = float(student.ppf(0.975, found.runs - 1)) * found.standard_error
        points.append(
            {
                **found.to_json(),
                "n_half": math.exp(half.mean),
                "n_half_low": math.exp(half.mean - reach),
                "n_half_high": math.exp(half.mean + reach),
                "n_half_predicted": math.exp(half.predicted),
                "n_half_D1": half.limit,
            }
        )
    local = [
        _Slope(low, high).to_json()
        for some in _by_steps(halves).values()
        for low, high in pairwise(some)
    ]
    data = {
        "problem": dict(_PROBLEM),
        "points": points,
        "exponents": [slope.to_json() for slope in _slopes(halves)],
        "local_exponents": local,
    }

    def draw(figure: Figure) -> None:
        sizes, slopes = figure.subplots(1, 2, width_ratios=(3, 2))
        _draw_sizes(sizes, points)
        _draw_slopes(slopes, local, sizes.get_xlim())
        _dimensions(slopes, points)

    return [
        StudyFigure(
            "sample-sizes",
            "Samples for an alignment of one half, against the dimension",
            f"{_PROBLEM['link']} under {_PROBLEM['loss']}. Left: points, the n at which the mean "
            "log-odds of the alignment vanish after T1 steps, by bisection; bars, which are mostly "
            "smaller than the points: 95 % intervals (Student). Lines: predicted; dotted: guides "
            "of slope 1 + 1/T1 through the last point (D3). Right: exponents between neighbouring "
            "d, with 95 % intervals, predicted ones as lines, dotted their limits 1 + 1/T1. Only a "
            "T1 that grows with d reaches n ∝ d.",
            draw,
            data,
            (10.5, 4.8),
        )
    ]


_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7")
_MARKERS = ("o", "s", "^", "D")


def _draw_sizes(axes: Axes, points: list[Json]) -> None:
    for index, steps in enumerate(sorted({point["at"]["T1"] for point in points})):
        some = [point for point in points if point["at"]["T1"] == steps]
        colour = _COLOURS[index % len(_COLOURS)]
        d = np.array([point["at"]["d"] for point in some], dtype=float)
        n, low, high = (
            np.array([point[name] for point in some])
            for name in ("n_half", "n_half_low", "n_half_high")
        )
        axes.plot(d, [point["n_half_predicted"] for point in some], "-", color=colour, lw=1.2)
        axes.plot(d, n[-1] * (d / d[-1]) ** (1 + 1 / steps), ":", color=colour, lw=1)
        axes.errorbar(
            d, n, yerr=[n - low, high - n], fmt=_MARKERS[index % len(_MARKERS)], color=colour,
            label=f"T1 = {steps}",
        )  # fmt: skip
    axes.plot([], [], "-", color="#7b8187", label="predicted")
    axes.plot([], [], ":", color="#7b8187", label="slope 1 + 1/T1")
    axes.set(
        xscale="log", yscale="log", xlabel="dimension d", ylabel="samples n for alignment ½",
        title="n_half",
    )  # fmt: skip
    _dimensions(axes, points)
    axes.legend()


def _dimensions(axes: Axes, points: list[Json]) -> None:
    """Ticks at the dimensions themselves."""
    dims = sorted({point["at"]["d"] for point in points})
    axes.set_xticks(dims, [f"{dim:,}" for dim in dims])
    axes.minorticks_off()


def _draw_slopes(axes: Axes, local: list[Json], limits: tuple[float, float]) -> None:
    for index, steps in enumerate(sorted({slope["at"]["T1"] for slope in local})):
        some = [slope for slope in local if slope["at"]["T1"] == steps]
        colour = _COLOURS[index % len(_COLOURS)]
        # Side by side rather than on top of one another.
        x = np.array([math.sqrt(math.prod(slope["at"]["d"])) * 1.06**index for slope in some])
        y, low, high = (
            np.array([slope[name] for slope in some]) for name in ("measurement", "low", "high")
        )
        axes.axhline(1 + 1 / steps, color=colour, ls=":", lw=1)
        axes.plot(x, [slope["prediction"] for slope in some], "-", color=colour, lw=1.2)
        axes.errorbar(
            x, y, yerr=[y - low, high - y], fmt=_MARKERS[index % len(_MARKERS)], color=colour
        )
    axes.set(
        xscale="log", xlim=limits, ylim=(1.0, 2.2), xlabel="dimension d (geometric middle)",
        ylabel="local exponent of n in d", title="Exponents",
    )  # fmt: skip


STUDY = NamedStudy(
    name="sample-sizes",
    title="How many samples",
    summary=(
        "n_half(d, T1) is the number of samples with which T1 steps reach an alignment of "
        "one half. Theory says n ∝ d^(1 + 1/T1) (D3): a fixed number of steps never suffices for "
        "n ∝ d. Designs are drawn lazily and never stored, and starts are balanced: single runs "
        "scatter little. n is found by bisection, and compared with the n at which the predicted "
        "mean log-odds, finite-size terms included, vanish."
    ),
    sweeps=_sweeps,
    compare=_compare,
    figures=_figures,
)
