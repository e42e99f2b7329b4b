"""A design is one file: found by its name, and no other module asks what its name is."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

import mimverify
import mimverify.designs
from mimverify.backends import get_backend
from mimverify.designs import CountedDesign, Design, ModelRows, StoredDesign, StreamedDesign
from mimverify.experiment import DESIGNS, ExperimentConfig, designs, designs_where, stages_for
from mimverify.experiment.stages import Stages, strategies
from mimverify.support.package_files import names_of_modules

PACKAGE = Path(mimverify.__file__).parent
#: Where a design may know which one it is, or which kind of array it was handed.
OWN = (PACKAGE / "designs", PACKAGE / "experiment" / "designs")
KINDS = {
    name for name, kind in vars(mimverify.designs).items()
    if isinstance(kind, type) and issubclass(kind, Design) and kind is not Design
}  # fmt: skip


def test_the_files_are_the_designs() -> None:
    assert DESIGNS == ("lazy", "sharded", "stored", "streamed")
    assert names_of_modules(designs) == DESIGNS
    assert ExperimentConfig.design in DESIGNS


@pytest.mark.parametrize("design", DESIGNS)
def test_the_page_says_what_it_is_for(design: str) -> None:
    page = (PACKAGE.parent / "docs" / "beyond-memory.md").read_text(encoding="utf-8")
    assert page.count(f"\n| `{design}` |") == 1


@pytest.mark.parametrize("design", DESIGNS)
def test_each_says_what_is_asked_of_it(design: str) -> None:
    stages = stages_for(design)
    assert (stages.name, stages.__module__) == (design, f"{designs.__name__}.{design}")
    assert stages.summary[-1].isalnum(), "a full stop is set where it is shown"
    for reason in (stages.gaussian_only, stages.not_resumable):
        assert not reason or "; use design=" in reason, "it says what to do instead"
    assert not stages.advice or stages.advice.startswith("; ")
    smaller, larger = (
        ExperimentConfig("cos2z", samples=samples, steps=4, design=design).resolved()
        for samples in (1000, 4000)
    )
    assert 0 < 3 * stages.first_layer_work(smaller) < stages.first_layer_work(larger)
    assert 0 < stages.memory(smaller).total < stages.memory(larger).total


def test_they_are_asked_for_by_what_they_say() -> None:
    assert designs_where(lambda stages: stages.distributed) == "design='sharded'"
    assert designs_where(lambda stages: stages.one_array) == "design='stored'"
    assert designs_where(lambda stages: not stages.distributed) == (
        "design='lazy' or 'stored' or 'streamed'"
    )


def test_a_file_of_another_design_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    misnamed = ModuleType(f"{designs.__name__}.mis_named")
    misnamed.Kind = type("Kind", (Stages,), {"name": "misnamed"})  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, misnamed.__name__, misnamed)
    with pytest.raises(TypeError, match=r"mis_named: expected a subclass.* name='mis-named'"):
        strategies.stages_for("mis-named")


# -- nobody else knows their names -----------------------------------------------------------


def branches(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Comparisons with names of designs, tables by them, and tests for their classes."""
    for node in ast.walk(tree):
        asked: list[ast.expr] = []
        if isinstance(node, ast.Compare):
            asked = [node.left, *node.comparators]
        elif isinstance(node, ast.Dict):
            asked = [key for key in node.keys if key is not None]
        elif isinstance(node, ast.MatchValue):
            asked = [node.value]
        elif isinstance(node, ast.Call) and getattr(node.func, "id", "") in (
            "isinstance",
            "issubclass",
        ):
            names = {
                part.id if isinstance(part, ast.Name) else getattr(part, "attr", "")
                for part in ast.walk(node.args[1])
            }
            if names & KINDS:
                yield node.lineno, ast.unparse(node)
        for part in asked:
            within = ast.walk(part) if isinstance(part, ast.Tuple | ast.List | ast.Set) else [part]
            if any(isinstance(one, ast.Constant) and one.value in DESIGNS for one in within):
                yield part.lineno, ast.unparse(node)[:80]
                break


def test_the_search_finds_what_it_is_for() -> None:
    text = """
if config.design != "lazy": pass
if (design, backend) == ("stored", "numpy"): pass
if design in {"stored", "streamed"}: pass
kinds = {"sharded": 1}
match design:
    case "lazy": pass
isinstance(X, StoredDesign)
issubclass(kind, (int, designs.StreamedDesign))
"""
    assert [line for line, _ in sorted(branches(ast.parse(text)))] == [2, 3, 4, 5, 7, 8, 9]
    free = """
if design == name: pass
for design in ("stored", "lazy"): pass
isinstance(X, Design)
"""
    assert not list(branches(ast.parse(free)))


def test_no_module_branches_on_the_name_of_a_design() -> None:
    found = [
        f"{path.relative_to(PACKAGE)}:{line}: {text}"
        for path in PACKAGE.rglob("*.py")
        if not any(path.is_relative_to(folder) for folder in OWN)
        and "_properties" not in path.parts
        for line, text in branches(ast.parse(path.read_text(encoding="utf-8")))
    ]
    assert not found, "say it in the class of the design, and ask that"


# -- what they offer ---------------------------------------------------------------------------


def test_only_a_whole_array_is_handed_out() -> None:
    model = mimverify.MultiIndexModel("cos2z", dim=5, seed=0)
    X = model.sample(30).X
    for name in ("numpy", "torch"):
        backend = get_backend(name, "float64")
        held = StoredDesign(X, backend).stored_inputs()
        np.testing.assert_array_equal(held, X)
        assert isinstance(held, np.ndarray)
        assert StreamedDesign(ModelRows(model, 30), backend).stored_inputs() is None
    assert StoredDesign(X, get_backend("numpy", "float64")).stored_inputs() is X
    assert CountedDesign(StoredDesign(X, get_backend("numpy", "float64"))).stored_inputs() is None
