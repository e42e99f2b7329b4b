"""The zoo: broken trainers on which the suite's power is measured.

Each is `Correct` with one thing wrong, in the module of its category. All can be put on
trial by name: `mimverify check mimverify.zoo:Momentum`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from mimverify.zoo.justified import JUSTIFIED
from mimverify.zoo.record import CATEGORIES, Mutant, broken, record_of

if TYPE_CHECKING:
    from mimverify.zoo.base import Correct, Task

__all__ = ["CATEGORIES", "JUSTIFIED", "Correct", "Mutant", "Task", "broken", "zoo"]

# Imported at their first use: the mutants of a pack, which take `broken` from here, need none of
# what these do.
_MODULES = (
    "update_rule",
    "use_of_data",
    "initialisation",
    "second_stage",
    "inside_fit",
    "numerics",
    "leakage",
    "off_by_one",
    "backend_specific",
    "arithmetic",
    "one_method",
    "memory",
    "state",
    "black_box",
    "sizes",
    "values",
    "structure",
)


def zoo() -> tuple[Mutant, ...]:
    """All broken trainers, module by module."""
    return tuple(
        record
        for module in (import_module(f"{__name__}.{name}") for name in _MODULES)
        for trainer in vars(module).values()
        if isinstance(trainer, type)
        and trainer.__module__ == module.__name__
        and (record := record_of(trainer)) is not None
    )


def __getattr__(name: str) -> type:
    """A mutant's class by its name alone, whichever module it is in."""
    if name in ("Correct", "Task"):
        found: type = getattr(import_module(f"{__name__}.base"), name)
        return found
    if name.startswith("_"):  # what importing asks for
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    for mutant in zoo():
        if mutant.name == name:
            return mutant.trainer
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
