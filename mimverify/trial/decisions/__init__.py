"""Kinds of decision, one in each file: the declaration, the state, the record."""

import sys

from mimverify.support.package_files import modules_of
from mimverify.trial.decisions.base import (
    DIRECTIONS,
    POWER,
    Decision,
    DecisionEvidence,
    ExactDecision,
    ExactState,
    StatisticalDecision,
    StatisticalState,
    risk_text,
)
from mimverify.trial.decisions.counted_operations import CountedOperations
from mimverify.trial.decisions.event import (
    HALF,
    USUALLY,
    Event,
    Observed,
    above,
    below,
    between,
    near,
)
from mimverify.trial.decisions.law import Law
from mimverify.trial.decisions.limit_order import LimitOrder
from mimverify.trial.decisions.mean import Mean, Shown
from mimverify.trial.decisions.memory_use import MemoryUse
from mimverify.trial.decisions.rounding import Rounding
from mimverify.trial.decisions.two_samples import TwoSamples

__all__ = [
    "DIRECTIONS",
    "HALF",
    "POWER",
    "USUALLY",
    "CountedOperations",
    "Decision",
    "DecisionEvidence",
    "Event",
    "ExactDecision",
    "ExactState",
    "Law",
    "LimitOrder",
    "Mean",
    "MemoryUse",
    "Observed",
    "Rounding",
    "Shown",
    "StatisticalDecision",
    "StatisticalState",
    "TwoSamples",
    "above",
    "below",
    "between",
    "near",
    "risk_text",
]

# Every file of this folder is imported, listed above or not, so that records of it can be read.
modules_of(sys.modules[__name__])
