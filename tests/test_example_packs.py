"""The packs in examples/: they need nothing private, and each verb takes them."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from importlib import import_module
from pathlib import Path

import pytest
from click.testing import CliRunner

import mimverify
from mimverify.cli.app import app
from mimverify.trial import PROFILES, Status, load_claim_set, locate_pack
from mimverify.zoo.of_set import mutants_of

ROOT = Path(mimverify.__file__).parents[1]
PACKS = sorted((ROOT / "examples").glob("*/*/claims.py"))
NAMES = [path.parent.name for path in PACKS]
#: What a claim author may import.
PUBLIC = {
    "mimverify", "mimverify.measure", "mimverify.network", "mimverify.problems",
    "mimverify.statistics", "mimverify.theory", "mimverify.training", "mimverify.trial",
    "mimverify.zoo",
}  # fmt: skip
#: Profiles cut claims off after seconds, which a busy machine spends on other things.
PATIENT = replace(PROFILES["quick"], seconds=3600.0)


@pytest.fixture(params=PACKS, ids=NAMES)
def claims(request: pytest.FixtureRequest) -> Iterator[Path]:
    """The file of a pack's claims."""
    yield request.param
    name = request.param.parent.name
    load_claim_set.cache_clear()
    for module in [m for m in sys.modules if m.partition(".")[0] == name]:
        del sys.modules[module]


def test_there_are_two_packs() -> None:
    assert NAMES == ["batch_reuse", "one_giant_step"]


def public_names(module: str) -> set[str]:
    return set(import_module(module).__all__)


def test_a_pack_imports_only_the_public_interface(claims: Path) -> None:
    files = [*claims.parent.glob("*.py"), *(ROOT / "mimverify/cli/skeleton").glob("*.py.txt")]
    imported = []
    for path in files:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and re.match(r"mimverify\b", node.module or ""):
                assert node.module in PUBLIC, (path.name, node.module)
                for alias in node.names:
                    assert alias.name in public_names(node.module), (path.name, alias.name)
                    imported.append(alias.name)
            elif isinstance(node, ast.Import):
                assert all(
                    alias.name in PUBLIC or not alias.name.startswith("mimverify")
                    for alias in node.names
                ), path.name
    assert "Pack" in imported
    assert "broken" in imported


def test_a_pack_is_complete(claims: Path) -> None:
    """Three claims or more, four mutants or more, each with a claim that is known to catch it."""
    claim_set = load_claim_set(locate_pack(claims))
    assert claim_set.about.source.startswith("https://arxiv.org/abs/")
    assert len(claim_set.claims) >= 3
    mutants = mutants_of(claim_set)
    assert len(mutants) >= 4
    assert all(mutant.wrong and mutant.caught_by for mutant in mutants)
    folder = claims.parents[1]
    readme = (folder / "README.md").read_text(encoding="utf-8")
    assert all(f"`{name}`" in readme for name in claim_set.claims)
    assert all(f"| {mutant.name} |" in readme for mutant in mutants)
    project = (folder / "pyproject.toml").read_text(encoding="utf-8")
    assert '[project.entry-points."mimverify.claims"]' in project
    assert f'= "{claims.parent.name}.claims"' in project


def test_the_reference_trainer_passes(claims: Path) -> None:
    (report,) = mimverify.check("numpy", pack=claims, profile=PATIENT).trainers
    assert {verdict.status for verdict in report.verdicts} == {Status.PASSED}, report.verdicts
    assert [v.id for v in report.verdicts] == list(load_claim_set(locate_pack(claims)).claims)


@pytest.mark.slow
def test_every_mutant_is_caught_by_the_claim_of_its_record(claims: Path, tmp_path: Path) -> None:
    words = ["power", "--fastest", "--claims", str(claims), "--json", str(tmp_path / "power.json")]
    done = CliRunner().invoke(app, words, standalone_mode=False, catch_exceptions=False)
    assert done.return_value == 0, done.output
    record = json.loads((tmp_path / "power.json").read_text())
    assert record["misnamed"] == {}


@pytest.mark.slow
def test_the_packs_own_tests_pass(claims: Path) -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"],
        cwd=claims.parents[1], capture_output=True, text=True, check=False,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert ran.returncode == 0, ran.stdout + ran.stderr


@pytest.mark.slow
def test_a_pack_keeps_its_levels(claims: Path) -> None:
    """At the levels .1 and .01 over 200 seeds; the probability of failing by chance is 1e-3."""
    words = ["calibrate", "--claims", str(claims), "--seeds", "200", "-n", "2"]
    done = CliRunner().invoke(app, words, standalone_mode=False, catch_exceptions=False)
    assert done.return_value == 0, done.output
