"""What one step of training costs here, beside what others take for it, in one run.

problem → contender (ours, products, peers, spectral) → worker, process → race → summary; and
choose, the fastest backend for a shape. Every contender has a process of its own.
"""

from mimverify.performance.competitors.benchmark_run import Case, Entry, Race
from mimverify.performance.competitors.choose import fastest_backend
from mimverify.performance.competitors.competitor import Contender, Run
from mimverify.performance.competitors.problem import STARTS, Problem, Task, make_task
from mimverify.performance.competitors.process import ContenderError, ContenderProcess
from mimverify.performance.competitors.registry import CONTENDERS, get_contender, missing_packages
from mimverify.performance.competitors.summary import Estimate, estimate

__all__ = [
    "CONTENDERS",
    "STARTS",
    "Case",
    "Contender",
    "ContenderError",
    "ContenderProcess",
    "Entry",
    "Estimate",
    "Problem",
    "Race",
    "Run",
    "Task",
    "estimate",
    "fastest_backend",
    "get_contender",
    "make_task",
    "missing_packages",
]
