"""A copy of the package with new files, one for each new thing of a known sort."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import mimverify

#: Laid out as the package is. Each is a file that a contributor would add.
NEW_FILES = Path(__file__).parent / "new_files"

#: Runs `python ARGUMENTS…` with the extended copy in place of the package.
Extended = Callable[..., "subprocess.CompletedProcess[str]"]


def overlay() -> list[Path]:
    """The new files, relative to the package's folder."""
    return sorted(path.relative_to(NEW_FILES) for path in NEW_FILES.rglob("*.py"))


@pytest.fixture(scope="session")
def extended_package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a copy of the package, in which all of `NEW_FILES` lie, and of properties."""
    source = Path(mimverify.__file__).parent
    folder = tmp_path_factory.mktemp("extended")
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(source, folder / "mimverify", ignore=ignored)
    shutil.copytree(source.parent / "properties", folder / "properties", ignore=ignored)
    for path in overlay():
        target = folder / "mimverify" / path
        assert not target.exists(), f"{path} is there already: it would not be a new file"
        assert target.parent.is_dir(), f"{path}: its folder is none of the package's"
        shutil.copy(NEW_FILES / path, target)
    return folder


@pytest.fixture
def extended(extended_package: Path, tmp_path: Path) -> Extended:
    """`extended("-m", "mimverify", "check", …)`: Python with the extended package."""

    def run(*arguments: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        environment = os.environ | {"PYTHONPATH": str(extended_package), "MIMVERIFY_CACHE": "off"}
        done = subprocess.run(
            [sys.executable, *arguments], env=environment, cwd=tmp_path, text=True,
            capture_output=True, check=False,
        )  # fmt: skip
        assert done.returncode == code, done.stdout + done.stderr
        return done

    return run
