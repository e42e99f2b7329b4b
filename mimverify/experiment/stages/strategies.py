"""The strategy of each design, found by the name of its file."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from importlib import import_module

from mimverify.experiment import designs
from mimverify.experiment.resolved import DESIGNS
from mimverify.experiment.stages.base import Stages

__all__ = ["designs_where", "stages_for"]


@cache
def stages_for(design: str) -> type[Stages]:
    """The strategy of one of `DESIGNS`, imported when it is first asked for.

    **Raises** `TypeError` for a file without a strategy of this name.
    """
    module = import_module(f"{designs.__name__}.{design.replace('-', '_')}")
    for kind in vars(module).values():
        if isinstance(kind, type) and issubclass(kind, Stages) and kind.name == design:
            return kind
    raise TypeError(f"{module.__name__}: expected a subclass of Stages with name={design!r}")


def designs_where(holds: Callable[[type[Stages]], bool]) -> str:
    """The designs of which something holds, as messages name them: `design='a' or 'b'`."""
    names = [repr(name) for name in DESIGNS if holds(stages_for(name))]
    return f"design={' or '.join(names)}"
