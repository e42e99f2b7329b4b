"""Runs that are killed at every system call that changes files: a script for tests.

`python killed_writers.py SCENARIO FOLDER` imports what the scenario needs, once, and forks a
process for k = 1, 2, … that ends by SIGKILL at the k-th such call, until one runs to its end.
After each, another fork checks what is left. The process that forks has a single thread.

Counted are what Python reports to audit hooks (files opened for writing, renamed, removed,
truncated; folders made) and `os.write` and `os.fsync`. A write is two points, before it and after
half of it. Nothing in the package writes otherwise: `test_killed_writers.py` sees to that.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import signal
import sys
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

_AUDITED = (
    "os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate", "os.link", "os.symlink",
)  # fmt: skip
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


class Points:
    """Counts the calls of this process and of no other, and kills it at the k-th; 0: never."""

    def __init__(self, kill_at: int) -> None:
        self.kill_at = kill_at
        self.seen: Counter[str] = Counter()
        self._write = os.write
        os.write = self._halved_write
        os.fsync = self._counted_fsync  # type: ignore[assignment]
        sys.addaudithook(self._audit)

    def _reached(self, name: str) -> bool:
        self.seen[name] += 1
        return self.seen.total() == self.kill_at

    def _pass(self, name: str) -> None:
        if self._reached(name):
            os.kill(os.getpid(), signal.SIGKILL)

    def _audit(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event in _AUDITED:
            self._pass(event)
        elif event == "open" and (arguments[2] or 0) & _WRITING and arguments[0] != os.devnull:
            self._pass("open")

    def _halved_write(self, descriptor: int, content: Any) -> int:
        self._pass("write")
        if self._reached("half a write"):
            self._write(descriptor, bytes(content)[: len(content) // 2])
            os.kill(os.getpid(), signal.SIGKILL)
        return self._write(descriptor, content)

    def _counted_fsync(self, descriptor: int) -> None:
        self._pass("fsync")  # not done: a kill leaves what the system holds, and disks are slow


def forked(act: Callable[[], None]) -> int:
    """The wait status of a fork that does this, silently unless it fails."""
    process = os.fork()
    if process == 0:
        code = 0
        try:
            act()
        except SystemExit as ended:
            code = int(ended.code or 0)
        except BaseException:
            traceback.print_exc()
            code = 1
        os._exit(code)
    return os.waitpid(process, 0)[1]


def kill_everywhere(act: Callable[[], None], check: Callable[[], None]) -> Counter[str]:
    """Kill `act` at each of its calls, and `check` what is left. **Returns** the calls by kind."""
    reading, writing = os.pipe()

    def whole() -> None:
        points = Points(0)
        try:
            act()
        finally:  # the command line exits
            points._write(writing, json.dumps(points.seen).encode())

    assert forked(whole) == 0
    os.close(writing)
    calls = Counter(json.loads(os.read(reading, 1 << 16)))
    os.close(reading)
    for kill_at in range(1, calls.total() + 1):

        def killed(kill_at: int = kill_at) -> None:
            Points(kill_at)
            act()

        status = forked(killed)
        assert os.WIFSIGNALED(status), f"at call {kill_at}: ended with status {status}"
        assert os.WTERMSIG(status) == signal.SIGKILL
        assert forked(check) == 0, f"killed at call {kill_at} of {dict(calls)}"
    return calls


def names(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


def visible(folder: Path) -> list[str]:
    """What is no partial file and no lock."""
    return [name for name in names(folder) if not name.endswith((".mimverify-part", ".lock"))]


# -- scenarios ---------------------------------------------------------------------------------


def checkpoint(folder: Path) -> Iterator[Counter[str]]:
    """A run, and one that resumes: what is left loads, and leads to equal measurements."""
    from mimverify.experiment.checkpoint import load_checkpoint
    from mimverify.experiment.config import ExperimentConfig
    from mimverify.experiment.run import run_experiment

    path = folder / "run.npz"
    settings: dict[str, Any] = {
        "dim": 6, "samples": 60, "neurons": 4, "readout_neurons": 8, "test_samples": 50,
        "threads": 1, "remove_linear_part": True,
    }  # fmt: skip

    def measured(steps: int, **options: Any) -> list[object]:
        found = run_experiment(ExperimentConfig("cos2z", steps=steps, **settings, **options))
        assert found.weights is None
        return [
            found.alignment, found.span_recovery, found.overlaps, found.principal_cosines,
            found.test_error, found.baselines,
        ]  # fmt: skip

    expected = measured(3)

    def resume() -> None:
        assert measured(3, checkpoint=str(path), resume=path.exists()) == expected
        assert names(folder) == ["run.npz"]
        assert load_checkpoint(path).state.step == 3

    def check() -> None:
        assert visible(folder) == (["run.npz"] if path.exists() else [])
        if path.exists():
            load_checkpoint(path)
        resume()

    def afresh() -> None:
        path.unlink(missing_ok=True)
        measured(3, checkpoint=str(path))

    yield kill_everywhere(afresh, check)

    def two_of_three() -> None:
        path.unlink(missing_ok=True)
        measured(1, checkpoint=str(path))

    assert forked(two_of_three) == 0
    old = path.read_bytes()

    def go_on() -> None:
        measured(3, checkpoint=str(path), resume=True)

    def check_old() -> None:
        step = load_checkpoint(path).state.step
        assert step >= 1
        assert step > 1 or path.read_bytes() == old
        resume()
        path.write_bytes(old)

    path.write_bytes(old)
    yield kill_everywhere(go_on, check_old)


def capsule(folder: Path) -> Iterator[Counter[str]]:
    """A folder of capsules is made and filled; each file in it loads."""
    from mimverify import LayerwiseTrainer
    from mimverify.trial import Session, load_claims
    from mimverify.trial.running import session as module
    from mimverify.trial.running.capsule import capsule_folder, load_capsule

    class NoDecay(LayerwiseTrainer):
        def trajectory(self, *args: Any, **options: Any) -> Any:
            return super().trajectory(*args, **{**options, "beta": 0.0})

    recorded: list[tuple[tuple[Any, ...], dict[str, Any]]] = []
    save = vars(module)["save_capsule"]
    vars(module)["save_capsule"] = lambda *a, **k: recorded.append((a, k))
    with Session(NoDecay, claims=["gradient-step"], capsules=folder / "first") as session:
        session.verdict(load_claims()["gradient-step"])
    ((_, *given), options), *others = recorded
    assert not others
    place = folder / "capsules"

    def act() -> None:
        save(capsule_folder(place) / "failure.npz", *given, **options)

    def check() -> None:
        if place.exists():
            found = visible(place)
            assert found in ([], ["failure.npz"])
            for name in found:
                assert load_capsule(place / name)[0].claim == "gradient-step"
        act()
        assert names(place) == ["failure.npz"]
        load_capsule(place / "failure.npz")
        (place / "failure.npz").unlink()
        place.rmdir()

    (folder / "first").rmdir()
    act()
    (place / "failure.npz").unlink()
    place.rmdir()
    yield kill_everywhere(act, check)


def command(
    folder: Path, arguments: list[str], outputs: Mapping[str, Callable[[Path], object]]
) -> Counter[str]:
    """A verb that writes files, killed where they are absent and where they are there already.

    **Arguments**

    - `outputs`: of each file, what reads it; equal for what two whole runs wrote.
    """
    from mimverify.cli.app import main

    def run() -> None:
        with contextlib.redirect_stdout(io.StringIO()):
            main(arguments)

    with contextlib.suppress(SystemExit):  # here, so that no fork imports anything
        run()
    new = {name: read(folder / name) for name, read in outputs.items()}
    old = dict.fromkeys(outputs, b"old")

    def reset(present: bool) -> None:
        for name in outputs:
            (folder / name).unlink(missing_ok=True)
            if present:
                (folder / name).write_bytes(old[name])

    def check(present: bool) -> None:
        for name, read in outputs.items():
            path = folder / name
            if not path.exists():
                assert not present, f"{name} is gone"
            elif path.read_bytes() != old[name]:
                assert read(path) == new[name]
        assert set(visible(folder)) <= set(before) | set(outputs)
        assert forked(run) == 0  # no lock is left that refuses it
        assert names(folder) == sorted({*before, *outputs})
        assert {name: read(folder / name) for name, read in outputs.items()} == new
        reset(present)

    before = [name for name in names(folder) if name not in outputs]
    total: Counter[str] = Counter()
    for present in (False, True):
        reset(present)
        total += kill_everywhere(run, lambda present=present: check(present))  # type: ignore[misc]
    return total


def arrays(path: Path) -> object:
    with np.load(path) as file:
        return {name: (file[name].dtype.str, file[name].tolist()) for name in sorted(file.files)}


def json_keys(path: Path) -> object:
    """A whole JSON text; the numbers in it may be times."""
    return sorted(json.loads(path.read_bytes()))


def claims(folder: Path) -> Iterator[Counter[str]]:
    """`claims --json --markdown`"""
    arguments = [
        "claims",
        "--json",
        str(folder / "a.json"),
        "--markdown",
        str(folder / "claims.md"),
    ]
    outputs = {"a.json": Path.read_bytes, "claims.md": Path.read_bytes}
    yield command(folder, arguments, outputs)


def train(folder: Path) -> Iterator[Counter[str]]:
    """`train --save --json`"""
    arguments = (
        f"train cos2z -d 6 -n 60 -T 2 -m 4 --threads 1 --test-samples 50 "
        f"--no-baselines --save {folder}/run.npz --json {folder}/run.json --quiet"
    ).split()
    yield command(folder, arguments, {"run.npz": arrays, "run.json": json_keys})


def fit(folder: Path) -> Iterator[Counter[str]]:
    """`fit --save --json`"""
    X = np.random.default_rng(0).standard_normal((60, 4))
    np.save(folder / "X.npy", X)
    np.save(folder / "y.npy", X[:, 0] ** 2)
    arguments = (
        f"fit {folder}/X.npy --labels {folder}/y.npy -T 2 -m 4 --threads 1 --readout-neurons 8 "
        f"--save {folder}/fit.npz --json {folder}/fit.json"
    ).split()
    yield command(folder, arguments, {"fit.npz": arrays, "fit.json": json_keys})


def journal(folder: Path) -> Iterator[Counter[str]]:
    """A journal is begun, filled, left and resumed: the records before the last are whole."""
    from mimverify.support.journal import Journal

    path, run = folder / "run.jsonl", {"seed": 3, "settings": {"profile": "quick"}}
    every: list[dict[str, object]] = [{"unit": k, "found": "µ" * 50} for k in range(4)]

    def fill(*, resume: bool) -> None:
        opened = Journal(path, "power", run, resume=resume)
        for record in every[len(opened.records) :]:
            opened.add(record)

    def left() -> list[dict[str, object]]:
        return Journal(path, "power", run, resume=True).records

    def afresh() -> None:
        path.unlink(missing_ok=True)
        fill(resume=False)

    def check(at_least: int = 0) -> None:
        assert visible(folder) == (["run.jsonl"] if path.exists() else [])
        found = left()
        assert found == every[: len(found)]
        assert len(found) >= at_least
        fill(resume=True)
        assert left() == every

    yield kill_everywhere(afresh, check)

    def torn() -> None:
        fill_two = Journal(path, "power", run, resume=False)
        for record in every[:2]:
            fill_two.add(record)
        with open(path, "ab") as file:
            file.write(b'{"unit": 2, "fou')

    path.unlink()
    torn()
    start = path.read_bytes()

    def go_on() -> None:
        fill(resume=True)

    def check_on() -> None:
        check(at_least=2)
        path.write_bytes(start)

    calls = kill_everywhere(go_on, check_on)
    assert calls["os.truncate"] == 1
    # Nothing is replaced where a run goes on; the first scenario has shown the rename.
    yield calls | Counter({"os.rename": 1})


SCENARIOS = {act.__name__: act for act in (checkpoint, capsule, claims, train, fit, journal)}

if __name__ == "__main__":
    os.fsync = lambda fd: None  # in the forks that check, too
    sys.stderr.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    print(json.dumps([dict(calls) for calls in SCENARIOS[sys.argv[1]](Path(sys.argv[2]))]))
