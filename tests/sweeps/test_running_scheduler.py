"""Sweeps on a Dask scheduler that runs already, and that may die."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import mimverify
from mimverify.support.errors import LostProcessError
from mimverify.sweeps import Store, run_sweep
from processes import wait_until
from sweep_process import HERE, squares

pytest.importorskip("distributed")
pytestmark = pytest.mark.slow


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Callable[[], tuple[str, subprocess.Popen[bytes]]]]:
    """Starts a scheduler with two workers; returns its address and its process."""
    running: list[subprocess.Popen[bytes]] = []
    path = os.pathsep.join([str(HERE), str(Path(mimverify.__file__).parents[1])])

    def begin(*arguments: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "dask", *arguments]
        process = subprocess.Popen(
            command, env={**os.environ, "PYTHONPATH": path}, cwd=tmp_path,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        running.append(process)
        return process

    def start() -> tuple[str, subprocess.Popen[bytes]]:
        file = tmp_path / f"scheduler-{len(running)}.json"
        options = ["--port", "0", "--no-dashboard", "--host", "127.0.0.1"]
        scheduler = begin("scheduler", *options, "--scheduler-file", str(file))
        assert wait_until(lambda: file.exists() and bool(file.read_text()), 60)
        address = str(json.loads(file.read_text())["address"])
        begin("worker", address, "--nworkers", "2", "--nthreads", "1", "--no-dashboard")
        return address, scheduler

    yield start
    for process in reversed(running):
        process.terminate()
    for process in running:
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def test_a_scheduler_that_is_killed_loses_what_was_under_way(cluster, tmp_path: Path) -> None:
    store, log = Store(tmp_path / "s.sqlite"), tmp_path / "log.txt"
    sweep = squares(40, 1, 0.1, str(log))
    address, scheduler = cluster()

    def kill() -> None:
        wait_until(lambda: store.count() > 5, 60)
        scheduler.kill()

    killer = threading.Thread(target=kill)
    killer.start()
    with pytest.raises(LostProcessError):
        run_sweep(sweep, store, scheduler=address)
    killer.join()
    before = store.count()
    assert 5 < before < 40
    address, _ = cluster()
    result = run_sweep(sweep, store, scheduler=address)
    assert (result.done, result.failed, result.missing) == (40, 0, 0)
    assert result.computed == 40 - before
    begun = log.read_text(encoding="utf-8").splitlines()
    # Two workers, each with a trial under way and perhaps another in hand.
    assert len(begun) <= 40 + 4


def test_a_worker_that_dies_there_is_no_failure(cluster, tmp_path: Path) -> None:
    from sweep_process import children

    store = Store(tmp_path / "s.sqlite")
    sweep = squares(30, 1, 0.1, str(tmp_path / "log.txt"))
    address, _ = cluster()

    def kill() -> None:
        wait_until(lambda: store.count() > 5, 60)
        me = os.getpid()
        lines = (tmp_path / "log.txt").read_text(encoding="utf-8").splitlines()
        victim = int(lines[-1].split()[2])
        assert victim in children(me)
        os.kill(victim, 9)

    killer = threading.Thread(target=kill)
    killer.start()
    result = run_sweep(sweep, store, scheduler=address)
    killer.join()
    assert (result.done, result.failed, result.missing) == (30, 0, 0)
