"""Worker processes of the standard library, each of which can die without harm to the others."""

from __future__ import annotations

import os
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from multiprocessing.context import SpawnContext, SpawnProcess
from typing import ParamSpec, TypeVar, cast

from mimverify.support.errors import LostProcessError
from mimverify.support.validation import parallel_count
from mimverify.sweeps.worker import begin
from mimverify.sweeps.worker_pool import (
    WorkerDeathError,
    WorkerPool,
    keep_interrupts_from_children,
)

__all__ = ["ProcessPool"]

_P = ParamSpec("_P")
_T = TypeVar("_T")

# Processes that may die before they have begun, one after the other: then none will.
_MOST_STARTS = 5


@dataclass(frozen=True)
class _Task:
    future: Future[object]
    call: Callable[[], object]


class ProcessPool(WorkerPool):
    """A `ProcessPoolExecutor` of one process for each worker.

    In a pool of several processes the death of one breaks the pool, and nobody can tell whose
    trial it was. Here it is known: only that call ends, with `WorkerDeathError`, and the next one
    has a new process.
    """

    def __init__(self, workers: int) -> None:
        self._workers = parallel_count("workers", workers)
        self._tasks: queue.SimpleQueue[_Task | None] = queue.SimpleQueue()
        self._slots: list[_Slot] = []
        self._lock = threading.Lock()
        self._stopped = False
        self._closed = False
        self._failure: LostProcessError | None = None
        self._threads = [
            threading.Thread(target=self._serve, name=f"worker {k}", daemon=True)
            for k in range(self._workers)
        ]
        for thread in self._threads:
            thread.start()

    @property
    def workers(self) -> int:
        return self._workers

    @property
    def is_local(self) -> bool:
        return True

    def submit(self, fn: Callable[_P, _T], /, *args: _P.args, **kwargs: _P.kwargs) -> Future[_T]:
        if self._closed:
            raise RuntimeError("cannot schedule new futures after shutdown")
        future: Future[_T] = Future()
        self._tasks.put(_Task(cast("Future[object]", future), partial(fn, *args, **kwargs)))
        return future

    def check(self) -> None:
        if self._failure is not None:
            raise self._failure

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        if not self._closed:
            self._closed = True
            if cancel_futures:
                self._cancel_waiting()
            for _ in self._threads:
                self._tasks.put(None)
        if wait:
            for thread in self._threads:
                thread.join()

    def kill(self) -> None:
        with self._lock:
            self._stopped = True
            for slot in self._slots:
                slot.kill()
        self.shutdown(wait=False, cancel_futures=True)

    def _cancel_waiting(self) -> None:
        with suppress(queue.Empty):
            while True:
                task = self._tasks.get_nowait()
                if task is not None:
                    task.future.cancel()

    # -- the thread of one worker --------------------------------------------------------------

    def _serve(self) -> None:
        keep_interrupts_from_children()
        slot: _Slot | None = None
        try:
            while (task := self._tasks.get()) is not None:
                if task.future.set_running_or_notify_cancel():
                    slot = self._run(task, slot)
        finally:
            if slot is not None:
                self._end(slot)

    def _run(self, task: _Task, slot: _Slot | None) -> _Slot | None:
        """Run one task. **Returns** the process for the next one, None where it died."""
        try:
            slot = slot or self._begin()
            result = slot.pool.submit(task.call).result()
        except BrokenProcessPool:
            if slot is not None:
                self._end(slot)
            task.future.set_exception(WorkerDeathError("its worker process died"))
            return None
        except BaseException as error:
            task.future.set_exception(error)
        else:
            task.future.set_result(result)
        return slot

    def _begin(self) -> _Slot:
        """A new process. **Raises** `LostProcessError` where none starts."""
        for _ in range(_MOST_STARTS):
            context = _Context()
            pool = ProcessPoolExecutor(1, mp_context=context, initializer=begin)
            slot = _Slot(pool, context)
            with self._lock:
                self._slots.append(slot)
            try:
                first = pool.submit(os.getpid)
                if self._stopped:  # in the meantime
                    slot.kill()
                first.result()
            except BrokenProcessPool:  # killed before it began, or the main module has no guard
                self._end(slot)
                if self._stopped:
                    raise
            else:
                return slot
        self._failure = LostProcessError(
            "worker processes do not start: a script that runs a sweep needs "
            "`if __name__ == '__main__':` around what it does"
        )
        raise self._failure

    def _end(self, slot: _Slot) -> None:
        with self._lock:
            self._slots.remove(slot)
        slot.pool.shutdown(wait=not self._stopped)


class _Context(SpawnContext):
    """Starts new interpreters, and keeps their processes at hand."""

    def __init__(self) -> None:
        self.started: list[SpawnProcess] = []

    def Process(  # type: ignore[override] # typeshed has a class in its place
        self, *, target: Callable[..., object], args: tuple[object, ...]
    ) -> SpawnProcess:
        process = SpawnProcess(target=target, args=args)
        self.started.append(process)
        return process


@dataclass(frozen=True)
class _Slot:
    """The pool of one worker."""

    pool: ProcessPoolExecutor
    context: _Context

    def kill(self) -> None:
        for process in self.context.started:
            with suppress(ValueError, OSError):  # it has ended, or was not started yet
                process.kill()
