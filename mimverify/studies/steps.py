"""How many steps: alignment, span recovery and test error against T1, and the theorem's window."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import expit, logit

from mimverify.studies.comparison import Comparison, of_runs
from mimverify.studies.named_study import NamedStudy, StudyFigure
from mimverify.studies.trial_rows import result_of, select, stacked
from mimverify.support.strict_json import Json
from mimverify.sweeps import Row, Sweep

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from mimverify.support.arrays import Float64Array

__all__ = ["STUDY"]

# A polynomial of positive λ's under a Lipschitz loss, as the theorem asks, whose directions part
# quickly: both ends of the window are in sight.
_PROBLEM = {"link": "quadratic:1,0.4", "loss": "log-cosh"}
# The start is so small that the activation's curvature, of relative size ε0², stays below the
# rounding of float32, as power iteration supposes (theory.md §3, E3) ...
_SMALL_START, _DEFAULT_START = 1e-4, 1e-2
# ... and steps up to here: for later ones the weakest direction is lost in the predicted Gram
# matrices, whose entries are squares.
_SPAN_PREDICTED = 16
_COMPARED = (1, 2, 3, 4, 6, 8, 12, 16)


@dataclass(frozen=True)
class _Scale:
    dim: int
    samples: int
    neurons: int
    runs: int
    others: int
    steps: int
    errors_after: tuple[int, ...]
    readout_neurons: int
    predicted_runs: int
    data_sets: int


_SCALES = {
    "small": _Scale(64, 2048, 32, 12, 6, 34, (1, 4, 16), 48, 40, 40),
    "full": _Scale(256, 7871, 64, 32, 16, 40, (1, 2, 3, 4, 5, 6, 8, 12, 16, 24), 256, 100, 100),
    "large": _Scale(1024, 49200, 64, 32, 16, 40, (1, 2, 3, 4, 5, 6, 8, 12, 16, 24), 256, 100, 100),
}


def _sweeps(scale: str) -> list[Sweep]:
    at = _SCALES[scale]
    common = {**_PROBLEM, "dim": at.dim, "samples": at.samples, "neurons": at.neurons}
    errors = {"errors_after": list(at.errors_after), "readout_neurons": at.readout_neurons}
    training = {**common, "steps": at.steps}
    return [
        Sweep("steps", kind="training", seeds=at.runs,
              fixed={**training, **errors, "dtype": "float64", "init_norm": _SMALL_START}),
        Sweep("steps in float32", kind="training", seeds=at.others,
              fixed={**training, "dtype": "float32", "init_norm": _SMALL_START}),
        Sweep("steps from a larger start", kind="training", seeds=at.others,
              fixed={**training, "dtype": "float64", "init_norm": _DEFAULT_START}),
        Sweep("predicted alignment", kind="predicted-alignment",
              fixed={**common, "steps": _SPAN_PREDICTED}),
        Sweep("predicted span", kind="predicted-span",
              fixed={**common, "steps": _SPAN_PREDICTED, "data_sets": at.data_sets}),
        Sweep("predicted error", kind="predicted-error", axes={"steps": at.errors_after},
              fixed={**common, "readout_neurons": at.readout_neurons, "runs": at.predicted_runs}),
    ]  # fmt: skip


def _runs(rows: Sequence[Row], dtype: str, init_norm: float) -> list[Row]:
    return select(rows, "training", dtype=dtype, init_norm=init_norm)


def _compare(rows: Sequence[Row]) -> list[Comparison]:
    runs = _runs(rows, "float64", _SMALL_START)
    log_odds = logit(stacked(runs, "alignment"))
    cosines = stacked(runs, "span_recovery")
    alignment = result_of(rows, "predicted-alignment")
    span = result_of(rows, "predicted-span")
    found = [
        of_runs(
            {"T1": t},
            "alignment",
            log_odds[:, t],
            prediction=alignment["log_odds"][t],
            prediction_error=alignment["error"][t],
            scale="log-odds",
        )
        for t in _COMPARED
    ]
    for t in _COMPARED:
        values = cosines[:, t]
        found.append(
            of_runs(
                {"T1": t},
                "span recovery",
                values,
                prediction=span["mean"][t - 1],
                # A mean over drawn data sets, each of which scatters as a run does.
                prediction_error=float(np.std(values, ddof=1) / np.sqrt(span["data_sets"])),
            )
        )
    errors = np.log(stacked(runs, "test_error"))
    for k, t in enumerate(runs[0].parameters["errors_after"]):
        predicted = result_of(rows, "predicted-error", steps=t)
        found.append(
            of_runs(
                {"T1": t},
                "test error",
                errors[:, k],
                prediction=predicted["log_mean"],
                prediction_error=predicted["log_error"],
                scale="log",
            )
        )
    return found


# -- the figure --------------------------------------------------------------------------------


def _figures(rows: Sequence[Row]) -> list[StudyFigure]:
    data = _data(rows)
    window = data["window"]

    def draw(figure: Figure) -> None:
        panels = figure.subplots(1, 3)
        for panel in panels:
            _shade(panel, window, data["recommended"], data["measured"]["T1"][-1])
        _alignment(panels[0], data)
        _span(panels[1], data)
        _errors(panels[2], data)

    problem = data["problem"]
    first, last = window
    reach = f"from T1 = {first} to {last}" if first is not None else "nowhere"
    return [
        StudyFigure(
            "steps",
            "Alignment, span recovery and test error against the number of steps",
            f"{problem['link']} under {problem['loss']}, d = {problem['dim']}, n = "
            f"{problem['samples']}. Lines: predicted (D1 with its finite-size terms; span; test "
            "error), the band of the test error holds 95 % of runs. Points: mean over "
            f"{data['runs']} runs in float64 from ε0 = {_SMALL_START:g}, of the logarithm of the "
            "odds or of the error where those were compared; bars: two standard errors. Shaded: "
            f"the predicted window of steps that recover the span (≥ 0.9) in float32, {reach}. "
            "Further lines of span recovery: median runs in float64; in float32, which the "
            f"window's end is about; and from the default ε0 = {_DEFAULT_START:g}, where the "
            "activation's curvature, of relative size ε0², hides the weakest direction earlier. "
            "Dotted: the recommended number of steps. The test error rises before the window's "
            "end: stage 2's ridge gives a weak direction up.",
            draw,
            data,
            (12.0, 4.4),
        )
    ]


def _data(rows: Sequence[Row]) -> Json:
    runs = _runs(rows, "float64", _SMALL_START)
    p = runs[0].parameters
    alignment = result_of(rows, "predicted-alignment")
    span = result_of(rows, "predicted-span")
    times = list(p["errors_after"])
    predicted = [result_of(rows, "predicted-error", steps=t) for t in times]
    log_odds, cosines = logit(stacked(runs, "alignment")), stacked(runs, "span_recovery")
    errors = np.log(stacked(runs, "test_error"))
    medians = {
        name: np.median(stacked(_runs(rows, dtype, norm), "span_recovery"), axis=0).tolist()
        for name, dtype, norm in (
            ("float64", "float64", _SMALL_START),
            ("float32", "float32", _SMALL_START),
            ("larger start", "float64", _DEFAULT_START),
        )
    }
    return {
        "problem": {name: p[name] for name in ("link", "loss", "dim", "samples", "neurons")},
        "runs": len(runs),
        "window": span["window"],
        "recommended": span["recommended"],
        "default": span["default"],
        "predicted": {
            "T1": list(range(len(alignment["alignment"]))),
            "alignment": alignment["alignment"],
            "span_recovery": [None, *span["mean"]],
            "test_error": {
                "T1": times,
                "mean": [float(np.exp(each["log_mean"])) for each in predicted],
                "low": [each["low"] for each in predicted],
                "high": [each["high"] for each in predicted],
            },
        },
        "measured": {
            "T1": list(range(log_odds.shape[1])),
            "alignment": _with_bars(log_odds, expit),
            "span_recovery": _with_bars(cosines, np.asarray),
            "span_recovery_median": medians,
            "test_error": {"T1": times, **_with_bars(errors, np.exp)},
        },
    }


def _with_bars(values: Float64Array, shown: object) -> Json:
    """Means over runs and two standard errors beside them, on the scale that is shown."""
    mean = values.mean(axis=0)
    reach = 2 * values.std(axis=0, ddof=1) / np.sqrt(len(values))
    return {
        name: shown(numbers).tolist()  # type: ignore[operator]
        for name, numbers in (("mean", mean), ("low", mean - reach), ("high", mean + reach))
    }


def _shade(axes: Axes, window: list[int | None], recommended: int | None, last: int) -> None:
    first, end = window
    if first is not None:
        axes.axvspan(first, last if end is None else end, color="#009e73", alpha=0.13, lw=0)
    if recommended is not None:
        axes.axvline(recommended, color="#7b8187", lw=1, ls=":")
    ticks = [1, 2, 4, 8, 16, 32]
    axes.set(xlabel="steps T1", xscale="log", xlim=(0.9, 1.08 * last))
    axes.set_xticks(ticks, [str(tick) for tick in ticks])
    axes.minorticks_off()


def _at(found: Json, times: Sequence[int]) -> Json:
    """Means and bars after these steps only."""
    return {name: [values[t] for t in times] for name, values in found.items()}


def _points(axes: Axes, times: Sequence[int], found: Json, label: str) -> None:
    mean = np.array(found["mean"])
    bars = np.abs([mean - found["low"], np.array(found["high"]) - mean])
    axes.errorbar(times, mean, yerr=bars, fmt="o", color="#0072b2", ms=4, lw=1, label=label)


def _alignment(axes: Axes, data: Json) -> None:
    predicted, measured = data["predicted"], data["measured"]
    axes.plot(predicted["T1"], predicted["alignment"], "-", color="#1b1f24", label="predicted, D1")
    _points(axes, _COMPARED, _at(measured["alignment"], _COMPARED), "measured")
    axes.set(ylabel="alignment A", ylim=(0, 1), title="Alignment")
    axes.legend(loc="lower right")


def _span(axes: Axes, data: Json) -> None:
    predicted, measured = data["predicted"], data["measured"]
    axes.plot(
        predicted["T1"][1:], predicted["span_recovery"][1:], "-", color="#1b1f24", label="predicted"
    )
    _points(axes, _COMPARED, _at(measured["span_recovery"], _COMPARED), "measured, float64")
    for name, label, colour, stroke in (
        ("float64", "float64, median", "#0072b2", "-"),
        ("float32", "float32, median", "#d55e00", "--"),
        ("larger start", f"ε0 = {_DEFAULT_START:g}, median", "#cc79a7", "-."),
    ):
        medians = measured["span_recovery_median"][name]
        axes.plot(measured["T1"], medians, stroke, color=colour, lw=1.2, label=label)
    axes.set(ylabel="span recovery (smallest cosine)", ylim=(0, 1), title="Span recovery")
    axes.legend(loc="lower left")


def _errors(axes: Axes, data: Json) -> None:
    predicted, measured = data["predicted"]["test_error"], data["measured"]["test_error"]
    axes.fill_between(
        predicted["T1"], predicted["low"], predicted["high"], color="#1b1f24", alpha=0.12, lw=0,
        label="95 % of runs, predicted",
    )  # fmt: skip
    axes.plot(predicted["T1"], predicted["mean"], "-", color="#1b1f24", label="predicted")
    _points(axes, measured["T1"], measured, "measured")
    axes.set(
        ylabel="normalised test error", title="Test error after stage 2", yscale="log",
        yticks=(0.1, 0.2, 0.3, 0.5, 1.0), yticklabels=("0.1", "0.2", "0.3", "0.5", "1"),
    )  # fmt: skip
    axes.minorticks_off()
    axes.legend(loc="upper right")


STUDY = NamedStudy(
    name="steps",
    title="How many steps",
    summary=(
        "The first layer takes T1 steps, the theorem asks for more than a constant number of them. "
        "Alignment, span recovery and the test error of the whole algorithm are measured against "
        "T1, beside what was predicted before any run: D1, the span's and the error's laws. The "
        "window in which the span is recovered (D5) has two ends: too few steps leave noise, too "
        "many let the weakest direction drown in rounding."
    ),
    sweeps=_sweeps,
    compare=_compare,
    figures=_figures,
)
