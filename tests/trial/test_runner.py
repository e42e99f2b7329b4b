"""What lies around the processes of a trial, and how they end."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mimverify
from mimverify import LayerwiseTrainer
from mimverify.support.importing import REQUIREMENTS
from mimverify.trial import Status, load_claims
from mimverify.trial.running.session import Session

ROOT = Path(mimverify.__file__).parents[1]
TIMEOUT = 120.0  # s; generous, for slow machines

#: Modules of the standard library and others, which Python, pytest, the suite or a worker import.
NAMES = (
    "random", "queue", "json", "typing", "socket", "pickle", "signal", "tempfile", "threading",
    "pytest", "numpy", "scipy", "torch", "hypothesis", "mimverify", "click", "sympy", "attr",
    "sitecustomize", "conftest",
)  # fmt: skip

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
    assert done.returncode in (0, 1), done.stdout + done.stderr
    assert "Error" not in done.stderr
    assert marks(hostile) == []


def test_nor_in_a_replay(hostile: Path) -> None:
    (hostile / "wrong.py").write_text(
        "from mine import LayerwiseTrainer\n"
        "class Trainer(LayerwiseTrainer):\n"
        "    def features(self, *args, **options):\n"
        "        return super().features(*args, **{**options, 'beta': 0.0})\n"
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

    def features(self, *arrays: Any, **options: Any) -> Any:
        np.seterr(all="raise")
        with np.errstate(all="ignore"):
            return super().features(*arrays, **options)


def test_the_suite_computes_in_an_error_state_of_its_own(claim: str = "gradient-step") -> None:
    with np.errstate(all="raise"), Session(Careful, claims=claim) as session:
        verdict = session.verdict(load_claims()[claim])
        assert verdict.status is Status.PASSED, verdict.message
        assert np.geterr()["under"] == "raise"
