"""Names of trainers that name none, and trainers of the running program."""

from __future__ import annotations

import subprocess
import sys
import types
from pathlib import Path

import pytest

import mimverify
from mimverify.handles.construction import load_source
from mimverify.handles.suggestions import meant_by
from mimverify.support.errors import InputError, TrainerError
from mimverify.trial.running.session import open_trainer
from mimverify.trial.running.settings import TrialSettings

ROOT = Path(mimverify.__file__).parents[1]
DEFINES = "import mimverify\nclass {}(mimverify.LayerwiseTrainer): pass\n"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A current directory with the module `learners`, of two trainers, and the package `nets`."""
    text = DEFINES.format("Alpha") + DEFINES.format("Beta") + "one = Alpha()\nnumber = 3\n"
    (tmp_path / "learners.py").write_text(text, encoding="utf-8")
    (tmp_path / "nets").mkdir()
    (tmp_path / "nets" / "__init__.py").write_text(DEFINES.format("Only"), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ("numpyy", "did you mean 'numpy'?"),
        ("toch", "did you mean 'torch'?"),
        ("Torch", "did you mean 'torch'?"),
        ("learners", "an attribute of that module, as 'learners:Trainer'?"),
        ("learners.py", "an attribute of that module, as 'learners:Trainer'?"),
        ("learners.Alpha", "did you mean 'learners:Alpha'?"),
        ("lerners:Alpha", "did you mean 'learners:Alpha'?"),
        ("net:Only", "did you mean 'nets:Only'?"),
        ("nothing_like_it:Alpha", ""),
        ("zzz", ""),
    ],
)
def test_near_names_are_suggested(here: Path, spec: str, expected: str) -> None:
    found = meant_by(spec, ("numpy", "torch"))
    assert expected in found
    assert bool(found) == bool(expected)


def test_the_trial_suggests(here: Path) -> None:
    for spec, expected in (("toch", "mean 'torch'"), ("learnes:Alpha", "mean 'learners:Alpha'")):
        with pytest.raises(TrainerError, match=expected) as caught:
            open_trainer(spec, call_seconds=5.0)
        assert caught.value.kind == "import"
        assert str(caught.value).count("did you mean") == 1


def test_trainers_of_a_module_are_named(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))
    try:
        with pytest.raises(TrainerError, match=r"trainers in 'learners': Alpha, Beta, one$"):
            load_source("learners:Zzzzz")
        with pytest.raises(TrainerError, match="did you mean 'Beta'"):
            load_source("learners:Betta")
        with pytest.raises(TrainerError, match="did you mean 'nets:Only'"):
            load_source("nets:Zzzzz")
    finally:
        for name in ("learners", "nets"):
            sys.modules.pop(name, None)


# --- trainers of the running program ---------------------------------------------------


@pytest.fixture
def session(monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    """The namespace of a notebook: a `__main__` without a file."""
    module = types.ModuleType("__main__")
    exec(DEFINES.format("Mine"), module.__dict__)
    monkeypatch.setitem(sys.modules, "__main__", module)
    return module


def test_a_trainer_of_a_notebook_runs_in_it(session: types.ModuleType) -> None:
    with pytest.warns(UserWarning, match="runs in this process.*name it 'mine:Mine'") as caught:
        report = mimverify.check("__main__:Mine", claims="antisymmetry")
    assert [warning.filename for warning in caught] == [__file__]
    (trainer,) = report.trainers
    assert (trainer.trainer, report.exit_code) == ("__main__:Mine", 0)
    # Another process could not repeat it by that name.
    assert "<module:attribute of __main__:Mine>" in trainer.verdicts[0].reproduce


@pytest.mark.parametrize(
    ("spec", "options", "expected"),
    [
        ("__main__:Mien", {}, "did you mean 'Mine'?.*write it to a file"),
        ("__main__:Other", {}, "did you mean '__main__:Mine'?.*write it to a file"),
        ("__main__:Mine", {"workers": 2}, "workers=2: .*write it to a file"),
    ],
)
def test_a_notebook_is_told_what_to_do(
    session: types.ModuleType, spec: str, options: dict[str, int], expected: str
) -> None:
    with pytest.raises((TrainerError, InputError), match=expected):
        mimverify.check(spec, settings=TrialSettings.of(claims="antisymmetry", **options))


def test_a_worker_says_whose_main_it_is() -> None:
    with pytest.raises(TrainerError, match="'__main__' is the program that runs the trial"):
        load_source("__main__:Mine")


@pytest.mark.parametrize("as_file", [True, False])
def test_a_script_is_told_its_own_name(tmp_path: Path, as_file: bool) -> None:
    text = DEFINES.format("Mine") + "mimverify.check('__main__:Mine', claims='one-pass')\n"
    (tmp_path / "training.py").write_text(text, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, *(["training.py"] if as_file else ["-c", text])],
        cwd=tmp_path, env={"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert ("'training:Mine'" if as_file else "'mine:Mine'") in done.stderr
