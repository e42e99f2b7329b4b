"""The backends, read from the files of mimverify that define them: nothing of it is imported."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any


def backend_names() -> tuple[list[str], list[str]]:
    """Those that need no extra of mimverify, and those that do and whose modules are there.

    Commits from before backends said what they need have the first alone.
    """
    found = {said["name"]: said for said in _classes() if "name" in said}
    required = sorted(name for name, said in found.items() if not said.get("extra"))
    optional = [
        name
        for name, said in found.items()
        if said.get("extra") and all(map(find_spec, said.get("modules", ())))
    ]
    return required, sorted(optional)


def _classes() -> Iterator[dict[str, Any]]:
    """What classes in the folder of backends say of themselves: their constants."""
    package = find_spec("mimverify")
    places = () if package is None else package.submodule_search_locations or ()
    for place in places:
        for path in sorted(Path(place, "backends").glob("*.py")):
            for node in ast.parse(path.read_bytes()).body:
                if isinstance(node, ast.ClassDef):
                    yield dict(_constants(node))


def _constants(node: ast.ClassDef) -> Iterator[tuple[str, Any]]:
    for line in node.body:
        if isinstance(line, ast.Assign) and isinstance(line.targets[0], ast.Name):
            try:
                yield line.targets[0].id, ast.literal_eval(line.value)
            except ValueError:  # computed
                continue
