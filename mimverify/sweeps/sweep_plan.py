"""What a sweep would do: trials, memory and time, before any of it is done."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from mimverify.pages.notebook import ShownInNotebooks
from mimverify.support.memory import check_fits, physical_memory
from mimverify.support.strict_json import Json
from mimverify.support.threads import available_cores
from mimverify.support.validation import parallel_count
from mimverify.sweeps.agenda import Agenda
from mimverify.sweeps.store import Store
from mimverify.sweeps.sweep import Sweep, SweepTrial
from mimverify.sweeps.trial_kind import get_trial_kind
from mimverify.sweeps.trial_rates import TrialRates

__all__ = ["SweepPlan", "check_memory", "plan_sweeps"]


@dataclass(frozen=True)
class SweepPlan(ShownInNotebooks):
    """What is left to do, and what it takes.

    **Arguments**

    - `trials`: all; `done`, `failed`, `missing`: what has become of those that are known so far;
      `foreseen`: how many more searches may come to.
    - `workers`: trials at a time on this machine.
    - `trial_bytes`: of the largest missing trial, None where its kind does not say; `available`:
      of the machine.
    - `seconds`: an estimate for all workers together, by `timed` trials in the store; None
      where some kind has none there.
    """

    trials: int
    done: int
    failed: int
    missing: int
    foreseen: int
    workers: int
    trial_bytes: int | None
    available: int | None
    seconds: float | None
    timed: int

    @property
    def bytes_at_once(self) -> int | None:
        """Memory of as many trials as there are workers."""
        return None if self.trial_bytes is None else self.workers * self.trial_bytes

    def to_json(self) -> Json:
        """The fields by name."""
        return {
            "trials": self.trials, "done": self.done, "failed": self.failed,
            "missing": self.missing, "foreseen": self.foreseen, "workers": self.workers,
            "trial_bytes": self.trial_bytes, "bytes_at_once": self.bytes_at_once,
            "available_bytes": self.available, "seconds": self.seconds, "timed": self.timed,
        }  # fmt: skip


def plan_sweeps(
    sweeps: Iterable[Sweep],
    store: Store,
    *,
    workers: int | None = None,
    retry_failed: bool = False,
) -> SweepPlan:
    """What `run_sweeps` with these arguments would do. Nothing is run or written."""
    agenda = Agenda(list(sweeps), store, retry_failed=retry_failed)
    missing = agenda.missing()
    costs = agenda.missing_costs()
    rates = TrialRates.of_store(store, costs)
    count = available_cores() if workers is None else parallel_count("workers", workers)
    count = min(count, max(len(missing), 1))
    seconds = rates.seconds_for(costs)
    return SweepPlan(
        trials=agenda.total,
        done=agenda.done,
        failed=agenda.failed,
        missing=len(missing),
        foreseen=agenda.foreseen,
        workers=count,
        trial_bytes=memory_of(missing),
        available=physical_memory(),
        seconds=None if seconds is None else seconds / count,
        timed=rates.trials,
    )


def memory_of(trials: Iterable[SweepTrial]) -> int | None:
    """Bytes that the largest of the trials takes; None where no kind says."""
    known = [get_trial_kind(trial.kind).memory(trial.parameters) for trial in trials]
    return max((need for need in known if need is not None), default=None)


def check_memory(trials: Sequence[SweepTrial], workers: int) -> None:
    """Refuse as many trials at once as this machine cannot hold. **Raises** `InputError`."""
    need = memory_of(trials)
    if need is not None:
        check_fits(
            workers * need,
            f"workers={workers}: as many trials at a time",
            advice=": expected fewer workers" if workers > 1 else "",
        )
