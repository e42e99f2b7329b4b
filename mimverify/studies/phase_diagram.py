"""Phase diagrams: the alignment over sample ratio and steps, and over ratio and dimension."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import expit, logit

from mimverify.pages.figure_style import INK
from mimverify.studies.comparison import Comparison, of_runs
from mimverify.studies.named_study import NamedStudy, StudyFigure
from mimverify.studies.trial_rows import grouped, result_of, select, stacked
from mimverify.support.strict_json import Json
from mimverify.sweeps import Row, Sweep

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.collections import QuadMesh
    from matplotlib.figure import Figure

__all__ = ["STUDY"]

_PROBLEM = {"link": "cos2z", "loss": "huber"}
_NEURONS = 32
# Not quite the white of paper, which a dark page turns over.
_HALO = "#fefefe"
# Of the contours, with their strokes.
_STROKES = {0.1: ":", 0.5: "-", 0.9: "--"}
# Larger matrices of inputs are drawn as far as they are queried, to the same law.
_STORED = 1 << 22


@dataclass(frozen=True)
class _Scale:
    """`steps` at `dim`, and `dims` at `at_steps`, over `ratios`."""

    ratios: tuple[float, ...]
    dim: int
    steps: int
    dims: tuple[int, ...]
    at_steps: int
    runs: int


_SCALES = {
    "small": _Scale((2, 4, 8, 16, 32), 96, 5, (48, 96, 192), 3, 8),
    "full": _Scale(
        (1, 1.5, 2, 3, 4, 6, 8, 12, 16, 24, 32, 64), 256, 12, (64, 128, 256, 512, 1024), 4, 16
    ),
    "large": _Scale(
        (1, 1.5, 2, 3, 4, 6, 8, 12, 16, 24, 32, 64), 1024, 16,
        (64, 256, 1024, 4096, 16384), 4, 16,
    ),
}  # fmt: skip


def _sweeps(scale: str) -> list[Sweep]:
    at = _SCALES[scale]
    planes = [(at.dim, at.steps), *((dim, at.at_steps) for dim in at.dims if dim != at.dim)]
    sweeps = []
    for dim, steps in planes:
        common = {**_PROBLEM, "dim": dim, "steps": steps, "neurons": _NEURONS}
        sizes = sorted({round(ratio * dim) for ratio in at.ratios})
        few = [n for n in sizes if n * dim <= _STORED]
        for design, some in (("stored", few), ("lazy", sizes[len(few) :])):
            if some:
                sweeps.append(
                    Sweep(f"d = {dim}, {design}", kind="training", seeds=at.runs,
                          axes={"samples": some}, fixed={**common, "design": design})
                )  # fmt: skip
        sweeps.append(
            Sweep(f"d = {dim}, predicted", kind="predicted-alignment",
                  axes={"samples": sizes}, fixed=common)
        )  # fmt: skip
    contours = {(at.dim, t) for t in range(1, at.steps + 1)} | {(d, at.at_steps) for d in at.dims}
    sweeps += [
        Sweep(f"d = {dim}, T = {t}, contours", kind="predicted-level",
              axes={"level": list(_STROKES)}, fixed={**_PROBLEM, "dim": dim, "steps": t})
        for dim, t in sorted(contours)
    ]  # fmt: skip
    return sweeps


@dataclass(frozen=True)
class _Cell:
    dim: int
    samples: int
    steps: int
    comparison: Comparison

    @property
    def ratio(self) -> float:
        return self.samples / self.dim

    def to_json(self) -> Json:
        found = self.comparison
        return {
            "d": self.dim,
            "n/d": self.ratio,
            "T1": self.steps,
            "alignment": float(expit(found.measurement)),
            "predicted": float(expit(found.prediction)),
            **found.to_json(),
        }


def _cells(rows: Sequence[Row]) -> tuple[list[_Cell], list[_Cell]]:
    """Those over (n/d, T1) at the d with most steps, and those over (n/d, d) at the others'
    number of steps."""
    groups = grouped(select(rows, "training"), "dim", "samples", "steps")
    counts = [runs[0].parameters["steps"] for runs in groups]
    over_steps, over_dims = [], []
    for runs in groups:
        at = {name: runs[0].parameters[name] for name in ("dim", "samples", "steps")}
        predicted = result_of(rows, "predicted-alignment", **at)
        if at["steps"] == max(counts):
            over_steps += [_cell(runs, predicted, t) for t in range(1, at["steps"] + 1)]
        over_dims.append(_cell(runs, predicted, min(counts)))
    return over_steps, over_dims


def _cell(runs: Sequence[Row], predicted: Json, steps: int) -> _Cell:
    p = runs[0].parameters
    compared = of_runs(
        {"d": p["dim"], "n": p["samples"], "T1": steps},
        "alignment",
        logit(stacked(runs, "alignment")[:, steps]),
        prediction=predicted["log_odds"][steps],
        prediction_error=predicted["error"][steps],
        scale="log-odds",
    )
    return _Cell(p["dim"], p["samples"], steps, compared)


def _compare(rows: Sequence[Row]) -> list[Comparison]:
    over_steps, over_dims = _cells(rows)
    compared = {(cell.dim, cell.samples, cell.steps): cell for cell in over_steps + over_dims}
    return [cell.comparison for cell in compared.values()]


# -- the figure --------------------------------------------------------------------------------


def _figures(rows: Sequence[Row]) -> list[StudyFigure]:
    over_steps, over_dims = _cells(rows)
    dim, fewest = over_steps[0].dim, over_dims[0].steps
    contours = [
        {
            "d": row.parameters["dim"],
            "T1": row.parameters["steps"],
            "level": row.parameters["level"],
            "n": (row.result or {})["samples"],
        }
        for row in select(rows, "predicted-level")
    ]
    runs = over_steps[0].comparison.runs
    data = {
        "problem": {**_PROBLEM, "neurons": _NEURONS},
        "runs": runs,
        "over_steps": [cell.to_json() for cell in over_steps],
        "over_dimensions": [cell.to_json() for cell in over_dims],
        "contours": contours,
    }

    def draw(figure: Figure) -> None:
        left, right = figure.subplots(1, 2)
        mesh = _mesh(left, over_steps, "steps")
        _contours(left, [c for c in contours if c["d"] == dim], "T1")
        left.set(ylabel="steps T1", title=f"d = {dim}")
        _mesh(right, over_dims, "dim")
        _contours(right, [c for c in contours if c["T1"] == fewest], "d")
        right.set(ylabel="dimension d", title=f"T1 = {fewest}")
        figure.colorbar(mesh, ax=[left, right], label="measured alignment A", shrink=0.9)
        _key(figure)

    largest = max(abs(cell.comparison.z) for cell in over_steps + over_dims)
    return [
        StudyFigure(
            "phase-diagram",
            "Alignment over sample ratio, steps and dimension",
            f"{_PROBLEM['link']} under {_PROBLEM['loss']}. Colours: measured, the mean over {runs} "
            "runs of the log-odds, as an alignment. Lines: where D1 says that A = 0.1, 0.5, 0.9, "
            f"drawn without any run. The largest |z| of a cell is {largest:.1f}; the numbers of "
            "every cell, standard errors included, are in the figure's data.",
            draw,
            data,
            (11.0, 4.6),
        )
    ]


def _mesh(axes: Axes, cells: list[_Cell], vertical: str) -> QuadMesh:
    """Cells as colours, the axes of ratios and dimensions logarithmic."""
    ratios = sorted({round(cell.ratio, 2) for cell in cells})
    heights = sorted({getattr(cell, vertical) for cell in cells})
    values = np.full((len(heights), len(ratios)), np.nan)
    for cell in cells:
        at = heights.index(getattr(cell, vertical)), ratios.index(round(cell.ratio, 2))
        values[at] = expit(cell.comparison.measurement)
    tall = _edges(np.log(heights)) if vertical == "dim" else _edges(np.array(heights, dtype=float))
    mesh = axes.pcolormesh(
        np.exp(_edges(np.log(ratios))),
        np.exp(tall) if vertical == "dim" else tall,
        values,
        cmap="cividis",
        vmin=0,
        vmax=1,
        shading="flat",
    )
    axes.set(xscale="log", xlabel="samples per dimension n/d")
    ticks = [1, 2, 4, 8, 16, 32, 64]
    axes.set_xticks(ticks, [str(tick) for tick in ticks])
    axes.minorticks_off()
    if vertical == "dim":
        axes.set_yscale("log")
        axes.set_yticks(heights, [str(height) for height in heights])
        axes.minorticks_off()
    axes.set_xlim(np.exp(_edges(np.log(ratios)))[[0, -1]])
    axes.grid(visible=False)
    return mesh


def _edges(centres: np.ndarray) -> np.ndarray:
    """Borders half way between centres."""
    centres = np.asarray(centres, dtype=float)
    middle = (centres[1:] + centres[:-1]) / 2
    return np.concatenate([[2 * centres[0] - middle[0]], middle, [2 * centres[-1] - middle[-1]]])


def _contours(axes: Axes, points: list[Json], vertical: str) -> None:
    low, high = axes.get_xlim()
    for level, stroke in _STROKES.items():
        some = [c for c in points if c["level"] == level and c["n"] is not None]
        some.sort(key=lambda c: c[vertical])
        x = np.array([c["n"] / c["d"] for c in some])
        y = np.array([c[vertical] for c in some])
        for width, colour in ((3.2, _HALO), (1.4, "#000000")):
            axes.plot(x, y, color=colour, lw=width, ls=stroke)
    axes.set_xlim(low, high)


def _key(figure: Figure) -> None:
    """What the contours are, beside the panels: on any page, light or dark."""
    from matplotlib.lines import Line2D

    handles = [
        Line2D([], [], color=INK, lw=1.4, ls=stroke, label=f"D1: A = {level:g}")
        for level, stroke in _STROKES.items()
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles))


STUDY = NamedStudy(
    name="phase-diagram",
    title="Phase diagrams",
    summary=(
        "Where stage 1 learns: the measured alignment over (n/d, T1) at one dimension, and over "
        "(n/d, d) at one number of steps, under the contours that D1 draws without a run. At a "
        "fixed number of steps the boundary moves right as d grows (D3)."
    ),
    sweeps=_sweeps,
    compare=_compare,
    figures=_figures,
)
