"""The coordinator: it hands trials to workers, and writes each one down as it ends."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack, suppress

from mimverify.native import native_library
from mimverify.support.errors import InputError, LostProcessError, OutputError
from mimverify.support.strict_json import Json, parse_json
from mimverify.support.threads import available_cores
from mimverify.support.validation import integer, parallel_count
from mimverify.sweeps.agenda import Agenda
from mimverify.sweeps.choice_of_workers import open_workers
from mimverify.sweeps.claim_owner import LEASE
from mimverify.sweeps.content_key import canonical_json
from mimverify.sweeps.progress import OnProgress, ProgressClock
from mimverify.sweeps.result import SweepResult
from mimverify.sweeps.store import Store, StoreWriter
from mimverify.sweeps.sweep import Sweep, SweepTrial
from mimverify.sweeps.sweep_plan import check_memory
from mimverify.sweeps.trial_rates import TrialRates
from mimverify.sweeps.worker import error_record, run_trial
from mimverify.sweeps.worker_pool import WorkerPool

__all__ = ["run_sweep", "run_sweeps"]

# Seconds between looks at the clock, at signals, and at what other sweeps have finished.
_TICK = 0.1
_LOOK = 1.0
#: Workers that one trial may take with it before it counts as failed.
MOST_DEATHS = 3


def run_sweep(
    sweep: Sweep,
    store: Store,
    *,
    executor: Executor | None = None,
    workers: int | None = None,
    scheduler: str | None = None,
    engine: str | None = None,
    retry_failed: bool = False,
    first: int | None = None,
    on_progress: OnProgress | None = None,
) -> SweepResult:
    """Run the trials of a sweep that its store does not have, and return them all.

    Each trial is stored as it ends: whatever kills this process, a worker or the scheduler, at
    most the trials under way are lost, and the next call runs what is missing. A trial that raises
    is stored as failed with its error. Several sweeps, in any number of processes, may run on one
    store at once.

    **Arguments**

    - `executor`: where trials run; it stays open. By default processes of this machine, by Dask
      where it is installed.
    - `workers`: how many, by default one for each core; each runs one trial at a time in one
      thread.
    - `scheduler`: address of a running Dask scheduler, `"tcp://…"`.
    - `engine`: `"dask"` or `"processes"`, as for `open_workers`.
    - `retry_failed`: run those again that failed.
    - `first`: stop after this many trials.

    **Raises** `InputError` before any trial is run, also where trials do not fit into memory;
    `OutputError` where the store cannot be written; `LostProcessError` where the workers as a
    whole are lost.
    """
    (result,) = run_sweeps(
        [sweep],
        store,
        executor=executor,
        workers=workers,
        scheduler=scheduler,
        engine=engine,
        retry_failed=retry_failed,
        first=first,
        on_progress=on_progress,
    )
    return result


def run_sweeps(
    sweeps: Iterable[Sweep],
    store: Store,
    *,
    executor: Executor | None = None,
    workers: int | None = None,
    scheduler: str | None = None,
    engine: str | None = None,
    retry_failed: bool = False,
    first: int | None = None,
    on_progress: OnProgress | None = None,
) -> list[SweepResult]:
    """Several sweeps as one run, in one set of workers. As `run_sweep`."""
    sweeps = list(sweeps)
    native_library()  # a wrong MIMVERIFY_NATIVE is wrong input once, not a failure of every trial
    if first is not None:
        integer("first", first, minimum=1)
    if executor is not None and scheduler is not None:
        raise InputError("executor and scheduler are both given: expected one of them")
    with StoreWriter(store.path) as writer, ExitStack() as stack:
        agenda = Agenda(sweeps, store, retry_failed=retry_failed)
        rates = TrialRates.of_store(store, agenda.missing_costs())
        clock = ProgressClock(agenda, rates, on_progress)
        missing = agenda.missing()
        if missing:
            if executor is None:
                count = available_cores() if workers is None else parallel_count("workers", workers)
                if scheduler is None:
                    count = min(count, max(len(missing), 1))
                    check_memory(missing, count)
                executor = stack.enter_context(
                    open_workers(count, scheduler=scheduler, engine=engine)
                )
            run = _Run(agenda, store, writer, executor, workers, clock, first)
            run.to_the_end()
        computed, seconds = clock.computed, clock.elapsed
    return [
        SweepResult(
            sweep=sweep,
            rows=store.rows(sweep),
            thresholds=agenda.thresholds(sweep),
            missing=_missing(agenda, sweep, store),
            computed=computed,
            seconds=seconds,
        )
        for sweep in sweeps
    ]


def _missing(agenda: Agenda, sweep: Sweep, store: Store) -> int:
    return len(Agenda([sweep], store).missing()) if agenda.missing() else 0


class _Run:
    """One run's trials under way."""

    def __init__(
        self,
        agenda: Agenda,
        store: Store,
        writer: StoreWriter,
        executor: Executor,
        workers: int | None,
        clock: ProgressClock,
        first: int | None,
    ) -> None:
        self._agenda, self._store, self._writer = agenda, store, writer
        self._executor, self._workers, self._clock = executor, workers, clock
        self._left = first
        self._running: dict[Future[str], SweepTrial] = {}
        self._elsewhere: dict[str, SweepTrial] = {}
        self._deaths: Counter[str] = Counter()
        self._again: list[SweepTrial] = []  # trials whose workers died
        self._renewed = self._looked = time.monotonic()

    def to_the_end(self) -> None:
        """Until nothing is missing. **Raises** as `run_sweep`."""
        try:
            self._fill()
            while self._running or self._elsewhere or self._again or self._is_short_of_workers():
                self._report()
                if self._running:
                    wait(self._running, timeout=_TICK, return_when=FIRST_COMPLETED)
                else:
                    time.sleep(_TICK)
                if isinstance(self._executor, WorkerPool):
                    self._executor.check()
                self._collect()
                self._look_around()
                self._fill()
            self._report(last=True)
        except BaseException:
            self._stop()
            raise

    def _is_short_of_workers(self) -> bool:
        """Whether trials are left because there was no worker for them a moment ago."""
        return self._left != 0 and self._agenda.has_more

    def _capacity(self) -> int:
        if isinstance(self._executor, WorkerPool):
            return self._executor.workers
        return self._workers or available_cores()

    def _fill(self) -> None:
        """Hand trials out until every worker has one."""
        while self._again and self._capacity() > len(self._running):
            self._start(self._again.pop())
        free = self._capacity() - len(self._running)
        while free > 0 and self._left != 0:
            trials = self._agenda.take(free if self._left is None else min(free, self._left))
            if not trials:
                return
            self._submit(trials)
            free = self._capacity() - len(self._running)

    def _submit(self, trials: Sequence[SweepTrial]) -> None:
        again = {trial.key for trial in trials} & self._agenda.again
        keys = {trial.key for trial in trials}
        granted = self._writer.claim(keys - again) | self._writer.claim(again, again=True)
        for trial in trials:
            if trial.key not in granted:  # another sweep has it, or has finished it
                self._elsewhere[trial.key] = trial
                continue
            self._start(trial)
            if self._left is not None:
                self._left -= 1

    def _start(self, trial: SweepTrial) -> None:
        future = self._executor.submit(
            run_trial, trial.kind, trial.version, canonical_json(trial.parameters)
        )
        self._running[future] = trial

    def _collect(self) -> None:
        """Write down what has ended."""
        for future in [future for future in self._running if future.done()]:
            trial = self._running.pop(future)
            record = self._record(trial, future)
            if record is not None:
                self._writer.add(trial, record)
                self._clock.count(trial, record.get("seconds"))
                self._agenda.finish(trial.key, record["status"], record.get("result"))

    def _record(self, trial: SweepTrial, future: Future[str]) -> Json | None:
        """The record of a trial, also where its worker did not live to write one; None where it
        runs again.

        **Raises** `LostProcessError` where not this trial but all workers are lost.
        """
        if future.cancelled():
            raise LostProcessError("the workers are gone: trials under way were cancelled")
        error = future.exception()
        if error is None:
            record: Json = parse_json(future.result().encode(), "what a worker returned")
            return record
        if isinstance(error, BrokenProcessPool):
            raise LostProcessError(
                f"executor: {error}; without one, workers that die are replaced"
            ) from None
        if isinstance(self._executor, WorkerPool):
            self._executor.check()
            if self._executor.is_death(error):
                self._deaths[trial.key] += 1
                if self._deaths[trial.key] < MOST_DEATHS:
                    self._again.append(trial)
                    return None
                error = LostProcessError(
                    f"its worker process died {MOST_DEATHS} times, in as many tries (out of "
                    "memory, a signal, a crash?)"
                )
        return {"status": "failed", "error": error_record(error)}

    def _look_around(self) -> None:
        """Keep our claims, and see what became of others'."""
        now = time.monotonic()
        if now - self._renewed > LEASE / 4:
            self._renewed = now
            self._writer.renew()
        if self._elsewhere and now - self._looked > _LOOK:
            self._looked = now
            for key, (status, result) in self._store.states(list(self._elsewhere)).items():
                if status == "failed" and key in self._agenda.again:
                    continue  # the earlier failure
                del self._elsewhere[key]
                self._agenda.finish(key, status, result)
            free = self._capacity() - len(self._running)
            some = list(self._elsewhere.values())[: max(free, 0)]
            if self._left is not None:
                some = some[: self._left]
            for trial in some:
                del self._elsewhere[trial.key]
            self._submit(some)
        if self._left == 0:
            self._elsewhere.clear()

    def _report(self, *, last: bool = False) -> None:
        self._clock.tell(len(self._running), len(self._elsewhere), self._capacity(), last=last)

    def _stop(self) -> None:
        """Write down what has ended, and stop the rest at once."""
        with suppress(LostProcessError, OutputError, KeyboardInterrupt):
            self._collect()
        if isinstance(self._executor, WorkerPool):
            self._executor.kill()
        for future in self._running:
            future.cancel()
