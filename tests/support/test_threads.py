"""Tests of `mimverify.support.threads` and `mimverify.support.memory`."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

from mimverify.support import memory
from mimverify.support.errors import InputError
from mimverify.support.threads import (
    available_cores,
    current_threads,
    map_in_order,
    single_threaded_libraries,
    sum_in_order,
    thread_environment,
    thread_limit,
)


@pytest.mark.parametrize("threads", [None, 1, 4])
def test_results_come_in_order(threads: int | None) -> None:
    def task(k: int) -> int:
        time.sleep(0.002 * (7 - k))  # the first takes longest
        return k * k

    assert map_in_order(task, range(7), threads) == [k * k for k in range(7)]
    assert map_in_order(task, [], threads) == []


def test_several_threads_are_at_it() -> None:
    """Each task waits for the other two: with fewer threads the barrier would break."""
    barrier = threading.Barrier(3)
    assert len(map_in_order(lambda _: barrier.wait(timeout=30), range(3), 3)) == 3


def test_the_first_error_ends_the_work() -> None:
    done: list[int] = []

    def task(k: int) -> None:
        if k == 0:
            raise ValueError("no")
        time.sleep(0.005)
        done.append(k)

    with pytest.raises(ValueError, match="no"):
        map_in_order(task, range(1000), 2)
    assert len(done) < 900


def test_limits_of_several_threads_end_with_the_last() -> None:
    """Two that overlap without being nested: the pools come back as they were."""
    before, inside, go = current_threads(), threading.Barrier(3), threading.Event()

    def hold(first: bool) -> None:
        with single_threaded_libraries():
            inside.wait(timeout=30)
            if not first:
                go.wait(timeout=30)
        if first:
            go.set()

    holders = [threading.Thread(target=hold, args=(first,)) for first in (True, False)]
    for holder in holders:
        holder.start()
    inside.wait(timeout=30)
    assert current_threads() == 1
    for holder in holders:
        holder.join(timeout=30)
    assert current_threads() == before


def test_the_last_of_several_threads_takes_the_limit_back() -> None:
    """Also while the thread that set it lives: pools belong to the process, not to a thread."""
    inside, left = threading.Event(), threading.Event()

    def last() -> None:
        with single_threaded_libraries():
            inside.set()
            left.wait(timeout=30)

    other = threading.Thread(target=last)
    with thread_limit(2):
        with single_threaded_libraries():
            other.start()
            inside.wait(timeout=30)
        assert current_threads() == 1
        left.set()
        other.join(timeout=30)
        assert current_threads() == 2


@pytest.mark.parametrize(
    "modules", [["scipy.linalg"], ["scipy.special", "scipy.linalg"], ["sklearn"]]
)
def test_pools_of_what_is_imported_later_are_limited(modules: list[str]) -> None:
    """SciPy brings a BLAS of its own, which its first user loads: often inside of the limit."""
    pytest.importorskip(modules[-1])
    code = f"""
import importlib
from threadpoolctl import threadpool_info
from mimverify.support.threads import current_threads, single_threaded_libraries

def pools():
    return {{pool["filepath"]: pool["num_threads"] for pool in threadpool_info()}}

current_threads()  # looks for the pools, of which there are more later
before = pools()
with single_threaded_libraries():
    for name in {modules}:
        importlib.import_module(name)
        with single_threaded_libraries():
            assert set(pools().values()) == {{1}}, pools()
    assert set(pools().values()) == {{1}}, pools()
after = pools()
assert len(after) > len(before), after
assert before.items() <= after.items(), (before, after)
most = min(before.values())  # OpenBLAS has no more threads than there are cores
assert all(count >= most for count in after.values()), (before, after)
with single_threaded_libraries():
    assert set(pools().values()) == {{1}}, pools()
assert pools() == after, (pools(), after)
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, **thread_environment(3)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_numpy_s_error_state_holds_in_all_threads() -> None:
    def overflow(_: int) -> float:
        return float(np.float64(1e308) * np.float64(10.0))

    with np.errstate(over="ignore"):
        assert map_in_order(overflow, range(4), 2) == [np.inf] * 4
    with pytest.raises(FloatingPointError), np.errstate(over="raise"):
        map_in_order(overflow, range(4), 2)


@pytest.mark.parametrize("threads", [1, 3])
def test_sums_are_in_order(threads: int) -> None:
    """Floats whose sum depends on the order, the first of which takes longest."""
    parts = [np.array([1e16]), np.array([1.0]), np.array([-1e16]), np.array([1.0])]

    def part(k: int) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
        time.sleep(0.01 * (3 - k))
        return parts[k].copy()

    assert sum_in_order(part, range(4), threads)[0] == 1.0


def test_threads_in_force() -> None:
    with thread_limit(1):
        assert current_threads() == 1
    assert available_cores() >= 1


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0 B"), (999, "999 B"), (1500, "1.5 kB"), (16 * 10**9, "16 GB")]
)
def test_bytes_for_people(count: int, text: str) -> None:
    assert memory.bytes_text(count) == text


def test_what_does_not_fit_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "physical_memory", lambda: 2 * 10**9)
    memory.check_fits(2 * 10**9, "this")
    with pytest.raises(InputError, match=r"that: needs about 2.1 GB .* this machine has 2 GB"):
        memory.check_fits(21 * 10**8, "that")
    monkeypatch.setattr(memory, "physical_memory", lambda: None)
    memory.check_fits(10**20, "unknown")


def test_what_has_been_added_is_released() -> None:
    released: list[float] = []
    arrays = [np.full(2, float(k)) for k in range(6)]
    total = sum_in_order(
        lambda k: arrays[k].copy(), range(6), 2, release=lambda part: released.append(part[0])
    )
    assert total.tolist() == [15.0, 15.0]
    assert sorted(released) == [1.0, 2.0, 3.0, 4.0, 5.0]  # the first became the sum


def test_threads_inside_of_threads_do_not_wait_for_one_another() -> None:
    def outer(k: int) -> int:
        return sum(map_in_order(lambda j: k * j, range(20), 4))

    assert map_in_order(outer, range(60), 40) == [190 * k for k in range(60)]


def test_an_error_of_a_helper_is_raised() -> None:
    barrier = threading.Barrier(2)

    def task(k: int) -> None:
        barrier.wait(timeout=30)
        if threading.current_thread() is not threading.main_thread():
            raise ValueError("in a helper")

    with pytest.raises(ValueError, match="in a helper"):
        map_in_order(task, range(2), 2)


def test_helpers_have_as_many_torch_threads_as_the_caller() -> None:
    """Also those that worked under another limit before: products depend on it to the last bit."""
    torch = pytest.importorskip("torch")
    barrier = threading.Barrier(2)

    def threads_of_task(_: int) -> int:
        barrier.wait(timeout=30)
        torch.ones(64, 64) @ torch.ones(64, 64)
        return int(torch.get_num_threads())

    with thread_limit(2):
        assert map_in_order(threads_of_task, range(2), 2) == [2, 2]
        with single_threaded_libraries():
            assert map_in_order(threads_of_task, range(2), 2) == [1, 1]
        assert map_in_order(threads_of_task, range(2), 2) == [2, 2]
