"""What the files of a package define: a new thing of a known sort is one new file, and in no list.

The files are looked up by the package's loader, so that they are found in archives too.
"""

from __future__ import annotations

import pkgutil
from importlib import import_module
from types import ModuleType
from typing import TypeVar

__all__ = ["modules_of", "names_of_modules", "objects_in"]

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
    found: dict[int, _Kind] = {}
    for module in modules_of(package):
        for name, value in vars(module).items():
            if isinstance(value, kind) and not name.startswith("_"):
                found.setdefault(id(value), value)
    return tuple(found.values())
