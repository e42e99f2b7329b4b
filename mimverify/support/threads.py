"""Thread pools: BLAS, OpenMP and those of other libraries under one number."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from contextvars import copy_context
from functools import lru_cache
from typing import TypeVar, cast

from threadpoolctl import OpenBLASController, ThreadpoolController, threadpool_limits

from mimverify.support.arrays import Array
from mimverify.support.libraries.registry import LIBRARIES, loaded_libraries

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")

_lock = threading.Lock()
_users = 0
_releases: list[Callable[[], None]] = []
_limited: tuple[str, ...] = ()

_MAX_HELPERS = 32

_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    *(name for library in LIBRARIES for name in library.thread_variables),
)


def thread_environment(threads: int) -> dict[str, str]:
    """Environment variables that give every pool of a new process this many threads."""
    return dict.fromkeys(_VARIABLES, str(threads))


@contextmanager
def thread_limit(threads: int | None) -> Iterator[None]:
    """Limit the pools of this process and of those it starts meanwhile; None: leave them."""
    if threads is None:
        yield
        return
    with (
        environment(**thread_environment(threads)),
        threadpool_limits(threads),
        _library_limits(threads),
    ):
        yield


@contextmanager
def environment(**variables: str) -> Iterator[None]:
    """Set environment variables, for processes that are started meanwhile."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None) if value is None else os.environ.update({name: value})


@contextmanager
def single_threaded_libraries() -> Iterator[None]:
    """One thread in every pool of this process, for work that our own threads divide.

    Faster to enter than `thread_limit`, and without effect on processes started meanwhile. What
    is imported inside is limited from the next entry on, also a nested one.
    """
    global _users, _limited  # noqa: PLW0603 - the pools belong to the whole process
    with _lock:  # of several threads the first sets the limit, and the last removes it
        loaded = _loaded()
        if _users == 0 or loaded != _limited:
            _releases.append(_limit_pools())
            _limited = loaded
        _users += 1
    try:
        with _library_limits(1):  # Torch keeps a number for each thread
            yield
    finally:
        with _lock:
            _users -= 1
            while _users == 0 and _releases:
                _releases.pop()()


def _limit_pools() -> Callable[[], None]:
    """Limit the pools to one thread. The returned function undoes it, from any thread."""
    _disown_openblas()
    limiter = _pools(_loaded()).limit(limits=1)
    _disown_openblas()

    def release() -> None:
        _disown_openblas()
        limiter.restore_original_limits()
        _disown_openblas()

    return release


def _disown_openblas() -> None:
    # Later versions of threadpoolctl let only the thread that changed OpenBLAS's number before
    # change it again, and ignore all others.
    disown = getattr(OpenBLASController, "clear_controlling_thread", None)
    if disown is not None:
        disown(force=True)


def set_library_threads(threads: int) -> None:
    """Give the libraries that are imported this many threads, in this thread of ours.

    Those that are imported later read the environment.
    """
    for library, module in loaded_libraries():
        if library.threads is not None:
            library.threads.write(module, threads)


def keep_library_threads() -> Callable[[], None]:
    """The numbers of threads of this thread. **Returns** what gives them to another one of ours.

    Some libraries keep a number for each thread, and reading it applies one that was set elsewhere.
    """
    counts = [
        (library.threads, module, library.threads.read(module))
        for library, module in loaded_libraries()
        if library.threads is not None
    ]

    def adopt() -> None:
        for threads, module, count in counts:
            threads.write(module, count)

    return adopt


@contextmanager
def _library_limits(threads: int) -> Iterator[None]:
    restore = keep_library_threads()
    set_library_threads(threads)
    try:
        yield
    finally:
        restore()


def _loaded() -> tuple[str, ...]:
    """The imported modules that may have brought pools of threads."""
    return tuple(
        name
        for library in LIBRARIES
        for name in library.pool_modules or (library.module,)
        if name in sys.modules
    )


@lru_cache(maxsize=32)
def _pools(_libraries: tuple[str, ...]) -> ThreadpoolController:
    # Finding the pools takes longer than a small step of training. Libraries bring their own.
    return ThreadpoolController()


def available_cores() -> int:
    """Cores that this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on this system
        return os.cpu_count() or 1


def current_threads() -> int:
    """Threads of the largest pool of this process."""
    pools = _pools(_loaded()).lib_controllers
    return max((int(pool.num_threads or 1) for pool in pools), default=1)


def map_in_order(
    task: Callable[[_Item], _Result], items: Sequence[_Item], threads: int | None = None
) -> list[_Result]:
    """The results of task(item), in order, from several threads; None: `current_threads()`.

    For tasks that spend their time in libraries that release the interpreter's lock. An
    exception of a task is raised, and the remaining items are dropped.
    """
    if len(items) < 2 or threads == 1:
        return [task(item) for item in items]
    results = cast("list[_Result]", [None] * len(items))
    indices = iter(range(len(items)))
    stop = threading.Event()

    def work() -> None:
        # A loop for each thread: a future for each item can cost more than its task.
        for index in indices:
            if stop.is_set():
                return
            try:
                results[index] = task(items[index])
            except BaseException:
                stop.set()
                raise

    count = min(current_threads() if threads is None else threads, len(items))
    adopt_threads = keep_library_threads()

    def help_out() -> None:
        adopt_threads()  # a thread keeps the number that it was last set to
        work()

    # With a context for each: NumPy's error state of the caller applies to them too.
    others = [_helpers().submit(copy_context().run, help_out) for _ in range(count - 1)]
    try:
        work()  # this thread takes part, in case the helpers are busy elsewhere
    except BaseException:
        stop.set()  # also where this thread is interrupted
        raise
    finally:
        started = [future for future in others if not future.cancel()]
        wait(started)
    for future in started:
        future.result()
    return results


def map_with_own_threads(task: Callable[[_Item], _Result], items: Sequence[_Item]) -> list[_Result]:
    """`map_in_order` in as many threads as the libraries have, which have one each meanwhile.

    For tasks of many small matrices, which the libraries' own threads do not speed up.
    """
    threads = current_threads()
    with single_threaded_libraries():
        return map_in_order(task, items, threads)


@lru_cache(maxsize=1)
def _helpers() -> ThreadPoolExecutor:
    # Kept: starting threads takes as long as a small step of training. They start on demand.
    return ThreadPoolExecutor(max(_MAX_HELPERS, available_cores()), "mimverify")


os.register_at_fork(after_in_child=_helpers.cache_clear)  # a child has none of its parent's threads


def sum_in_order(
    task: Callable[[_Item], Array],
    items: Sequence[_Item],
    threads: int | None = None,
    release: Callable[[Array], None] | None = None,
) -> Array:
    """Σ task(item), added in order, whichever thread is done first; at least one item.

    The results of task are arrays that nothing else refers to: the first becomes the sum. Few of
    them exist at a time; `release` is called with each that has been added.
    """
    lock = threading.Lock()
    waiting: dict[int, Array] = {}
    added, total = 0, None

    def work(index: int) -> None:
        nonlocal added, total
        term = task(items[index])
        with lock:
            waiting[index] = term
            while added in waiting:
                ready = waiting.pop(added)
                if total is None:
                    total = ready
                else:
                    total += ready
                    if release is not None:
                        release(ready)
                added += 1

    map_in_order(work, range(len(items)), threads)
    return total
