"""The record of a mutant: what is wrong with it, and which claim is known to catch it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import TypeVar

from mimverify.support.errors import InputError
from mimverify.support.strict_json import Json

__all__ = ["Mutant", "broken", "records_in"]

_Trainer = TypeVar("_Trainer", bound=type)


@dataclass(frozen=True)
class Mutant:
    """A broken trainer.

    **Arguments**

    - `trainer`: its class.
    - `category`: what kind of thing is wrong, a few words: in the zoo the
      `CATEGORY` of its file.
    - `breaks`: what it gets wrong: a key of `mimverify.trial.claims.claim.CAPABILITIES`, or the
      name of a pack's own `Capability`.
    - `caught_by`: id of the claim that is known to catch it fastest in the quick profile;
      None for one that no claim is known to catch: a gap in the suite.
    - `only`: the only inputs on which it is wrong ("float32", "n ≤ d"); empty: on all.
    - `causes`: names of the rules (`mimverify.trial.diagnosis`) that describe what it does, any
      of which names its cause; empty: no rule does, so that no cause may be named.
    """

    trainer: type
    category: str
    breaks: str
    caught_by: str | None
    only: str = ""
    causes: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Name of the class."""
        return self.trainer.__name__

    @property
    def wrong(self) -> str:
        """What is wrong with it, one sentence."""
        return " ".join((self.trainer.__doc__ or "").split())

    @property
    def spec(self) -> str:
        """`"module:attribute"`, as `mimverify check` takes it."""
        return f"{self.trainer.__module__}:{self.name}"

    def to_json(self) -> Json:
        """A dictionary of strict JSON values."""
        return {
            "name": self.name,
            "trainer": self.spec,
            "category": self.category,
            "wrong": self.wrong,
            "breaks": self.breaks,
            "only": self.only or None,
            "caught_by": self.caught_by,
            "causes": list(self.causes),
        }


def broken(
    category: str | None = None,
    *,
    caught_by: str | None = None,
    breaks: str = "first layer",
    only: str = "",
    causes: tuple[str, ...] = (),
) -> Callable[[_Trainer], _Trainer]:
    """Record that a class, whose docstring says what is wrong with it, is a mutant.

    Arguments as of `Mutant`; without a category it is of its module's, `CATEGORY`. **Raises**
    `InputError` for a category without words, or none.
    """
    if category is not None:
        _check("category", category)

    def decorate(trainer: _Trainer) -> _Trainer:
        its = category
        if its is None:
            module = trainer.__module__
            its = _check(
                f"CATEGORY of {module}", getattr(sys.modules.get(module), "CATEGORY", None)
            )
        _RECORDS[trainer] = Mutant(trainer, its, breaks, caught_by, only, causes)
        return trainer

    return decorate


def _check(argument: str, category: object) -> str:
    if not isinstance(category, str) or not category.strip() or not category.isprintable():
        raise InputError(f"{argument}={category!r}: expected a few words")
    return category


_RECORDS: dict[type, Mutant] = {}


def records_in(module: ModuleType) -> tuple[Mutant, ...]:
    """Those of the classes that are defined there, in their order."""
    return tuple(
        _RECORDS[trainer]
        for trainer in vars(module).values()
        if isinstance(trainer, type)
        and trainer.__module__ == module.__name__
        and trainer in _RECORDS
    )
