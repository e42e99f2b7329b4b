"""Workers of Dask: a cluster on this machine, or one that runs elsewhere."""

from __future__ import annotations

import importlib
import logging
import os
import shutil
import signal
import tempfile
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, ParamSpec, TypeAlias, TypeVar

from mimverify.support.errors import InputError, LostProcessError
from mimverify.support.importing import summarise
from mimverify.support.sibling_files import process_is_alive
from mimverify.support.threads import environment, thread_environment
from mimverify.support.versions import software_versions
from mimverify.sweeps.worker_pool import WorkerPool, keep_interrupts_from_children

__all__ = ["DaskPool", "local_cluster", "running_cluster"]

_P = ParamSpec("_P")
_T = TypeVar("_T")
#: Objects of Dask, not all of which has types.
_Dask: TypeAlias = Any

# Seconds that a scheduler may take to answer.
_PATIENCE = 10.0
# Seconds that ending a connection or a cluster may take.
_PATIENCE_AT_END = 5.0
_PATIENCE_AFTER_KILL = 0.5
# Seconds after which a local cluster without a worker will not have one any more.
_MOST_VACANT = 60.0
# Seconds between two attempts to replace workers that did not start.
_HEAL_EVERY = 3.0
# Seconds between two looks at how many workers there are.
_COUNT_EVERY = 5.0
_TICK = 0.05
_SETTINGS = {
    # A trial whose worker dies goes back to the coordinator, which waits for one that is free:
    # beside another trial it could take that one with it.
    "distributed.scheduler.allowed-failures": 0,
    "distributed.diagnostics.nvml": False,
    "distributed.admin.tick.limit": "1h",
    "logging.distributed": "critical",
}
_FOLDER = "mimverify-dask-"
# Loggers that report every connection that a killed worker breaks.
_LOGGERS = ("distributed", "tornado", "asyncio", "bokeh")


