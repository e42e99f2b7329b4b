"""Tests of `mimverify.threads` and `mimverify.memory`."""

from __future__ import annotations

import threading
import time

import pytest

from mimverify import memory
from mimverify.errors import InputError
from mimverify.threads import available_cores, map_in_order, thread_limit, threads_in_force


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


def test_threads_in_force() -> None:
    with thread_limit(1):
        assert threads_in_force() == 1
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
    memory.check_fits(10**20, "nobody knows")
