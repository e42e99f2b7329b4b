"""Sweeps: many trials of many parameters, run by any number of workers, none lost.

A trial is a kind and its parameters, and is known by a hash of them. One coordinator hands trials
to workers, and writes each into an SQLite store as it ends; what a store has is not run again.
Nothing here knows what is tried.

content_key → trial_kind → threshold_search → sweep → store (claim_owner, store_file, trial_table)
→ agenda → trial_rates → sweep_plan, progress → worker → worker pools → run.
"""

from typing import TYPE_CHECKING

from mimverify.support.lazy_package import lazy_names

if TYPE_CHECKING:
    from mimverify.sweeps.choice_of_workers import ENGINES, open_workers
    from mimverify.sweeps.progress import OnProgress, SweepProgress
    from mimverify.sweeps.result import SweepResult
    from mimverify.sweeps.row import Row
    from mimverify.sweeps.run import run_sweep, run_sweeps
    from mimverify.sweeps.store import Store
    from mimverify.sweeps.sweep import Sweep, SweepTrial
    from mimverify.sweeps.sweep_plan import SweepPlan, plan_sweeps
    from mimverify.sweeps.threshold_search import Search, Threshold
    from mimverify.sweeps.trial_kind import TrialKind, get_trial_kind, trial_kinds

__all__ = [
    "ENGINES",
    "OnProgress",
    "Row",
    "Search",
    "Store",
    "Sweep",
    "SweepPlan",
    "SweepProgress",
    "SweepResult",
    "SweepTrial",
    "Threshold",
    "TrialKind",
    "get_trial_kind",
    "open_workers",
    "plan_sweeps",
    "run_sweep",
    "run_sweeps",
    "trial_kinds",
]

__getattr__, __dir__ = lazy_names(__name__, __file__)
