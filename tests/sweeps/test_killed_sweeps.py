"""Sweeps whose coordinator or workers are killed lose and double no trial."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest

from kill_sweeps import kill_and_resume
from mimverify.sweeps import Store, Sweep, open_workers, run_sweep
from mimverify.sweeps.agenda import Agenda
from mimverify.sweeps.claim_owner import ClaimOwner
from mimverify.sweeps.store import StoreWriter
from processes import is_running, wait_until
from sweep_process import children, squares, start, workers

pytestmark = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="children are found in /proc"
)


@pytest.mark.parametrize(
    ("engine", "kills"),
    [
        ("processes", 3),
        pytest.param("processes", 50, marks=pytest.mark.slow),
        pytest.param("dask", 50, marks=pytest.mark.slow),
    ],
)
def test_kills_lose_and_double_nothing(tmp_path: Path, engine: str, kills: int) -> None:
    found = kill_and_resume(
        tmp_path, engine, kills=kills, seed=kills, x=20, seeds=kills, seconds=0.02
    )
    wanted = [(x, seed) for x in range(20) for seed in range(kills)]
    assert sorted(found.rows) == wanted
    assert (found.failed, found.wrong, found.orphans) == (0, 0, 0)
    # At most the two trials under way are lost at each kill.
    assert found.runs <= len(wanted) + 2 * kills
    assert found.last_words == f"done {len(wanted)}, failed 0, missing 0\n"


def test_a_cluster_that_loses_workers_finishes(tmp_path: Path) -> None:
    sweep = Sweep(
        "squares",
        kind="sweep_trials:square",
        axes={"x": list(range(30))},
        fixed={"seconds": 0.05},
    )
    store = Store(tmp_path / "s.sqlite")
    lost: list[int] = []

    def kill_some() -> None:
        # One that has just been started, and whichever there is when trials are under way.
        for condition in (lambda: bool(_workers_of_dask()), lambda: store.count() > 2):
            wait_until(condition, 30)
            for process in _workers_of_dask()[:1]:
                with suppress(ProcessLookupError):
                    os.kill(process, signal.SIGKILL)
                    lost.append(process)

    killer = threading.Thread(target=kill_some)
    with open_workers(2, engine="dask") as pool:
        killer.start()
        result = run_sweep(sweep, store, executor=pool)
        killer.join()
    assert len(lost) == 2
    assert (result.done, result.failed, result.missing) == (30, 0, 0)
    assert not any(map(is_running, _workers_of_dask()))


def _workers_of_dask() -> list[int]:
    found = multiprocessing.active_children()
    return [child.pid for child in found if child.pid and child.name.startswith("Dask Worker")]


def test_two_coordinators_share_a_store(tmp_path: Path) -> None:
    store, log = tmp_path / "s.sqlite", tmp_path / "log.txt"
    sweep = squares(15, 4, 0.02, str(log))
    both = [start(store, "processes", sweep) for _ in range(2)]
    words = [process.communicate(timeout=60)[0] for process in both]
    assert words == ["done 60, failed 0, missing 0\n"] * 2
    assert len(Store(store).rows()) == 60
    begun = [line.split()[:2] for line in log.read_text(encoding="utf-8").splitlines()]
    assert len(begun) == 60  # no trial was run by both
    assert len({line.split()[2] for line in log.read_text(encoding="utf-8").splitlines()}) > 2


def test_a_dead_coordinators_claims_are_taken_over_at_once(tmp_path: Path) -> None:
    store, log = tmp_path / "s.sqlite", tmp_path / "log.txt"
    sweep = squares(2, 1, 60.0, str(log))
    process = start(store, "processes", sweep)
    assert wait_until(lambda: log.exists() and len(log.read_text().splitlines()) == 2, 30)
    family = children(process.pid)
    assert len(workers(process.pid)) == 2
    with StoreWriter(store) as writer:
        keys = [trial.key for trial in sweep.trials()]
        assert writer.claim(keys) == set()
        process.kill()
        process.communicate()
        assert writer.claim(keys) == set(keys)
    assert wait_until(lambda: not any(map(is_running, family)), 10)


def test_a_claim_lasts_as_long_as_its_lease() -> None:
    here = ClaimOwner.this()
    elsewhere = ClaimOwner("another-host", 1, "2", "3")
    assert not here.may_take_over(elsewhere.to_text(), time.time() + 10)
    assert here.may_take_over(elsewhere.to_text(), time.time() - 1)
    assert here.may_take_over(elsewhere.to_text(), time.time() + 1e6)  # a clock that was wrong
    assert not here.may_take_over(ClaimOwner.this().to_text(), time.time() + 10)
    another_start = ClaimOwner(here.host, here.process, "1", "4")
    assert here.may_take_over(another_start.to_text(), time.time() + 10)
    assert here.may_take_over("no JSON", time.time() + 10)


@pytest.mark.parametrize("reads", [500, pytest.param(10_000, marks=pytest.mark.slow)])
def test_readers_see_whole_trials_while_there_are_writes(tmp_path: Path, reads: int) -> None:
    store = Store(tmp_path / "s.sqlite")
    sweep = Sweep("squares", kind="sweep_trials:square", axes={"x": list(range(200))}, seeds=20)
    trials = sweep.trials()
    stop, written = threading.Event(), threading.Event()

    def write() -> None:
        while not stop.is_set():  # connections come and go, which is when files do
            with StoreWriter(store.path) as writer:
                for trial in trials[store.count() :][:20]:
                    if stop.is_set():
                        return
                    record = {"status": "done", "result": {"square": trial.parameters["x"] ** 2}}
                    writer.add(trial, {**record, "seconds": 0.0, "environment": {"host": "here"}})
                    written.set()

    keys = [trial.key for trial in trials[:50]]
    with ThreadPoolExecutor(1) as pool:
        writing = pool.submit(write)
        try:
            before = 0
            assert written.wait(60)  # threads take their time on a machine that is busy
            for _ in range(reads):
                found = store.states(keys)
                assert all(result is not None for _, result in found.values())
                assert len(found) >= before
                before = len(found)
        finally:
            stop.set()
        writing.result()
    assert before > 0


def test_what_is_done_is_not_replaced(tmp_path: Path) -> None:
    sweep = Sweep("squares", kind="sweep_trials:square", axes={"x": [3]})
    (trial,) = sweep.trials()
    store = Store(tmp_path / "s.sqlite")
    failed = {"status": "failed", "error": {"type": "E", "message": "m", "traceback": ""}}
    with StoreWriter(store.path) as writer:
        assert writer.add(trial, failed)
        assert Agenda([sweep], store).failed == 1
        assert writer.add(trial, {"status": "done", "result": {"square": 9}})
        assert not writer.add(trial, failed)
        assert not writer.add(trial, {"status": "done", "result": {"square": 10}})
    (row,) = store.rows()
    assert (row.status, row.result, row.error) == ("done", {"square": 9}, None)


def test_an_interrupted_write_leaves_no_half_trial(tmp_path: Path) -> None:
    sweep = Sweep("squares", kind="sweep_trials:square", axes={"x": [3]})
    (trial,) = sweep.trials()
    store = Store(tmp_path / "s.sqlite")

    class Interrupts(dict[str, object]):
        def get(self, name: str, default: object = None) -> object:
            if name == "error":
                raise KeyboardInterrupt
            return super().get(name, default)

    def claim_and_add(record: dict[str, object]) -> None:
        with StoreWriter(store.path) as writer:
            assert writer.claim([trial.key]) == {trial.key}
            writer.add(trial, record)

    with pytest.raises(KeyboardInterrupt):
        claim_and_add(Interrupts(status="done", result={"square": 9}))
    assert store.count() == 0
    claim_and_add({"status": "done", "result": {"square": 9}})  # nothing is claimed or locked
    assert store.count() == 1
