"""Inputs that are not Gaussian: universality, its size at finite d, and its negative control."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import expit, logit

from mimverify.problems.inputs import get_inputs
from mimverify.studies.comparison import Comparison, of_runs
from mimverify.studies.named_study import NamedStudy, StudyFigure
from mimverify.studies.trial_rows import grouped, only, result_of, select, stacked
from mimverify.support.strict_json import Json
from mimverify.sweeps import Row, Sweep

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["STUDY"]

_PROBLEM = {"link": "cos2z", "loss": "huber"}
# Of labels that would be constant otherwise: those of a coordinate that is ±1.
_NOISE = 0.2
_NEURONS = 32
_RATIO, _STEPS = 16, 4
_LAWS = (
    "gaussian", "rademacher", "uniform", "sphere", "student-t:5", "gaussian-mixture", "ar:0.6",
)  # fmt: skip
_SUBSPACES = ("haar", "axes")
# Universality asks for moments beyond the fourth.
_MOMENTS = 4

_DIMS = {"small": 128, "full": 256, "large": 1024}
_RUNS = {"small": 10, "full": 40, "large": 40}


def _sweeps(scale: str) -> list[Sweep]:
    dim = _DIMS[scale]
    common = {**_PROBLEM, "dim": dim, "samples": _RATIO * dim, "steps": _STEPS}
    training = {**common, "neurons": _NEURONS}
    found = []
    for subspace in _SUBSPACES:
        for noise in (0.0, _NOISE):
            laws = [law for law in _LAWS if _constant(law, subspace) == (noise > 0)]
            if laws:
                found.append(
                    Sweep(f"inputs, {subspace}, noise {noise:g}", kind="training",
                          seeds=_RUNS[scale], axes={"inputs": laws},
                          fixed={**training, "subspace": subspace, "noise": noise})
                )  # fmt: skip
    return [
        *found,
        Sweep("predicted", kind="predicted-alignment", fixed=training),
        Sweep("effect of the kurtosis", kind="predicted-kurtosis-shift", fixed=common),
    ]


def _universal(inputs: str, subspace: str) -> bool:
    """Whether D1 for Gaussian inputs is the limit: isotropic inputs of which no direction is
    special, or with independent entries of enough moments and a direction that is spread out."""
    law = get_inputs(inputs)
    spread = law.independent and law.moments > _MOMENTS and subspace == "haar"
    return law.isotropic and (law.rotation_invariant or spread)


def _constant(inputs: str, subspace: str) -> bool:
    """Whether the label of this link is noise alone: an even function of ±1."""
    return get_inputs(inputs).name == "rademacher" and subspace == "axes"


@dataclass(frozen=True)
class _Bar:
    """Runs with one law and one kind of direction; `comparison` where there is a prediction."""

    inputs: str
    subspace: str
    log_odds: np.ndarray
    comparison: Comparison | None

    def to_json(self) -> Json:
        mean = float(self.log_odds.mean())
        reach = 2 * float(self.log_odds.std(ddof=1)) / np.sqrt(len(self.log_odds))
        return {
            "inputs": self.inputs,
            "subspace": self.subspace,
            "alignment": float(expit(mean)),
            "low": float(expit(mean - reach)),
            "high": float(expit(mean + reach)),
            "inside": self.comparison is not None,
            "comparison": None if self.comparison is None else self.comparison.to_json(),
        }


def _bars(rows: Sequence[Row]) -> list[_Bar]:
    predicted = result_of(rows, "predicted-alignment")
    bars = []
    for runs in grouped(select(rows, "training"), "inputs", "subspace"):
        inputs, subspace = (runs[0].parameters[name] for name in ("inputs", "subspace"))
        alignment = stacked(runs, "alignment")[:, -1]
        at = {"inputs": inputs, "direction": "spread out" if subspace == "haar" else "an axis"}
        found = None
        if _constant(inputs, subspace):
            found = of_runs(
                at,
                "alignment without signal",
                alignment,
                # All coordinates are alike to labels that are noise.
                prediction=1 / runs[0].parameters["dim"],
            )
        elif _universal(inputs, subspace):
            shift = _shift(rows, inputs)
            found = of_runs(
                at,
                "alignment",
                logit(alignment),
                prediction=predicted["log_odds"][-1] + shift,
                # Of an expansion in 1/d the last term counts among what is not known.
                prediction_error=float(np.hypot(predicted["error"][-1], shift)),
                scale="log-odds",
            )
        bars.append(_Bar(inputs, subspace, logit(alignment), found))
    return bars


def _shift(rows: Sequence[Row], inputs: str) -> float:
    """The first-order effect of the law's kurtosis on the log-odds, in which it is linear."""
    kurtosis = get_inputs(inputs).excess_kurtosis
    unit = only(rows, "predicted-kurtosis-shift")
    assert unit.parameters["excess_kurtosis"] == 1
    return 0.0 if kurtosis is None else kurtosis * float((unit.result or {})["log_odds"][-1])


