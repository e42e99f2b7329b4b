"""The package itself: what it offers, and what importing it costs."""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import mimverify


@pytest.mark.parametrize("name", mimverify.__all__)
def test_every_public_name_is_there(name: str) -> None:
    assert getattr(mimverify, name) is not None
    assert name in dir(mimverify)


def test_no_other_name_is() -> None:
    with pytest.raises(AttributeError, match="no attribute 'chekc'"):
        mimverify.chekc  # noqa: B018


def test_names_are_imported_when_they_are_asked_for() -> None:
    """A worker process needs no SciPy, and who trains on NumPy neither Torch nor Hypothesis."""
    program = (
        "import sys, mimverify, mimverify.handles.worker\n"
        "assert not {'scipy', 'hypothesis', 'torch'} & set(sys.modules)\n"
        "mimverify.numpy_trainer()\n"
        "assert not {'hypothesis', 'torch', 'pytest'} & set(sys.modules)\n"
        "mimverify.training.default_steps\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


@pytest.mark.skipif(shutil.which("make") is None, reason="needs make")
def test_make_and_ci_keep_what_python_compiles() -> None:
    """The set-up compiles nothing: without this each start of a process would, for seconds."""
    root, forbidden = Path(__file__).parents[1], "PYTHONDONTWRITEBYTECODE"
    done = subprocess.run(
        ["make", "--no-print-directory", "-f", "Makefile", "-f", "-", "shown"],
        cwd=root,
        env={**os.environ, forbidden: "1"},
        input="shown:\n\t@env\n",
        capture_output=True,
        text=True,
        check=True,
    )
    assert "PIP_DISABLE_PIP_VERSION_CHECK=1" in done.stdout  # the recipe saw what it exports
    assert forbidden not in done.stdout
    if (root / ".ci/run").is_file():  # the sdist has none
        lines = (root / ".ci/run").read_text(encoding="utf-8").splitlines()
        assert any(line.startswith(f"unset {forbidden}") for line in lines)


def fitted_attributes_set(tree: ast.AST) -> Iterator[str]:
    """Assignments to what fitting sets, a name with one underscore at its end, of anything but
    `self`; deletions are assignments too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and not isinstance(node.ctx, ast.Load):
            owner, name = ast.unparse(node.value), node.attr
        elif isinstance(node, ast.Call) and len(node.args) > 1 and _sets(node.func):
            owner, name = ast.unparse(node.args[0]), str(getattr(node.args[1], "value", ""))
        else:
            continue
        if name.endswith("_") and not name.endswith("__") and owner != "self":
            yield f"{owner}.{name}"


def _sets(function: ast.expr) -> bool:
    return ast.unparse(function).rpartition(".")[2].strip("_") in ("setattr", "delattr")


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("self.readout_ = other.readout_", []),
        ("self.trainer = trainer.readout", []),
        ("module.__name__ = 'a'", []),
        ("trainer.readout_ = 1", ["trainer.readout_"]),
        ("self.trainer.readout_ += 1", ["self.trainer.readout_"]),
        ("a, (b.network_, c) = d", ["b.network_"]),
        ("trainer.steps_: int = 3", ["trainer.steps_"]),
        ("for trainer.steps_ in x: pass", ["trainer.steps_"]),
        ("del trainer.readout_", ["trainer.readout_"]),
        ("setattr(trainer, 'readout_', 1)", ["trainer.readout_"]),
        ("object.__setattr__(trainer, 'readout_', 1)", ["trainer.readout_"]),
    ],
)
def test_forged_state_is_found(code: str, expected: list[str]) -> None:
    assert list(fitted_attributes_set(ast.parse(code))) == expected


def test_only_a_trainer_sets_what_fitting_sets() -> None:
    """Who forged it would have to know what else a trainer keeps, and when that changes."""
    for path in Path(mimverify.__file__).parent.rglob("*.py"):
        assert not list(fitted_attributes_set(ast.parse(path.read_text(encoding="utf-8")))), path
