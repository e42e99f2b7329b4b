"""What lies around the processes of a trial, and how they end."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mimverify
from mimverify import LayerwiseTrainer
from mimverify.support.importing import REQUIREMENTS
from mimverify.trial import Status, load_claims
from mimverify.trial.running.scratch_folder import scratch_folder
from mimverify.trial.running.session import Session
from processes import is_running, wait_until

ROOT = Path(mimverify.__file__).parents[1]
TIMEOUT = 120.0  # s; generous, for slow machines

#: Modules of the standard library and others, which Python, pytest, the suite or a worker import.
NAMES = (
    "random", "queue", "json", "typing", "socket", "pickle", "signal", "tempfile", "threading",
    "pytest", "numpy", "scipy", "torch", "hypothesis", "mimverify", "click", "sympy", "attr",
    "sitecustomize", "conftest",
)  # fmt: skip

HANGS = """
import os, time
from mimverify import LayerwiseTrainer

class Trainer(LayerwiseTrainer):
    def trajectory(self, *args, **options):
        with open("busy.part", "w") as stream:
            stream.write(f"{os.getpid()} {os.getppid()}")
        os.rename("busy.part", "busy")
        time.sleep(600)
"""

TRAINER = """
import random
from beside import LayerwiseTrainer

class Trainer(LayerwiseTrainer):
    pass
"""


@pytest.fixture
def hostile(tmp_path: Path) -> Path:
    """A folder with a trainer, its helper, and files named like modules that others need."""
    folder = tmp_path / "hostile"
    (folder / "package").mkdir(parents=True)
    for name in NAMES:
        mark = f"open({str(tmp_path / 'marks')!r}, 'a').write({name!r} + '\\n')\n"
        (folder / f"{name}.py").write_text(f"{mark}raise RuntimeError('mine')\n")
    (folder / "mine.py").write_text(TRAINER)
    (folder / "package" / "__init__.py").write_text("")
    (folder / "package" / "train.py").write_text(TRAINER)
    (folder / "beside.py").write_text("from mimverify import LayerwiseTrainer\n")
    return folder


def run(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """The command line as its script starts it: with the script's folder on the path."""
    script = folder.parent / "script" / "start.py"
    script.parent.mkdir(exist_ok=True)
    script.write_text("from mimverify.cli import main\nif __name__ == '__main__':\n    main()\n")
    return subprocess.run(
        [sys.executable, str(script), *arguments], cwd=folder, capture_output=True, text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)} | environment, timeout=TIMEOUT, check=False,
    )  # fmt: skip


def marks(folder: Path) -> list[str]:
    """The files of the folder that were executed."""
    path = folder.parent / "marks"
    return path.read_text().split() if path.exists() else []


@pytest.mark.parametrize("trainer", ["numpy", "mine:Trainer", "package.train:Trainer"])
def test_no_file_of_the_current_folder_replaces_a_module(hostile: Path, trainer: str) -> None:
    done = run(hostile, "check", trainer, "--claim", "weak-feedback")
    assert done.returncode == 0, done.stdout + done.stderr
    assert marks(hostile) == []


