"""Benchmark history: asv's results as slopes against d, regressions, and a gate.

asv runs the benchmarks and stores the results; this package reads, evaluates and shows them.
"""

from mimverify.performance.history.gate import (
    Gate,
    Outcome,
    RatioResult,
    Run,
    State,
    evaluate_gate,
)
from mimverify.performance.history.page import page_of
from mimverify.performance.history.pictures import figure_of
from mimverify.performance.history.reading import Commit, History, Point, Series, read_history
from mimverify.performance.history.regressions import Regression, Step, find_regressions, steps_of
from mimverify.performance.history.report import Report, make_report
from mimverify.performance.history.slopes import Curve, Slope, curves_of, fit_slope
from mimverify.performance.history.text import text_of

__all__ = [
    "Commit",
    "Curve",
    "Gate",
    "History",
    "Outcome",
    "Point",
    "RatioResult",
    "Regression",
    "Report",
    "Run",
    "Series",
    "Slope",
    "State",
    "Step",
    "curves_of",
    "evaluate_gate",
    "figure_of",
    "find_regressions",
    "fit_slope",
    "make_report",
    "page_of",
    "read_history",
    "steps_of",
    "text_of",
]
