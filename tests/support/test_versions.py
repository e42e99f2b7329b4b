"""Tests of `mimverify.support.versions`: the versions in records come from one place."""

from __future__ import annotations

import ast
import platform
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import scipy

import mimverify
from mimverify.experiment.environment import library_versions
from mimverify.support.machine import machine_facts, process_facts
from mimverify.support.versions import software_versions

OURS = {"mimverify": mimverify.__version__, "python": platform.python_version()}

# Where the name `__version__` may stand: it is made, handed on and collected there.
COLLECTORS = {"__init__.py", "support/version.py", "support/versions.py"}


def test_ours_and_pythons_come_first() -> None:
    assert software_versions() == OURS
    versions = software_versions("scipy", "numpy")
    assert versions == {**OURS, "scipy": scipy.__version__, "numpy": np.__version__}
    assert list(versions) == ["mimverify", "python", "scipy", "numpy"]


def test_packages_without_a_version_or_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "silent", ModuleType("silent"))
    assert software_versions("silent")["silent"] == "unknown"
    with pytest.raises(ImportError, match="not_installed_anywhere"):
        software_versions("not_installed_anywhere")


def test_asking_for_what_is_imported_imports_nothing() -> None:
    program = (
        "import sys\n"
        "from mimverify.support.versions import software_versions\n"
        "assert 'torch' not in software_versions('numpy', if_imported=['torch'])\n"
        "assert 'torch' not in sys.modules\n"
        "import torch\n"
        "versions = software_versions('numpy', if_imported=['torch'])\n"
        "assert versions['torch'] == str(torch.__version__)\n"
        "assert list(versions) == ['mimverify', 'python', 'numpy', 'torch']\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_versions_in_records() -> None:
    computed = {"numpy": np.__version__, "scipy": scipy.__version__}
    torch = pytest.importorskip("torch")
    with_torch = {**computed, "torch": str(torch.__version__)}
    python = {"python": OURS["python"]}
    assert library_versions("numpy") == OURS | computed  # although Torch has been imported
    assert library_versions("torch") == OURS | with_torch
    assert process_facts([])["versions"] == python | computed
    assert process_facts(["torch"])["versions"] == python | with_torch
    assert machine_facts()["mimverify"] == OURS["mimverify"]


def test_nothing_else_collects_versions() -> None:
    package = Path(mimverify.__file__).parent
    for path in package.rglob("*.py"):
        place = path.relative_to(package).as_posix()
        if place in COLLECTORS or place.startswith("_properties/"):
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            read = {getattr(node, field, None) for field in ("attr", "id", "name", "value")}
            assert "__version__" not in read, f"{place}: software_versions() returns versions"
