"""What a contender is: a name, and a way to make the piece of work that is timed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from mimverify.performance.competitors.problem import Task


@dataclass(frozen=True)
class Run:
    """A piece of work, ready to be timed.

    **Arguments**

    - `call`: does it, again and again alike, and returns once it is done. A contender that
      computes the step returns the new weights `(m, d)`, an array that NumPy can read.
    - `steps`: steps of gradient descent that one call stands for; its time is divided by them.
    - `facts`: what is worth a record, in JSON's terms.
    - `note`: one line for people, or empty.
    """

    call: Callable[[], Any]
    steps: int = 1
    facts: Mapping[str, Any] = field(default_factory=dict)
    note: str = ""


@dataclass(frozen=True)
class Contender:
    """Something that takes a step of gradient descent, or is compared with one.

    **Arguments**

    - `name`: on the command line and in tables.
    - `about`: what is timed, one line.
    - `prepare`: makes the work from a `Task`, outside the clock; it imports what it needs.
    - `modules`: what has to be importable, top-level names.
    - `extra`: the extra of this package that brings these modules, or empty.
    - `products`: the contender whose two bare products are this one's measure, or empty.
    - `backend`: of the reference trainer, for those that are ours.
    - `computes_step`: whether `Run.call` returns the new weights.
    """

    name: str
    about: str
    prepare: Callable[[Task], Run]
    modules: tuple[str, ...] = ()
    extra: str = ""
    products: str = ""
    backend: str = ""
    computes_step: bool = True
