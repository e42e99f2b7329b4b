"""What the files of a package define: a new thing of a known sort is one new file, and in no list.

The files are looked up by the package's loader, so that they are found in archives too.
"""

from __future__ import annotations

import ast
import pkgutil
import re
from importlib import import_module
from importlib.abc import InspectLoader
from importlib.util import find_spec
from types import ModuleType
from typing import TypeVar

__all__ = [
    "constant_in",
    "docstring_in",
    "modules_of",
    "names_of_modules",
    "objects_in",
    "objects_with_modules",
]

_Kind = TypeVar("_Kind")


def names_of_modules(package: ModuleType) -> tuple[str, ...]:
    """Names of a package's modules in alphabetical order, without importing them.

    Packages within it count; names that begin with an underscore do not.
    """
    found = (module.name for module in pkgutil.iter_modules(package.__path__))
    return tuple(sorted(name for name in found if not name.startswith("_")))


def modules_of(package: ModuleType) -> tuple[ModuleType, ...]:
    """A package's modules, imported, in alphabetical order of their names."""
    return tuple(import_module(f"{package.__name__}.{name}") for name in names_of_modules(package))


def objects_in(package: ModuleType, kind: type[_Kind]) -> tuple[_Kind, ...]:
    """All instances of a class that the package's modules have under public names of their own.

    Module by module, in the order in which each defines them; an object that several modules
    have is listed once.
    """
    return tuple(value for _, value in objects_with_modules(package, kind))


def objects_with_modules(
    package: ModuleType, *kinds: type[_Kind], in_each: bool = False
) -> tuple[tuple[str, _Kind], ...]:
    """`objects_in` of any of these classes, each after the name of the module that it is from.

    **Raises** `ImportError` for a module without any, where one is expected `in_each`.
    """
    found: dict[int, tuple[str, _Kind]] = {}
    for module in modules_of(package):
        its = [
            value
            for name, value in vars(module).items()
            if isinstance(value, kinds) and not name.startswith("_")
        ]
        if in_each and not its:
            classes = " or ".join(kind.__name__ for kind in kinds)
            raise ImportError(
                f"{module.__name__}: expected an object of class {classes}, under a name that "
                "begins without an underscore"
            )
        for value in its:
            found.setdefault(id(value), (module.__name__, value))
    return tuple(found.values())


def constant_in(package: ModuleType, module: str, name: str) -> object | None:
    """The value of a constant that a package's module declares as `NAME = literal`, or None.

    The module is not imported, except where it has no source, as in an installation of byte code
    alone. **Raises** `ImportError` where the value is no literal.
    """
    source = _source_of(package, module)
    if source is None:
        return getattr(import_module(f"{package.__name__}.{module}"), name, None)
    line = re.compile(rf"^{name}\b", re.MULTILINE)
    for part in filter(line.search, _BEGINNINGS.split(source)):
        for node in _parsed(part, source).body:
            if (declared := _assigned(node, name)) is None:
                continue
            try:
                value: object = ast.literal_eval(declared)
            except ValueError:
                raise ImportError(
                    f"{package.__name__}.{module}: {name} = {ast.unparse(declared)}: expected a "
                    "literal, since it is read without importing the file"
                ) from None
            return value
    return None


def _assigned(node: ast.stmt, name: str) -> ast.expr | None:
    """What a statement assigns to this name; None if it does not."""
    if isinstance(node, ast.Assign | ast.AnnAssign):
        target = node.target if isinstance(node, ast.AnnAssign) else node.targets[0]
        return node.value if ast.unparse(target) == name else None
    return None


def docstring_in(package: ModuleType, module: str, name: str) -> str | None:
    """The docstring of a function or class of a package's module, which is not imported.

    None where it has none, or the module no source.
    """
    source = _source_of(package, module) or ""
    parts = _BEGINNINGS.split(source)
    start = re.compile(rf"(?:def|class) {name}\b")
    for node in _parsed(next(filter(start.match, parts), ""), source).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and node.name == name:
            return ast.get_docstring(node)
    return None


#: Where a function or class begins. Parsing the part of a file that is asked for, in place of all
#: of it, is most of the time that a list of verbs takes.
_BEGINNINGS = re.compile(r"^(?=(?:def|class) |@)", re.MULTILINE)


def _parsed(part: str, source: str) -> ast.Module:
    try:
        return ast.parse(part)
    except SyntaxError:  # a line within a text looked like a beginning
        return ast.parse(source)


def _source_of(package: ModuleType, module: str) -> str | None:
    spec = find_spec(f"{package.__name__}.{module}")
    if spec is None or not isinstance(spec.loader, InspectLoader):
        return None
    return spec.loader.get_source(spec.name)
