"""Packages whose names are imported when they are used.

A package that gathers its modules' names would import all of them for the sake of one. Its
`__init__.py` keeps those imports under `if TYPE_CHECKING:`, where type checkers and editors look,
and has them done one at a time:

    if TYPE_CHECKING:
        from package.module import name

    __getattr__, __dir__ = lazy_names(__name__, __file__)
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path

__all__ = ["lazy_names"]


def lazy_names(package: str, file: str) -> tuple[Callable[[str], object], Callable[[], list[str]]]:
    """`__getattr__` and `__dir__` of a package, from its own imports for type checkers."""
    defined_in = dict(_imported(ast.parse(Path(file).read_bytes())))

    def get(name: str) -> object:
        if name not in defined_in:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        module, original = defined_in[name]
        value = getattr(import_module(module), original)
        setattr(sys.modules[package], name, value)  # found at once from now on
        return value

    def names() -> list[str]:
        return sorted({*vars(sys.modules[package]), *defined_in})

    return get, names


def _imported(tree: ast.Module) -> Iterator[tuple[str, tuple[str, str]]]:
    for node in tree.body:
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            for line in node.body:
                if isinstance(line, ast.ImportFrom) and line.module and not line.level:
                    for alias in line.names:
                        yield alias.asname or alias.name, (line.module, alias.name)
