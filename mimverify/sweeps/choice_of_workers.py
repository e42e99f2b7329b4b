"""Where trials run: a Dask cluster, or processes of the standard library."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from contextlib import contextmanager

from mimverify.support.errors import InputError
from mimverify.support.threads import available_cores, environment, thread_environment
from mimverify.support.validation import choice, parallel_count
from mimverify.sweeps.process_pool import ProcessPool
from mimverify.sweeps.worker_pool import WorkerPool

__all__ = ["ENGINES", "open_workers"]

ENGINES = ("dask", "processes")


@contextmanager
def open_workers(
    workers: int | None = None, *, scheduler: str | None = None, engine: str | None = None
) -> Iterator[WorkerPool]:
    """Workers for sweeps, as a `concurrent.futures.Executor` that is closed at the end.

    **Arguments**

    - `workers`: single-threaded processes on this machine, by default one for each core.
    - `scheduler`: the address of a running Dask scheduler, whose workers are used instead.
    - `engine`: `"dask"` or `"processes"`, the standard library's; by default Dask where it is
      installed.

    **Raises** `InputError`, also where Dask is asked for and is not installed.
    """
    installed = importlib.util.find_spec("distributed") is not None
    if engine is not None:
        engine = choice("engine", engine, ENGINES)
    if scheduler is not None and engine == "processes":
        raise InputError("scheduler: is Dask's, engine='processes' has none: expected one of them")
    if scheduler is not None or engine == "dask" or (engine is None and installed):
        if not installed:
            named = "engine='dask'" if scheduler is None else f"scheduler={scheduler!r}"
            raise InputError(f"{named} needs Dask: pip install 'mimverify[sweeps]'")
        from mimverify.sweeps.dask_pool import local_cluster, running_cluster

        if scheduler is not None:
            with running_cluster(scheduler) as pool:
                yield pool
            return
        count = available_cores() if workers is None else parallel_count("workers", workers)
        with local_cluster(count) as pool:
            yield pool
        return
    count = available_cores() if workers is None else parallel_count("workers", workers)
    # Libraries read the number of their threads when they are loaded.
    with environment(**thread_environment(1)):
        processes = ProcessPool(count)
        try:
            yield processes
        except BaseException:
            processes.kill()
            raise
        else:
            processes.shutdown()
