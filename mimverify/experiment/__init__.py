"""Experiments: draw a multi-index model, train on it, measure what was learned.

`run_experiment` is what `mimverify train` runs. `Experiment` is the same run as an object
that reports at any time what it has so far, for callers that may stop early.

resolved → config, result → memory, stages (what designs share) →
designs (one file each) → checks, resumption → run.
"""

from mimverify.experiment.config import ExperimentConfig
from mimverify.experiment.memory_need import MemoryItem, MemoryNeed
from mimverify.experiment.progress import OnProgress, OnStep
from mimverify.experiment.resolved import DESIGNS, ResolvedConfig
from mimverify.experiment.result import BASELINES, ExperimentResult
from mimverify.experiment.run import (
    Experiment,
    memory_need,
    memory_needed,
    processes_of,
    run_experiment,
)
from mimverify.experiment.stages import designs_where, stages_for
from mimverify.support.memory import physical_memory

__all__ = [
    "BASELINES",
    "DESIGNS",
    "Experiment",
    "ExperimentConfig",
    "ExperimentResult",
    "MemoryItem",
    "MemoryNeed",
    "OnProgress",
    "OnStep",
    "ResolvedConfig",
    "designs_where",
    "memory_need",
    "memory_needed",
    "physical_memory",
    "processes_of",
    "run_experiment",
    "stages_for",
]
