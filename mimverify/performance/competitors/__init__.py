"""The time of one step of training, compared with competitors in the same run.

problem → competitor (our_steps, products, contenders) → worker, process → benchmark_run →
summary; and choose, the fastest backend for a shape. Every competitor has its own process.
"""

from mimverify.performance.competitors.benchmark_run import BenchmarkRun, Case, Entry
from mimverify.performance.competitors.choose import fastest_backend
from mimverify.performance.competitors.competitor import Competitor, Run
from mimverify.performance.competitors.problem import STARTS, Problem, Task, make_task
from mimverify.performance.competitors.process import CompetitorError, CompetitorProcess
from mimverify.performance.competitors.registry import (
    COMPETITORS,
    get_competitor,
    missing_packages,
    names_on,
)
from mimverify.performance.competitors.summary import Estimate, estimate

__all__ = [
    "COMPETITORS",
    "STARTS",
    "BenchmarkRun",
    "Case",
    "Competitor",
    "CompetitorError",
    "CompetitorProcess",
    "Entry",
    "Estimate",
    "Problem",
    "Run",
    "Task",
    "estimate",
    "fastest_backend",
    "get_competitor",
    "make_task",
    "missing_packages",
    "names_on",
]
