"""The structure of the package: one-way imports, packages at its root, few `Any`."""

from __future__ import annotations

import ast
import re
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import mimverify

PACKAGE = Path(mimverify.__file__).parent
ROOT = PACKAGE.parent
#: Occurrences of the word `Any` in 1000 lines, each where a type would say less than a comment.
MOST_ANY = 2.5


def modules() -> dict[str, Path]:
    """Every module of the package by its dotted name."""
    found = {}
    for path in PACKAGE.rglob("*.py"):
        if "_properties" in path.parts:
            continue
        parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imports(path: Path, known: dict[str, Path]) -> set[str]:
    """Modules of the package that a file imports anywhere, those for type checkers included."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            within = [f"{node.module}.{alias.name}" for alias in node.names]
            names = [name if name in known else node.module for name in within]
        found |= {name for name in names if name in known}
    return found


def graph() -> dict[str, set[str]]:
    known = modules()
    return {name: imports(path, known) - {name} for name, path in known.items()}


def test_what_is_imported_later_exists() -> None:
    """Imports within functions too, which nothing but a call of the function would try."""
    known = modules()
    wrong = [
        f"{path.relative_to(ROOT)}:{node.lineno}: {name}"
        for path in known.values()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in (
            [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else [alias.name for alias in node.names]
        )
        if name.partition(".")[0] == "mimverify" and name not in known
    ]
    assert not wrong


def test_no_module_imports_itself_in_a_circle() -> None:
    try:
        list(TopologicalSorter(graph()).static_order())
    except CycleError as circle:
        pytest.fail(" -> ".join(circle.args[1]))


def test_no_package_imports_another_in_a_circle() -> None:
    """Of the packages at the root, and of those inside theory and trial."""

    def package(name: str) -> str:
        parts = name.split(".")
        inside = parts[1:2] in (["theory"], ["trial"]) and (PACKAGE / "/".join(parts[1:3])).is_dir()
        return ".".join(parts[1 : 3 if inside else 2])

    arrows: dict[str, set[str]] = {}
    for name, others in graph().items():
        if name.count(".") > 1 or (PACKAGE / name.partition(".")[2]).is_dir():
            own = package(name)
            reached = {package(other) for other in others} - {own, ""}
            # A package's __init__ gathers what lies in the folders below it.
            arrows.setdefault(own, set()).update(
                other
                for other in reached
                if not own.startswith(f"{other}.") and not other.startswith(f"{own}.")
            )
    try:
        list(TopologicalSorter(arrows).static_order())
    except CycleError as circle:
        pytest.fail(" -> ".join(circle.args[1]))


def test_the_root_shows_packages() -> None:
    files = {path.name for path in PACKAGE.iterdir() if path.is_file()}
    assert files == {"__init__.py", "__main__.py", "py.typed"}
    for folder in PACKAGE.rglob("*/"):
        if folder.is_dir() and any(folder.glob("*.py")) and "_properties" not in folder.parts:
            text = (folder / "__init__.py").read_text(encoding="utf-8")
            assert ast.get_docstring(ast.parse(text)), folder


def test_tests_mirror_the_package() -> None:
    folders = {path.name for path in PACKAGE.iterdir() if path.is_dir()} | {"fuzz", "extension"}
    for path in (ROOT / "tests").rglob("test_*.py"):
        if path.parent.name not in ("tests", "helpers"):
            assert path.parent.name in folders, path


def test_any_is_rare() -> None:
    texts = [path.read_text(encoding="utf-8") for path in modules().values()]
    count = sum(len(re.findall(r"\bAny\b", text)) for text in texts)
    lines = sum(text.count("\n") for text in texts)
    assert count <= MOST_ANY * lines / 1000, f"{count} times Any in {lines} lines: say the type"


#: Files that play the same part in several packages.
PARTS = {"base", "page", "progress", "registry", "report", "result", "run", "recorder", "worker"}
#: Packages whose files are named after what they serve in another one.
MIRRORS = (
    "mimverify.cli.",
    "mimverify.zoo.",
    "mimverify.strategies.",
    "mimverify.experiment.designs.",
    "mimverify.studies.",
    "mimverify.network.losses.named.",  # log-cosh is an activation too
)


def test_names_of_modules_are_not_used_twice() -> None:
    """Two files of one name in two packages are two things with one name."""
    seen: dict[str, str] = {}
    for name, path in modules().items():
        if path.stem in PARTS or path.stem in ("__init__", "__main__") or name.startswith(MIRRORS):
            continue
        assert path.stem not in seen, (name, seen.get(path.stem))
        seen[path.stem] = name
