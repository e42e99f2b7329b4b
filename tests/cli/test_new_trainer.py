"""`mimverify new-trainer`: what it writes runs, and passes."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
from click.testing import CliRunner

from mimverify import InputError
from mimverify.cli.app import app

#: What a kind needs, and a claim that its skeleton passes.
KINDS = {
    "numpy": ("numpy", "gradient-step"),
    "torch": ("torch", "gradient-step"),
    "jax": ("jax", "antisymmetry"),
    "sklearn": ("sklearn", "pointwise-prediction"),
    "process": ("numpy", "gradient-step"),
}


def run(*words: str) -> tuple[int, str]:
    done = CliRunner().invoke(app, words, standalone_mode=False, catch_exceptions=False)
    return done.return_value or 0, done.output


def test_every_kind_is_tried() -> None:
    with pytest.raises(Exception, match="is not one of") as refused:
        run("new-trainer", "mine", "--kind", "fortran")
    assert all(repr(kind) in str(refused.value) for kind in KINDS)
    assert str(refused.value).count("'") == 2 * len(KINDS) + 2


@pytest.mark.parametrize("kind", KINDS)
def test_the_skeleton_passes_at_once(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    needed, claim = KINDS[kind]
    if importlib.util.find_spec(needed) is None:
        pytest.skip(f"needs {needed}")
    monkeypatch.chdir(tmp_path)
    code, output = run("new-trainer", f"my_{kind}_trainer", "--kind", kind)
    assert code == 0
    assert f"next: mimverify check my_{kind}_trainer:Trainer" in output
    assert not any("NEW_TRAINER" in path.read_text() for path in tmp_path.iterdir())
    code, output = run("check", f"my_{kind}_trainer:Trainer", "--claim", claim)
    assert code == 0, output


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("my-trainer", "expected the name of a Python module"),
        ("random", "Python itself needs"),
        ("torch", "mimverify itself needs"),
        ("jax", "name"),
        ("taken", "'taken.py' exists already"),
        ("folder", "'folder' exists already"),
    ],
)
def test_a_wrong_name_is_refused(
    name: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "taken.py").touch()
    (tmp_path / "folder").mkdir()
    before = sorted(tmp_path.iterdir())
    with pytest.raises(InputError, match=words):
        run("new-trainer", name)
    assert sorted(tmp_path.iterdir()) == before
