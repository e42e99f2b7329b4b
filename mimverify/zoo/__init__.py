"""The zoo: broken trainers on which the suite's power is measured.

Each is `Correct` with one thing wrong, in the module of its category. All can be put on
trial by name: `mimverify check mimverify.zoo:Momentum`.
"""

from __future__ import annotations

from mimverify.zoo import (
    arithmetic,
    backend_specific,
    initialisation,
    leakage,
    numerics,
    off_by_one,
    second_stage,
    update_rule,
    use_of_data,
)
from mimverify.zoo.base import Correct, Task
from mimverify.zoo.justified import JUSTIFIED
from mimverify.zoo.record import CATEGORIES, Mutant, broken, record_of

__all__ = ["CATEGORIES", "JUSTIFIED", "Correct", "Mutant", "Task", "broken", "zoo"]

_MODULES = (
    update_rule,
    use_of_data,
    initialisation,
    second_stage,
    numerics,
    leakage,
    off_by_one,
    backend_specific,
    arithmetic,
)


def zoo() -> tuple[Mutant, ...]:
    """All broken trainers, module by module."""
    return tuple(
        record
        for module in _MODULES
        for trainer in vars(module).values()
        if isinstance(trainer, type)
        and trainer.__module__ == module.__name__
        and (record := record_of(trainer)) is not None
    )


def __getattr__(name: str) -> type[Correct]:
    """A mutant's class by its name alone, whichever module it is in."""
    for mutant in zoo():
        if mutant.name == name:
            return mutant.trainer
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
