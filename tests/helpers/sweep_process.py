"""A coordinator in a process of its own: it runs `sweep_trials:square` for x = 0 … X − 1.

`python sweep_process.py STORE ENGINE X SEEDS SECONDS LOG`, on two workers.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import mimverify
from mimverify.sweeps import Store, Sweep, run_sweep

HERE = Path(__file__).parent


def squares(x: int, seeds: int, seconds: float, log: str) -> Sweep:
    return Sweep(
        "squares",
        kind="sweep_trials:square",
        axes={"x": list(range(x))},
        fixed={"seconds": seconds, "log": log},
        seeds=seeds,
    )


def start(store: Path, engine: str, sweep: Sweep) -> subprocess.Popen[str]:
    """Start one; it is the leader of a session of its own."""
    path = [str(HERE), str(Path(mimverify.__file__).parents[1]), os.environ.get("PYTHONPATH", "")]
    fixed = sweep.fixed
    return subprocess.Popen(
        [
            sys.executable, "-W", "error", __file__, str(store), engine,
            str(len(sweep.axes["x"])), str(sweep.seeds), str(fixed["seconds"]), str(fixed["log"]),
        ],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, path))},
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True,
    )  # fmt: skip


def children(process: int) -> list[int]:
    """The processes that a process has started, and theirs."""
    found: list[int] = []
    for file in Path(f"/proc/{process}/task").glob("*/children"):
        try:
            own = [int(child) for child in file.read_text().split()]
        except OSError:
            continue
        for child in own:
            found += [child, *children(child)]
    return found


def workers(process: int) -> list[int]:
    """Those that run trials: what multiprocessing keeps an eye on its files with is none."""
    found = []
    for child in children(process):
        try:
            command = Path(f"/proc/{child}/cmdline").read_bytes()
        except OSError:
            continue
        if b"resource_tracker" not in command:
            found.append(child)
    return found


def main() -> None:
    store, engine, x, seeds, seconds, log = sys.argv[1:]
    sweep = squares(int(x), int(seeds), float(seconds), log)
    result = run_sweep(sweep, Store(store), workers=2, engine=engine)
    print(f"done {result.done}, failed {result.failed}, missing {result.missing}")


if __name__ == "__main__":
    main()
