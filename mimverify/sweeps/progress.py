"""How far a sweep is."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from mimverify.sweeps.agenda import Agenda, cost_of
from mimverify.sweeps.sweep import SweepTrial

__all__ = ["OnProgress", "SweepProgress"]


@dataclass(frozen=True)
class SweepProgress:
    """A moment of a sweep.

    **Arguments**

    - `done`, `failed`, `total`: trials; of searches the total is what they may come to.
    - `running`: trials under way here; `elsewhere`: in other sweeps on the same store.
    - `computed`: trials that ended in this run.
    - `seconds`: since the run began; `seconds_left`: an estimate, None before the first end.
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
    """Counts what ended in this run, and how much time its cost took."""

    def __init__(self, agenda: Agenda, on_progress: OnProgress | None) -> None:
        self._agenda, self._tell = agenda, on_progress
        self._began = time.monotonic()
        self._cost = self._seconds = 0.0
        self.computed = 0

    @property
    def elapsed(self) -> float:
        """Seconds since the run began."""
        return time.monotonic() - self._began

    def count(self, trial: SweepTrial, seconds: float | None) -> None:
        """A trial has ended."""
        self.computed += 1
        if seconds is not None:
            self._cost += cost_of(trial)
            self._seconds += seconds

    def tell(self, running: int, elsewhere: int, workers: int) -> None:
        """Report."""
        if self._tell is None:
            return
        agenda = self._agenda
        left = None
        if self._cost > 0:
            left = agenda.missing_cost() * self._seconds / self._cost / max(workers, 1)
        self._tell(
            SweepProgress(
                done=agenda.done, failed=agenda.failed, total=agenda.total, running=running,
                elsewhere=elsewhere, computed=self.computed, seconds=self.elapsed,
                seconds_left=left,
            )
        )  # fmt: skip