def _compare(rows: Sequence[Row]) -> list[Comparison]:
    return [bar.comparison for bar in _bars(rows) if bar.comparison is not None]


# -- the figure --------------------------------------------------------------------------------


def _figures(rows: Sequence[Row]) -> list[StudyFigure]:
    bars = _bars(rows)
    predicted = only(rows, "predicted-alignment")
    p = predicted.parameters
    data = {
        "problem": {**_PROBLEM, "dim": p["dim"], "samples": p["samples"], "steps": p["steps"]},
        "runs": len(bars[0].log_odds),
        "predicted": result_of(rows, "predicted-alignment")["alignment"][-1],
        "laws": [{**bar.to_json(), "shift": _shift(rows, bar.inputs)} for bar in bars],
    }

    def draw(figure: Figure) -> None:
        _draw(figure.subplots(), data)

    return [
        StudyFigure(
            "inputs",
            "Alignment by the law of the inputs",
            f"{_PROBLEM['link']} under {_PROBLEM['loss']}, d = {p['dim']}, "
            f"n = {p['samples']}, T1 = {p['steps']}. Points: the mean over "
            f"{data['runs']} runs of the log-odds, as an alignment; bars: two standard "
            "errors. Line: D1 for Gaussian inputs; grey: with the first-order effect of the law's "
            "kurtosis added, and as much again as its error, where universality holds. Filled: the "
            "direction is spread out over all coordinates; open: it is a coordinate axis. Grey "
            "points: no prediction, the law or the axis is outside of universality. A Rademacher "
            f"axis makes the label constant, up to a noise of {_NOISE:g} that was added there: the "
            "negative control, where 1/d (dotted) is predicted.",
            draw,
            data,
            (9.0, 4.6),
        )
    ]


def _draw(axes: Axes, data: Json) -> None:
    names = list(dict.fromkeys(each["inputs"] for each in data["laws"]))
    predicted = data["predicted"]
    axes.axhline(predicted, color="#1b1f24", lw=1.2, label="predicted, D1")
    axes.axhline(1 / data["problem"]["dim"], color="#7b8187", lw=1, ls=":", label="no signal, 1/d")
    shown = set()
    for each in data["laws"]:
        spread = each["subspace"] == "haar"
        x = names.index(each["inputs"]) + (-0.14 if spread else 0.14)
        if each["shift"] and each["inside"] and spread:
            ends = expit(logit(predicted) + np.array([0, 2]) * each["shift"])
            axes.fill_between([x - 0.14, x + 0.42], *ends, color="#7b8187", alpha=0.35, lw=0)
        colour = ("#0072b2" if spread else "#d55e00") if each["inside"] else "#7b8187"
        label = (
            ("direction spread out" if spread else "a coordinate axis")
            if each["inside"]
            else ("outside of universality")
        )
        y = each["alignment"]
        axes.errorbar(
            [x], [y], yerr=[[y - each["low"]], [each["high"] - y]], fmt="o" if spread else "s",
            color=colour, mfc=colour if spread else "none",
            label=None if label in shown else label,
        )  # fmt: skip
        shown.add(label)
    axes.set_xticks(range(len(names)), names)
    axes.set(ylabel="alignment A", ylim=(0, 1), title="Universality, and where it ends")
    axes.grid(visible=False, axis="x")
    axes.legend(loc="lower left", ncols=2, bbox_to_anchor=(0.0, 0.1))


STUDY = NamedStudy(
    name="inputs",
    title="Inputs that are not Gaussian",
    summary=(
        "The theorem is about Gaussian inputs. For isotropic inputs with independent entries of "
        "enough moments, and a hidden direction that is spread out over all coordinates, the same "
        "D1 is the limit (theory.md §11); the kurtosis's effect, of order 1/d, is predicted to "
        "first order, and counts as that prediction's error as well. Along a coordinate axis "
        "universality ends: for Rademacher inputs an even link sees a constant, and nothing is "
        "learned."
    ),
    sweeps=_sweeps,
    compare=_compare,
    figures=_figures,
)
