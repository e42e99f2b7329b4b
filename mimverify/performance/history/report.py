"""The report on a history: slopes, regressions and the gate, for page, terminal and JSON."""

from __future__ import annotations

from dataclasses import dataclass

from mimverify.performance.history.gate import Gate, RatioResult
from mimverify.performance.history.highlights import SummaryLine, summary_of
from mimverify.performance.history.reading import RATIO, Commit, History, Series
from mimverify.performance.history.regressions import Regression, find_regressions
from mimverify.performance.history.slopes import LEVEL, Curve, Slope, curves_of
from mimverify.support.strict_json import Json

__all__ = ["Report", "make_report"]


@dataclass(frozen=True)
class Report:
    """A history, evaluated.

    **Arguments**

    - `history`: what asv measured.
    - `curves`: benchmarks against d.
    - `rest`: ratios, and benchmarks without a parameter d or with values at one d alone.
    - `regressions`: of ratios, by asv's step detection, the latest first: what no later step
      undid. Seconds of different days are noise; they are shown, not judged.
    - `recovered`: those that a later step undid, the latest first.
    - `gate`: the ratios' results, if there are ratios.
    - `summary`: what matters first, in ten lines at most.
    """

    history: History
    curves: tuple[Curve, ...]
    rest: tuple[Series, ...]
    regressions: tuple[Regression, ...]
    recovered: tuple[Regression, ...]
    gate: Gate | None
    summary: tuple[SummaryLine, ...]

    def to_json(self) -> Json:
        """The report as a JSON object."""
        return {
            "results": str(self.history.path),
            "commits": [_commit(commit) for commit in self.history.commits],
            "slopes": [_curve(curve) for curve in self.curves],
            "series": [_series(one) for one in self.history.series],
            "regressions": [_regression(one) for one in self.regressions],
            "recovered": [_regression(one) for one in self.recovered],
            "gate": None if self.gate is None else _gate(self.gate),
            "summary": [{"subject": line.subject, "text": line.text} for line in self.summary],
        }


def make_report(history: History, *, gate: Gate | None = None, least_dim: int = 1) -> Report:
    """Evaluate a history.

    **Arguments**

    - `history`: what asv measured.
    - `gate`: the ratios' results.
    - `least_dim`: the smallest d to fit slopes to.
    """
    curves = curves_of(history, least_dim)
    on_curves = {one.key for curve in curves for one in curve.series}
    ratios = (one for one in history.series if one.unit == RATIO)
    found = [regression for one in ratios for regression in find_regressions(one)]
    found.sort(key=lambda one: -one.commit.date.timestamp())
    regressions = tuple(one for one in found if one.recovered is None)
    recovered = tuple(one for one in found if one.recovered is not None)
    return Report(
        history=history,
        curves=curves,
        rest=tuple(one for one in history.series if one.key not in on_curves),
        regressions=regressions,
        recovered=recovered,
        gate=gate,
        summary=summary_of(history, curves, regressions, recovered, gate),
    )


def _commit(commit: Commit) -> Json:
    return {"hash": commit.hash, "date": commit.date.isoformat()}


def _identity(series: Series) -> Json:
    return {
        "benchmark": series.benchmark,
        "parameters": dict(series.parameters),
        "machine": series.machine,
        "environment": series.environment,
    }


def _series(series: Series) -> Json:
    return {
        **_identity(series),
        "unit": series.unit,
        "values": [
            {"commit": p.commit.hash, "value": p.value, "low": p.low, "high": p.high}
            for p in series.points
        ],
    }


def _regression(one: Regression) -> Json:
    return {
        **_identity(one.series),
        "commit": one.commit.hash,
        "last_good": one.before.hash,
        "old": one.old,
        "new": one.new,
        "factor": one.factor,
        "last_bad": None if one.last is None else one.last.hash,
        "recovered": None if one.recovered is None else one.recovered.hash,
    }


def _curve(curve: Curve) -> Json:
    return {
        **_identity(curve.series[0]),
        "parameters": dict(curve.parameters),
        "unit": curve.unit,
        "level": LEVEL,
        "reference": curve.reference,
        "fits": [
            {"commit": commit.hash, **_slope(slope)}
            for commit, slope in zip(curve.commits, curve.slopes, strict=True)
            if slope is not None
        ],
    }


def _slope(slope: Slope) -> Json:
    return {
        "exponent": slope.exponent,
        "margin": slope.margin,
        "prefactor": slope.prefactor,
        "factor": slope.factor,
        "dims": slope.dims,
    }


def _gate(gate: Gate) -> Json:
    return {
        "threshold": gate.threshold,
        "passed": gate.passed,
        "outcome": str(gate.outcome),
        "compared": len(gate.compared),
        "to_repeat": [commit.hash for commit in gate.to_repeat],
        "ratios": [_ratio_result(one) for one in gate.results],
    }


def _ratio_result(one: RatioResult) -> Json:
    return {
        **_identity(one.series),
        "commit": one.commit.hash,
        "state": str(one.state),
        "runs": [
            {
                "ratio": run.ratio,
                "best": run.best,
                "best_commit": run.best_commit.hash,
                "factor": run.factor,
            }
            for run in one.runs
        ],
    }