def test_pythonpath_is_kept_for_the_trainer(hostile: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (hostile / "beside.py").rename(other / "beside.py")
    path = os.pathsep.join([str(ROOT), str(other)])
    (hostile / "first.py").write_text(
        "import os\n"
        "from mine import Trainer\n"
        f"assert os.environ['PYTHONPATH'] == {path!r}\n"
        "assert 'PYTHONSAFEPATH' not in os.environ\n"
    )
    done = run(hostile, "check", "first:Trainer", "--claim", "weak-feedback", PYTHONPATH=path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert marks(hostile) == []


@pytest.mark.parametrize(
    "arguments",
    [
        ("calibrate", "mine:Trainer", "--claim", "single-neuron", "--seeds", "1", "-n", "1"),
        ("power", "--mutant", "NoWeightDecay", "--fastest"),
    ],
)
def test_nor_in_the_processes_of_other_commands(hostile: Path, arguments: tuple[str, ...]) -> None:
    done = run(hostile, *arguments)
    assert done.returncode in (0, 1, 3), done.stdout + done.stderr  # a seed shows nothing: 3
    assert "Error" not in done.stderr
    assert marks(hostile) == []


def test_nor_in_a_replay(hostile: Path) -> None:
    (hostile / "wrong.py").write_text(
        "from mine import LayerwiseTrainer\n"
        "class Trainer(LayerwiseTrainer):\n"
        "    def trajectory(self, *args, **options):\n"
        "        return super().trajectory(*args, **{**options, 'beta': 0.0})\n"
    )
    done = run(hostile, "check", "wrong:Trainer", "--claim", "gradient-step", "--capsules", "kept")
    (capsule,) = (hostile / "kept").iterdir()
    done = run(hostile, "replay", str(capsule))
    assert "It fails as it did." in done.stdout, done.stdout + done.stderr
    assert marks(hostile) == []


@pytest.mark.parametrize("name", NAMES[:12])
def test_a_trainer_with_the_name_of_a_needed_module_is_refused(
    hostile: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mimverify.support.errors import InputError
    from mimverify.support.importing import load_attribute

    monkeypatch.chdir(hostile)
    needed = "mimverify" if name in REQUIREMENTS else "Python"
    with pytest.raises(InputError) as refused:
        load_attribute("trainer", f"{name}:Trainer")
    assert str(refused.value) == (
        f"trainer='{name}:Trainer': '{name}.py' of the current directory has the name of a module "
        f"that {needed} itself needs; rename it"
    )
    assert marks(hostile) == []


def test_such_a_refusal_is_wrong_input(hostile: Path) -> None:
    done = run(hostile, "check", "random:Trainer", "--claim", "weak-feedback")
    assert done.returncode == 2, done.stdout + done.stderr
    assert done.stderr.count("\n") == 1
    assert "'random.py' of the current directory has the name of a module" in done.stderr


def test_every_dependency_of_the_project_is_a_requirement() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    names = {text.split(">")[0].replace("-", "_") for text in project["dependencies"]}
    assert names <= set(REQUIREMENTS)


class Careful(LayerwiseTrainer):
    """Correct, and raises where NumPy's arithmetic underflows outside its own."""

    def trajectory(self, *arrays: Any, **options: Any) -> Any:
        np.seterr(all="raise")
        with np.errstate(all="ignore"):
            return super().trajectory(*arrays, **options)


def test_the_suite_computes_in_an_error_state_of_its_own() -> None:
    with np.errstate(all="raise"), Session(Careful, claims="gradient-step") as session:
        verdict = session.verdict(load_claims()["gradient-step"])
        assert verdict.status is Status.PASSED, verdict.message
        assert np.geterr()["under"] == "raise"


# -- the end of a trial ------------------------------------------------------------------------


@contextlib.contextmanager
def hanging(folder: Path, code: str = "") -> Iterator[subprocess.Popen[str]]:
    """A run whose trainer is in a call that lasts, started with `code` before it."""
    (folder / "hangs.py").write_text(HANGS)
    (folder / "kept").mkdir()
    script = f"import sys\n{code}\nfrom mimverify.cli import main\nmain(sys.argv[1:])"
    child = subprocess.Popen(
        [sys.executable, "-c", script, "check", "hangs:Trainer", "--claim", "gradient-step",
         "--time-limit", "500", "--json", "report.json"],
        cwd=folder, env=os.environ | {"PYTHONPATH": str(ROOT), "TMPDIR": str(folder / "kept")},
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert wait_until((folder / "busy").exists, TIMEOUT)
        yield child
    finally:
        child.kill()
        child.communicate()


@pytest.mark.skipif(not Path("/proc/self/stat").is_file(), reason="needs Linux")
def test_a_run_that_is_killed_leaves_no_process_and_no_folder_for_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with hanging(tmp_path) as child:
        processes = [int(word) for word in (tmp_path / "busy").read_text().split()]
        assert all(map(is_running, processes))
        child.kill()
        child.wait()
        assert wait_until(lambda: not any(map(is_running, processes)), TIMEOUT)  # worker and suite
    (left,) = (tmp_path / "kept").iterdir()
    assert left.name.startswith(f"mimverify-{child.pid}-")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "kept"))
    with scratch_folder() as own:
        assert not left.exists()
        assert own.is_dir()
        with scratch_folder():
            assert own.is_dir()
    assert not own.exists()


def test_other_folders_are_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    dead = subprocess.Popen([sys.executable, "-S", "-c", ""])
    dead.wait()
    kept = [
        tmp_path / name for name in ("mimverify-", "mimverify-cache", f"mimverify-{os.getpid()}-a")
    ]
    used = tmp_path / f"mimverify-{dead.pid}-used"  # by a process of another container
    for folder in (*kept, used):
        folder.mkdir()
        (folder / "file").touch()
    link = tmp_path / f"mimverify-{dead.pid}-link"
    link.symlink_to(kept[1])
    descriptor = os.open(used, os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_SH)
    try:
        with scratch_folder():
            assert all((folder / "file").exists() for folder in (*kept, used, link))
    finally:
        os.close(descriptor)
    with monkeypatch.context() as patch:
        another = os.geteuid() + 1
        patch.setattr(os, "geteuid", lambda: another)
        with scratch_folder():
            assert used.exists()
    with scratch_folder():
        assert not used.exists()


def test_a_run_in_the_background_ends_on_sigterm(tmp_path: Path) -> None:
    """A shell starts it with SIGINT ignored, by which the suite is asked to end."""
    code = (
        "import signal\n"
        "signal.signal(signal.SIGINT, signal.SIG_IGN)\n"
        "from mimverify.trial.running import runner\n"
        f"runner._GRACE_PERIOD = {10 * TIMEOUT}"  # the suite is not killed: it has to end itself
    )
    with hanging(tmp_path, code) as child:
        child.send_signal(signal.SIGTERM)
        _, complaint = child.communicate(timeout=TIMEOUT)
    assert child.returncode == 128 + signal.SIGTERM
    assert complaint.strip() == "Error: interrupted"
    assert json.loads((tmp_path / "report.json").read_text())["interrupted"] is True
    assert not any(map(is_running, map(int, (tmp_path / "busy").read_text().split())))
    assert not list((tmp_path / "kept").iterdir())
