"""The suite beside plugins of pytest that users have."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

import mimverify
from mimverify.trial import suite_path
from mimverify.trial.claims.claim import load_claims
from mimverify.trial.claims.selection import matching

ROOT = Path(mimverify.__file__).parents[1]

needs_xdist = pytest.mark.skipif(
    importlib.util.find_spec("xdist") is None, reason="needs pytest-xdist"
)


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The suite under pytest, without other plugins than those that are named."""
    plain = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST_")}
    return subprocess.run(
        [sys.executable, "-m", "pytest", str(suite_path()), "-p", "no:cacheprovider", *arguments],
        cwd=folder, capture_output=True, text=True, check=False,
        env=plain | {"PYTHONPATH": str(ROOT), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
    )  # fmt: skip


@needs_xdist
def test_workers_of_xdist_try_the_claims_and_the_verdicts_are_shown_once(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        "from mimverify import LayerwiseTrainer\n"
        "class Trainer(LayerwiseTrainer):\n"
        "    def trajectory(self, *args, **options):\n"
        "        return super().trajectory(*args, **{**options, 'beta': 0.0})\n"
    )
    done = run(
        tmp_path, "-p", "xdist", "-n", "2", "--trainer", "mine:Trainer",
        "--claim", "gradient-step", "--claim", "weak-feedback",
    )  # fmt: skip
    assert done.returncode == 1, done.stdout + done.stderr
    assert done.stdout.count("Trial of mine:Trainer") == 1
    table = done.stdout[done.stdout.index("Trial of mine:Trainer") :]
    assert "gradient-step" in table.split("weak-feedback")[0]  # in the suite's order
    assert "AttributeError" not in done.stdout + done.stderr
    assert "AssertionError" not in done.stdout + done.stderr


@needs_xdist
@pytest.mark.parametrize(
    ("trainer", "words"),
    [
        (("--trainer", "nowhere:Trainer"), "there is no module 'nowhere'"),
        ((), "name the trainer under trial: --trainer module:attribute"),
    ],
)
def test_xdist_without_a_usable_trainer_says_so(
    tmp_path: Path, trainer: tuple[str, ...], words: str
) -> None:
    done = run(tmp_path, "-p", "xdist", "-n", "1", *trainer, "--claim", "weak-feedback")
    assert done.returncode != 0
    assert words in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr


def test_a_folder_of_hypothesis_that_cannot_be_written_is_not_needed(tmp_path: Path) -> None:
    (tmp_path / ".hypothesis").touch()  # a file: no permission hinders a superuser
    done = run(tmp_path, "--trainer", "numpy", "--claim", "weak-feedback")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 passed" in done.stdout
    assert "warning" not in done.stdout.lower()


@pytest.mark.parametrize(
    ("plugin", "options"),
    [
        ("pytest_asyncio.plugin", ("--asyncio-mode=strict",)),
        ("pytest_cov.plugin", ("--cov=mimverify", "--cov-report=")),
        ("pytest_randomly", ("--randomly-seed=1",)),
        ("pytest_rerunfailures", ("--reruns=1",)),
        ("pytest_timeout", ("--timeout=300",)),
    ],
)
def test_claims_are_tried_beside_other_plugins(
    tmp_path: Path, plugin: str, options: tuple[str, ...]
) -> None:
    """All are in the extra `test`; in an environment of one's own some may not be."""
    pytest.importorskip(plugin.partition(".")[0])
    done = run(tmp_path, "-p", plugin, *options, "--trainer", "numpy", "--claim", "arithmetic")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "passed" in done.stdout


@pytest.mark.parametrize(
    "expression",
    ["gradient-step", "gradient_step or trajectory", "gradient", "vanishing-error", "not power"],
)
def test_k_selects_as_the_command_does(tmp_path: Path, expression: str) -> None:
    """Not by names of files (test_gradient.py), and whatever the profile."""
    done = run(tmp_path, "--trainer", "numpy", "-k", expression, "--collect-only", "-q")
    found = {line.split("::")[1] for line in done.stdout.splitlines() if "::" in line}
    assert found == set(matching(expression, load_claims())), done.stdout + done.stderr


@needs_xdist
def test_workers_of_xdist_know_what_is_selected(tmp_path: Path) -> None:
    done = run(tmp_path, "-p", "xdist", "-n", "2", "--trainer", "numpy", "-k", "antisymmetry")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 passed" in done.stdout


def test_k_that_holds_for_nothing_says_so(tmp_path: Path) -> None:
    done = run(tmp_path, "--trainer", "numpy", "-k", "nothing-like-it")
    assert done.returncode == 4
    assert "-k 'nothing-like-it': holds for no claim" in done.stdout + done.stderr