class DaskPool(WorkerPool):
    """The executor of a Dask client.

    **Arguments**

    - `client`: a connected `distributed.Client`.
    - `cluster`: the local cluster behind it, which ends with the pool; None for one that runs
      elsewhere. `nannies`: what keeps its `workers` alive.
    - `address`: of the scheduler, for messages.
    """

    def __init__(
        self,
        client: _Dask,
        cluster: _Dask = None,
        *,
        nannies: Sequence[_Dask] = (),
        workers: int = 0,
        address: str = "",
    ) -> None:
        self._client, self._cluster, self._nannies = client, cluster, nannies
        self._wanted, self._address = workers, address
        # Each call is one trial; trials of equal parameters are told apart by the coordinator.
        self._executor: Executor = client.get_executor(pure=False)
        self._threads = 0
        self._counted = 0.0
        self._vacant_since: float | None = None
        self._healed = time.monotonic()
        self._killed = False

    @property
    def workers(self) -> int:
        if self._cluster is not None:
            return len(self._cluster.scheduler.workers)
        if time.monotonic() > self._counted + _COUNT_EVERY:
            try:
                self._threads = sum(self._client.nthreads().values())
            except (OSError, TimeoutError) as error:
                raise self._lost(summarise(error)) from None
            self._counted = time.monotonic()
        return max(self._threads, 1)  # one trial waits for the first worker

    @property
    def is_local(self) -> bool:
        return self._cluster is not None

    def submit(self, fn: Callable[_P, _T], /, *args: _P.args, **kwargs: _P.kwargs) -> Future[_T]:
        return self._executor.submit(fn, *args, **kwargs)

    def is_death(self, error: BaseException) -> bool:
        # A scheduler that runs elsewhere has tried again as often as it is set to.
        return self._cluster is not None and type(error).__name__ == "KilledWorker"

    def check(self) -> None:
        if self._client.status != "running":
            raise self._lost(f"the connection is {self._client.status}")
        if self._cluster is not None:
            self._check_vacancy()

    def _check_vacancy(self) -> None:
        """Replace workers that died before they had begun: Dask gives those up."""
        now, count = time.monotonic(), self.workers
        if count or self._vacant_since is None:
            self._vacant_since = now
        elif now - self._vacant_since > _MOST_VACANT:
            raise self._lost(
                "no worker starts: a script that runs a sweep needs "
                "`if __name__ == '__main__':` around what it does"
            )
        if count < self._wanted and now - self._healed > _HEAL_EVERY:
            self._healed = now
            self._client.loop.add_callback(self._heal)

    def _heal(self) -> None:
        """In the thread of Dask's loop."""
        workers = self._cluster.workers
        for name, nanny in list(workers.items()):
            if nanny.status.name in ("failed", "closed", "closing"):
                del workers[name]
        if not self._killed:
            self._cluster.scale(self._wanted)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        with suppress(Exception):  # a scheduler that is gone
            self._executor.shutdown(wait=wait and not cancel_futures)

    def kill(self) -> None:
        self._killed = True
        if self._cluster is not None:
            self._cluster.shutdown_on_close = False  # nor wait at the end of this process
        self.shutdown(wait=False)
        for nanny in self._nannies:
            nanny.auto_restart = False
            process = nanny.pid
            if process is not None:
                with suppress(ProcessLookupError):
                    os.kill(process, getattr(signal, "SIGKILL", signal.SIGTERM))

    def versions(self) -> list[str]:
        """The version of mimverify of each worker."""
        return list(self._client.run(_own_version).values())

    def close(self) -> None:
        """End the connection, and the cluster of this machine."""
        if not self._killed:
            self._close(_PATIENCE_AT_END)
            return
        # Dask may wait for answers of those that were killed; nobody else does.
        closing = threading.Thread(target=self._close, args=(_PATIENCE_AFTER_KILL,), daemon=True)
        closing.start()
        closing.join(_PATIENCE_AFTER_KILL)

    def _close(self, patience: float) -> None:
        for each in (self._client, self._cluster):
            if each is not None:
                with suppress(Exception):  # whatever is left ends with this process
                    each.close(timeout=patience)

    def _lost(self, why: str) -> LostProcessError:
        named = f"scheduler={self._address!r}" if self._cluster is None else "the local cluster"
        return LostProcessError(f"{named}: is lost ({why})")


@contextmanager
def local_cluster(workers: int) -> Iterator[DaskPool]:
    """A cluster of single-threaded workers on this machine, which ends with the context.

    A worker that dies is replaced. All workers end by themselves with this process, however it
    ends.
    """

    def start() -> DaskPool:
        distributed: _Dask = importlib.import_module("distributed")
        nannies: list[_Dask] = []

        class Nanny(distributed.Nanny):  # type: ignore[misc]
            """Keeps a worker alive; known from the start, so that it can be stopped then."""

            def __init__(self, *args: object, **kwargs: object) -> None:
                super().__init__(*args, **kwargs)
                nannies.append(self)

        cluster = distributed.LocalCluster(
            n_workers=0,
            threads_per_worker=1,
            worker_class=Nanny,
            dashboard_address=None,
            # What a trial takes was compared with this machine's memory beforehand.
            memory_limit=0,
            local_directory=folder,
            silence_logs=logging.CRITICAL,
        )
        client = distributed.Client(cluster, set_as_default=False)
        cluster.scale(workers)  # they come while the coordinator waits for them
        return DaskPool(client, cluster, nannies=nannies, workers=workers)

    with _quiet(), _workers_folder() as folder, _open(start) as pool:
        yield pool


@contextmanager
def _workers_folder() -> Iterator[str]:
    """A temporary folder for files of Dask's workers; those of processes that were killed go."""
    place = Path(tempfile.gettempdir())
    for left in place.glob(f"{_FOLDER}*-*"):
        process = left.name.removeprefix(_FOLDER).partition("-")[0]
        if process.isdigit() and not process_is_alive(int(process)):
            shutil.rmtree(left, ignore_errors=True)
    with tempfile.TemporaryDirectory(
        prefix=f"{_FOLDER}{os.getpid()}-", ignore_cleanup_errors=True
    ) as folder:
        yield folder


