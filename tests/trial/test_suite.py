"""The suite itself: flat claims, imported once, collected by pytest as records."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import mimverify
from mimverify.trial import load_claims, suite_path
from mimverify.trial.claims.claim import claims_by_file

ROOT = Path(mimverify.__file__).parents[1]
LONGEST = 40  # lines of a claim's function


def functions() -> Iterator[tuple[Path, ast.FunctionDef]]:
    """Every function of the suite that is a claim."""
    for path in suite_path().glob("test_*.py"):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.FunctionDef) and any(
                isinstance(d, ast.Call) and isinstance(d.func, ast.Name) and d.func.id == "claim"
                for d in node.decorator_list
            ):
                yield path, node


def closures(node: ast.AST, depth: int = 0) -> int:
    """How deep functions are nested inside one."""
    inner = [0]
    for child in ast.iter_child_nodes(node):
        is_function = isinstance(child, (ast.FunctionDef, ast.Lambda))
        inner.append(closures(child) + is_function)
    return max(inner)


def test_claims_are_flat_and_short() -> None:
    found = list(functions())
    assert len(found) == len(load_claims())
    for path, node in found:
        place = f"{path.name}: {node.name}"
        assert [a.arg for a in node.args.args] == ["trial", "case"], place
        assert node.end_lineno is not None
        assert node.end_lineno - node.lineno < LONGEST, place
        # The run of a decision is one closure; none has another inside.
        assert max(closures(statement) for statement in node.body) <= 1, place


def test_claims_report_through_the_trial_alone() -> None:
    """No claim writes evidence, fails or tests hypotheses by itself."""
    for path in suite_path().glob("test_*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Attribute):
                assert node.attr not in ("evidence", "ledger", "loop", "refuted"), path
                # Private attributes could bypass the ledger.
                own = isinstance(node.value, ast.Name) and node.value.id == "self"
                private = node.attr.startswith("_") and not node.attr.endswith("__")
                assert own or not private, (path, node.attr)
            if isinstance(node, ast.Name):
                assert node.id not in ("ClaimFailed", "SequentialBinomial"), path
                assert node.id not in ("SequentialTwoSample", "uniformity_test"), path


def test_every_event_says_what_is_measured() -> None:
    for record in load_claims().values():
        for decision in record.decisions:
            assert getattr(decision, "quantity", "none needed"), (record.id, decision.name)


def test_every_claim_is_named_once() -> None:
    names = [node.name for _, node in functions()]
    assert len(set(names)) == len(names)
    assert sum(len(records) for records in claims_by_file().values()) == len(names)


@pytest.fixture
def probe(tmp_path: Path) -> Path:
    """A pytest plugin that writes down which modules came from the suite."""
    (tmp_path / "probe.py").write_text(
        "import json, sys, pytest\n"
        "from pathlib import Path\n"
        "def pytest_sessionfinish(session):\n"
        "    suite = str(Path(session.config.rootpath))\n"
        "    found = sorted(n for n, m in sys.modules.items()\n"
        "        if str(getattr(m, '__file__', '')).startswith(suite + '/test_'))\n"
        "    Path('modules.json').write_text(json.dumps(found))\n"
        "@pytest.hookimpl(trylast=True)\n"
        "def pytest_collection_finish(session):\n"
        "    print('collected', [i.nodeid for i in session.items],\n"
        "          [i.fixturenames for i in session.items][:1])\n"
    )
    return tmp_path


def test_pytest_collects_the_records_and_imports_no_file_again(probe: Path) -> None:
    import json

    done = subprocess.run(
        [sys.executable, "-m", "pytest", str(suite_path()), "-p", "no:cacheprovider", "-p", "probe",
         "--trainer", "numpy", "--claim", "weak-feedback", "-q", "-s"],
        cwd=probe, env=os.environ | {"PYTHONPATH": f"{ROOT}:{probe}"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 passed" in done.stdout
    assert "test_power_iteration.py::weak-feedback" in done.stdout
    assert "'trial'" in done.stdout  # the fixture is one of pytest's own
    modules = json.loads((probe / "modules.json").read_text())
    assert modules == sorted(f"_mimverify_suite_{path.stem}" for path in claims_by_file())


def test_one_claim_can_be_named_as_a_test(tmp_path: Path) -> None:
    path = suite_path() / "test_power_iteration.py"
    done = subprocess.run(
        [sys.executable, "-m", "pytest", f"{path}::weak-feedback", "-p", "no:cacheprovider",
         "--trainer", "numpy"],
        cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 passed" in done.stdout


def test_a_link_to_the_suite_is_the_suite(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(suite_path())
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "link", "-p", "no:cacheprovider", "--trainer", "numpy",
         "--claim", "weak-feedback"],
        cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert "1 passed" in done.stdout, done.stdout + done.stderr
