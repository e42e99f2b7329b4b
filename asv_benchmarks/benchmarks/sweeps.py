"""Time of a sweep on two workers relative to two processes with half of its trials each.

`python asv_benchmarks/benchmarks/sweeps.py [dask|processes] [TRIALS]` prints it with its parts.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import Any

_ROUNDS = 3
_WORKERS = 2
_ALONE = "--alone"  # the argument of an independent process
_FIXED = {
    "link": "cos2z", "dim": 256, "samples": 4096, "steps": 6, "neurons": 32,
    "readout_neurons": 64, "test_samples": 2000, "baselines": False,
}  # fmt: skip


def _sweep(name: str, first: int, count: int) -> Any:
    """Trials that take some tenths of a second; `first` keeps rounds apart."""
    from mimverify.sweeps import Sweep

    noises = [round(1e-3 * (first + k), 3) for k in range(count)]
    return Sweep(name, axes={"noise": noises}, fixed=_FIXED)


def _alone() -> None:
    """One of the independent processes: its trials, one after the other, once it is told to start.

    A process of this file: those of `multiprocessing` cannot import the module of a function of
    theirs where asv found it.
    """
    from mimverify.studies.trials import experiment
    from mimverify.sweeps.worker import run_trial

    texts = json.loads(sys.stdin.readline())
    run_trial("experiment", str(experiment.VERSION), texts[0])  # imports, first pages of memory
    print("ready", flush=True)
    sys.stdin.readline()
    for text in texts:
        run_trial("experiment", str(experiment.VERSION), text)
    print(time.perf_counter(), flush=True)


def _line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        raise RuntimeError(f"an independent process ended, exit {process.wait()}")
    return line


def _tell(process: subprocess.Popen[str], line: str) -> None:
    assert process.stdin is not None
    process.stdin.write(line + "\n")
    process.stdin.flush()


def independent_seconds(sweep: Any) -> float:
    """From a common start until the slower of two processes has run its half of the trials."""
    from mimverify.support.threads import environment, thread_environment
    from mimverify.sweeps.content_key import canonical_json

    texts = [canonical_json(trial.parameters) for trial in sweep.trials()]
    command = [sys.executable, __file__, _ALONE]
    with ExitStack() as stack, environment(**thread_environment(1)):
        processes = [
            stack.enter_context(
                subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            )
            for _ in range(_WORKERS)
        ]
        for k, process in enumerate(processes):
            _tell(process, json.dumps(texts[k::_WORKERS]))
        for process in processes:
            _line(process)
        began = time.perf_counter()
        for process in processes:
            _tell(process, "start")
        return max(float(_line(process)) for process in processes) - began


def sweep_seconds(sweep: Any, pool: Any) -> float:
    """The same trials as a sweep, each written to a store as it ends."""
    from mimverify.sweeps import Store, run_sweep

    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        result = run_sweep(sweep, Store(Path(folder) / "trials.sqlite"), executor=pool)
        seconds = time.perf_counter() - began
    if result.done != sweep.size:
        raise RuntimeError(f"{result.done} of {sweep.size} trials are done")
    return seconds


def relative_times(engine: str, trials: int) -> tuple[float, list[tuple[float, float]]]:
    """The start of the workers, then for each round the seconds of both, alternately."""
    from mimverify.sweeps import open_workers

    began = time.perf_counter()
    with open_workers(_WORKERS, engine=engine) as pool:
        sweep_seconds(_sweep("imports", 900, 2 * _WORKERS), pool)
        started = time.perf_counter() - began
        rounds = []
        for k in range(_ROUNDS):
            sweep = _sweep("timed", k * trials, trials)
            rounds.append((sweep_seconds(sweep, pool), independent_seconds(sweep)))
    return started, rounds


class SweepOverProcesses:
    """The median over rounds; 1/0.9 is an efficiency of 0.9."""

    params = (["dask", "processes"],)
    param_names = ("engine",)
    version = "1"
    timeout = 600
    unit = "ratio"

    def track_sweep(self, engine: str) -> float:
        _, rounds = relative_times(engine, 24)
        return median(sweep / alone for sweep, alone in rounds)


if __name__ == "__main__" and _ALONE in sys.argv:
    _alone()
elif __name__ == "__main__":
    chosen = sys.argv[1] if len(sys.argv) > 1 else "dask"
    count = int(sys.argv[2]) if len(sys.argv) > 2 else 60
    start_seconds, found = relative_times(chosen, count)
    for sweep_time, alone_time in found:
        print(
            f"{count} trials: sweep {sweep_time:.2f} s, two processes {alone_time:.2f} s, "
            f"efficiency {alone_time / sweep_time:.3f}"
        )
    share = median(alone_time / sweep_time for sweep_time, alone_time in found)
    print(f"{chosen}: efficiency {share:.3f}; the workers were ready after {start_seconds:.1f} s")
