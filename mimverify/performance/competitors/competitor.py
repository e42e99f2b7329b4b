"""A competitor: a name, and a function that prepares the call that is timed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, TypeAlias, get_args

from mimverify.performance.competitors.problem import Task
from mimverify.support.arrays import ArrayLike, FloatArray
from mimverify.support.strict_json import Json
from mimverify.support.validation import choice

Group: TypeAlias = Literal["ours", "products", "libraries", "eigen-solvers"]
#: The kinds of competitors, in the table's order.
GROUPS: tuple[Group, ...] = get_args(Group)

#: Two calls that do what is measured each time, and return once it is done.
Calls: TypeAlias = tuple[Callable[[], object], Callable[[], object]]


@dataclass(frozen=True)
class Run:
    """A call that is ready to be timed.

    **Arguments**

    - `call`: does the same work each time, and returns once it is done. A competitor that
      computes the step returns the new weights `(m, d)`, an array that NumPy can read.
    - `steps`: steps of gradient descent to which one call amounts; its time is divided by them.
    - `facts`: what is to be recorded, values of JSON.
    - `note`: one line for people, or empty.
    """

    call: Callable[[], ArrayLike]
    steps: int = 1
    facts: Json = field(default_factory=dict)
    note: str = ""


@dataclass(frozen=True)
class Competitor:
    """Something that takes a step of gradient descent, or is compared with one.

    **Arguments**

    - `name`: on the command line and in tables.
    - `about`: what is timed, one line.
    - `prepare`: makes the `Run` from a `Task`; it is not timed, and imports what it needs.
    - `modules`: what has to be importable, top-level names.
    - `extra`: the extra of this package that brings these modules, or empty.
    - `products`: the competitor that times the bare products of the same library, or empty.
    - `backend`: name of the reference trainer's backend, or empty for other libraries.
    - `computes_step`: whether `Run.call` returns the new weights.
    - `group`: its place in tables.
    - `peaks`: where its library's peak speeds bound the time of a step: from a square matrix A and
      a vector x, both of NumPy, the calls that multiply A with itself and that read x.
    - `on_device`: the same on a device that is named, where there are others than the CPU.

    **Raises** `InputError` for an unknown group.
    """

    name: str
    about: str
    prepare: Callable[[Task], Run]
    modules: tuple[str, ...] = ()
    extra: str = ""
    products: str = ""
    backend: str = ""
    computes_step: bool = True
    group: Group = "libraries"
    peaks: Callable[[FloatArray, FloatArray], Calls] | None = None
    on_device: Callable[[str], Competitor] | None = None

    def __post_init__(self) -> None:
        choice("group", self.group, GROUPS)
