"""Which activations and losses an adapted trainer offers, and by which functions."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias, TypeVar

from mimverify.support.errors import InputError
from mimverify.support.validation import choice

__all__ = ["Function", "Offered", "offered", "takes"]

#: An activation or a loss of some array library.
Function: TypeAlias = Callable[..., object]
#: What a user says of activations or losses: names, or names with functions of theirs.
Offered: TypeAlias = Sequence[str] | Mapping[str, Function] | None

_Record = TypeVar("_Record")


def offered(
    argument: str,
    given: Offered,
    known: Mapping[str, _Record],
    built: Callable[[_Record], Function],
) -> dict[str, Function]:
    """A function for each name.

    **Arguments**

    - `given`: None for all that are known; names; or names with functions, which are taken as they
      are.
    - `known`: the registry.
    - `built`: the function of an entry of the registry.

    **Raises** `InputError` for an unknown name, or what is no function.
    """
    if given is None:
        return {name: built(record) for name, record in known.items()}
    if isinstance(given, str) or not isinstance(given, (Sequence, Mapping)) or not given:
        raise InputError(
            f"{argument}={given!r}: expected names, as in ['{next(iter(known))}'], or a "
            "dictionary of names and functions"
        )
    found: dict[str, Function] = {}
    for name in given:
        ours = choice(argument, name, known)
        function = given[name] if isinstance(given, Mapping) else built(known[ours])
        if not callable(function):
            raise InputError(f"{argument}[{name!r}]={function!r}: expected a function")
        found[ours] = function
    return found


def takes(function: Function, arguments: int) -> bool:
    """Whether a function can be called with so many arguments by position; True if unknown."""
    try:
        inspect.signature(function).bind(*range(arguments))
    except TypeError:
        return False
    except ValueError:  # one written in C has no signature
        return True
    return True
