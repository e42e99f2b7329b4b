"""`python -m mimverify` in a folder of files that have the names of the standard library's."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import mimverify

ROOT = Path(mimverify.__file__).parents[1]


def python(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    # The package is found behind the current folder, as an installed one is.
    environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONSAFEPATH", "COLUMNS")}
    return subprocess.run(
        [sys.executable, "-B", *arguments],
        cwd=folder, env=environment | {"PYTHONPATH": str(ROOT)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip


@pytest.fixture
def hostile(tmp_path: Path) -> Path:
    """A folder with a file of each name that Python does not import by itself for `-m`."""
    package = tmp_path / "empty"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "__main__.py").write_text("import sys\nprint(*sys.modules)\n")
    by_itself = python(tmp_path, "-m", "empty").stdout.split()
    assert "runpy" in by_itself
    needed = {"numpy", "scipy", "torch", "hypothesis", "pytest", "click", "rich", "threadpoolctl"}
    for name in (set(sys.stdlib_module_names) | needed) - set(by_itself):
        (tmp_path / f"{name}.py").write_text(f"raise RuntimeError('{name}.py was executed')\n")
    assert len(list(tmp_path.iterdir())) > 200
    return tmp_path


def test_none_of_them_is_executed(hostile: Path) -> None:
    (hostile / "my_parts.py").write_text(
        "import random\n"
        "import mimverify\n"
        "bump = mimverify.Link('bump', 1, lambda z: z[:, 0] ** 2, 'z²')\n"
    )
    for arguments in (["--version"], ["--help"], ["inspect", "my_parts:bump", "--json", "-"]):
        done = python(hostile, "-m", "mimverify", *arguments)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "was executed" not in done.stdout + done.stderr


def test_what_the_user_asks_for_stays_on_the_path(tmp_path: Path) -> None:
    """The current folder may be one of PYTHONPATH's, too; under `-P` there is none to remove."""
    code = "import runpy, sys; before = sys.path[:]; sys.argv[1:] = ['--version']\n"
    code += "try: runpy.run_module('mimverify', run_name='__main__')\n"
    code += "except SystemExit: assert sys.path == before, sys.path"
    done = python(tmp_path, "-c", code)
    assert done.returncode == 0, done.stderr
    done = python(tmp_path, "-P", "-m", "mimverify", "--version")
    assert done.returncode == 0, done.stderr
    done = python(ROOT, "-m", "mimverify", "--version")
    assert done.returncode == 0, done.stderr
