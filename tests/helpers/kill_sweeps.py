"""Kills sweeps: `python kill_sweeps.py ENGINE KILLS SEED`, and the function that tests call."""

from __future__ import annotations

import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from mimverify.sweeps import Store
from processes import is_running, wait_until
from sweep_process import children, squares, start, workers

__all__ = ["Killings", "kill_and_resume"]


#: Seconds that a run is left alone at most: some are killed as they start, others at work.
_LONGEST = {"processes": 2.0, "dask": 8.0}


@dataclass(frozen=True)
class Killings:
    """What became of a sweep that was killed again and again.

    `rows`: (x, seed) of the finished trials; `orphans`: processes that outlived a coordinator by
    seconds; `runs`: how often trials were begun.
    """

    rows: list[tuple[int, int]]
    failed: int
    wrong: int
    orphans: int
    runs: int
    kills: Counter[str]
    last_words: str


def kill_and_resume(
    folder: Path, engine: str, *, kills: int, seed: int, x: int, seeds: int, seconds: float
) -> Killings:
    """Run a sweep, and kill its coordinator or one of its workers at random times, `kills` times;
    then let it finish."""
    rng = random.Random(seed)
    store, log = folder / "trials.sqlite", folder / "log.txt"
    sweep = squares(x, seeds, seconds, str(log))
    done: Counter[str] = Counter()
    orphans = 0
    process = start(store, engine, sweep)
    while done.total() < kills:
        time.sleep(rng.uniform(0, _LONGEST[engine]))
        if process.poll() is not None:  # finished too early: begin anew, all is stored
            process.communicate()
            process = start(store, engine, sweep)
            continue
        victims = workers(process.pid)
        if victims and rng.random() < 0.5:
            with suppress(ProcessLookupError):
                os.kill(rng.choice(victims), signal.SIGKILL)
            done["worker"] += 1
            continue
        family = children(process.pid)
        process.kill()
        process.communicate()
        done["coordinator"] += 1
        if not wait_until(lambda family=family: not any(map(is_running, family)), 10.0):  # type: ignore[misc]
            orphans += 1
        process = start(store, engine, sweep)
    words, _ = process.communicate()
    rows = Store(store).rows()
    return Killings(
        rows=[(row.parameters["x"], row.parameters["seed"]) for row in rows],
        failed=sum(row.status == "failed" for row in rows),
        wrong=sum((row.result or {}).get("square") != row.parameters["x"] ** 2 for row in rows),
        orphans=orphans,
        runs=len(log.read_text(encoding="utf-8").splitlines()),
        kills=done,
        last_words=words,
    )


def main() -> None:
    engine, kills, seed = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        found = kill_and_resume(
            Path(folder), engine, kills=kills, seed=seed, x=60, seeds=kills, seconds=0.02
        )
    wanted = {(x, seed) for x in range(60) for seed in range(kills)}
    print(
        f"{engine}: {dict(found.kills)} killed; {len(found.rows)} rows of {len(wanted)} trials, "
        f"{len(wanted - set(found.rows))} lost, {len(found.rows) - len(set(found.rows))} doubled, "
        f"{found.failed} failed, {found.wrong} wrong, {found.orphans} orphaned; "
        f"{found.runs} begun, {time.monotonic() - began:.0f} s; last: {found.last_words.strip()}"
    )


if __name__ == "__main__":
    main()
