"""The zoo: broken trainers on which the suite's power is measured.

Each is `Correct` with one thing wrong, in a file of its category: a module of this package that
says which, `CATEGORY = "…"`. A large category may be several files. All can be put on trial by
name: `mimverify check mimverify.zoo:Momentum`.
"""

from __future__ import annotations

import sys
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING

from mimverify.support.package_files import constant_in, modules_of, names_of_modules
from mimverify.support.unique_names import by_name
from mimverify.zoo.justified import JUSTIFIED
from mimverify.zoo.record import Mutant, broken, records_in

if TYPE_CHECKING:
    from mimverify.zoo.base import Correct, Task

    #: What can be wrong with a trainer of the zoo.
    CATEGORIES: tuple[str, ...]

__all__ = ["CATEGORIES", "JUSTIFIED", "Correct", "Mutant", "Task", "broken", "zoo"]


@cache
def _files() -> tuple[tuple[str, str], ...]:
    """The category and name of each module of mutants, in alphabetical order.

    Read without importing them: the mutants of a pack, which take `broken` from here, and the
    command line, which lists the categories, need none of what these do.
    """
    package = sys.modules[__name__]
    declared = (
        (constant_in(package, name, "CATEGORY"), name) for name in names_of_modules(package)
    )
    return tuple(sorted((found, name) for found, name in declared if isinstance(found, str)))


def zoo() -> tuple[Mutant, ...]:
    """All broken trainers, category by category.

    **Raises** `ImportError` for a file of mutants without a category, or two of one name.
    """
    in_order = [f"{__name__}.{name}" for _, name in _files()]
    found = {module.__name__: records_in(module) for module in modules_of(sys.modules[__name__])}
    for module, records in found.items():
        if records and module not in in_order:
            raise ImportError(f"{module}: has mutants: expected their category, CATEGORY = '…'")
    return tuple(by_name((module, each) for module in in_order for each in found[module]).values())


def __getattr__(name: str) -> object:
    """The categories, or a mutant's class by its name alone, whichever module it is in."""
    if name == "CATEGORIES":
        return tuple(dict.fromkeys(category for category, _ in _files()))
    if name in ("Correct", "Task"):
        return getattr(import_module(f"{__name__}.base"), name)
    if name.startswith("_"):  # what importing asks for
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    for mutant in zoo():
        if mutant.name == name:
            return mutant.trainer
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
