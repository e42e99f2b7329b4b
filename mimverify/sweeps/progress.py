"""How far a sweep is."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from mimverify.sweeps.agenda import Agenda
from mimverify.sweeps.sweep import SweepTrial
from mimverify.sweeps.trial_rates import TrialRates

__all__ = ["OnProgress", "SweepProgress"]


# Seconds between two reports.
_EVERY = 0.25


@dataclass(frozen=True)
class SweepProgress:
    """A moment of a sweep.

    **Arguments**

    - `done`, `failed`, `total`: trials; of searches the total is what they may come to.
    - `running`: trials under way here; `elsewhere`: in other sweeps on the same store.
    - `computed`: trials that ended in this run.
    - `seconds`: since the run began; `seconds_left`: an estimate by
      the trials that are done, None before each kind has one.
    """

    done: int
    failed: int
    total: int
    running: int
    elsewhere: int
    computed: int
    seconds: float
    seconds_left: float | None


#: Told of a sweep's progress.
OnProgress = Callable[[SweepProgress], None]


class ProgressClock:
    """Counts what ended in this run, and tells how far it is."""

    def __init__(self, agenda: Agenda, rates: TrialRates, on_progress: OnProgress | None) -> None:
        self._agenda, self._rates, self._on_progress = agenda, rates, on_progress
        self._began = time.monotonic()
        self._told = -_EVERY
        self.computed = 0

    @property
    def elapsed(self) -> float:
        """Seconds since the run began."""
        return time.monotonic() - self._began

    def count(self, trial: SweepTrial, seconds: float | None) -> None:
        """A trial has ended."""
        self.computed += 1
        if seconds is not None:
            self._rates.add(trial, seconds)

    def tell(self, running: int, elsewhere: int, workers: int, *, last: bool = False) -> None:
        """Report, unless that was a moment ago."""
        if self._on_progress is None or (not last and self.elapsed - self._told < _EVERY):
            return
        self._told = self.elapsed
        agenda = self._agenda
        left = self._rates.seconds_for(agenda.missing_costs())
        self._on_progress(
            SweepProgress(
                done=agenda.done,
                failed=agenda.failed,
                total=agenda.total,
                running=running,
                elsewhere=elsewhere,
                computed=self.computed,
                seconds=self.elapsed,
                seconds_left=None if left is None else left / max(workers, 1),
            )
        )