@contextmanager
def running_cluster(address: str) -> Iterator[DaskPool]:
    """The workers of a scheduler that runs already; trials under way there cannot be stopped.

    **Raises** `InputError` where nothing answers, or a worker has another version of mimverify.
    """

    def start() -> DaskPool:
        distributed: _Dask = importlib.import_module("distributed")
        try:
            client = distributed.Client(address, timeout=_PATIENCE, set_as_default=False)
        except (OSError, TimeoutError, ValueError) as error:
            raise InputError(
                f"scheduler={address!r}: no scheduler answers ({summarise(error)}): expected an "
                "address such as 'tcp://host:8786'"
            ) from None
        return DaskPool(client, address=address)

    with _quiet(), _open(start) as pool:
        _check_versions(pool, address)
        yield pool


def _own_version() -> str:
    return software_versions()["mimverify"]


def _check_versions(pool: DaskPool, address: str) -> None:
    try:
        found = pool.versions()
    except Exception as error:
        raise InputError(
            f"scheduler={address!r}: its workers cannot import mimverify ({summarise(error)})"
        ) from None
    if other := {version for version in found if version != _own_version()}:
        raise InputError(
            f"scheduler={address!r}: its workers have mimverify {', '.join(sorted(other))}, this "
            f"process has {_own_version()}: expected the same"
        )


@contextmanager
def _open(start: Callable[[], DaskPool]) -> Iterator[DaskPool]:
    """The pool, started in a thread of its own: threads and processes that it starts inherit that
    Ctrl-C, which a terminal sends to all of them, is not theirs, and the caller can be interrupted
    meanwhile."""
    starting = _Starting(start)
    pool = starting.wait()
    try:
        yield pool
    except BaseException:
        pool.kill()
        raise
    finally:
        pool.close()


class _Starting:
    """A pool that a thread starts."""

    def __init__(self, start: Callable[[], DaskPool]) -> None:
        self._start = start
        self._pool: DaskPool | None = None
        self._error: BaseException | None = None
        self._abandoned = False
        self._thread = threading.Thread(target=self._run, name="start of Dask", daemon=True)
        self._thread.start()

    def wait(self) -> DaskPool:
        """**Raises** what starting raised."""
        try:
            while self._thread.is_alive():
                self._thread.join(_TICK)
        except BaseException:
            self._abandoned = True
            raise
        if self._error is not None:
            raise self._error
        assert self._pool is not None
        return self._pool

    def _run(self) -> None:
        keep_interrupts_from_children()
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                self._pool = self._start()
            if self._abandoned:
                self._pool.kill()
                self._pool.close()
        except BaseException as error:
            self._error = error


@contextmanager
def _quiet() -> Iterator[None]:
    """Dask without its messages, its dashboard and its traces in the environment."""
    before = dict(os.environ)
    # Workers read these when they start: before anything can be logged, or any library loaded.
    variables = {f"DASK_LOGGING__{name.upper()}": "critical" for name in _LOGGERS}
    with environment(**thread_environment(1), **variables):
        # Before values are set: it adds its own, which would be dropped with ours at the end.
        importlib.import_module("distributed")
        settings: _Dask = importlib.import_module("dask.config")
        loggers = [
            logging.getLogger(name)
            for name in (*_LOGGERS, *logging.root.manager.loggerDict)
            if name.partition(".")[0] in _LOGGERS
        ]
        levels = [logger.level for logger in loggers]
        try:
            for logger in loggers:
                logger.setLevel(logging.CRITICAL + 1)
            with settings.set(_SETTINGS):
                yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)
            for name in set(os.environ) - set(before):  # that Dask has set for its workers
                del os.environ[name]
            os.environ.update(before)
