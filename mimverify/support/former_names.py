"""Methods by names that they had before the first release: refused, with the new name."""

from __future__ import annotations

import inspect
from typing import NoReturn

__all__ = ["FORMER_NAMES", "former_name", "no_attribute", "refusal"]

#: What each method is called now, and how; before, arrays came in another order as well.
FORMER_NAMES = {
    "features": "trajectory(W0, a, b, X, y, *, steps, eta, beta, activation, loss)",
}


def refusal(name: str) -> str:
    """What to say where a method is offered, or asked for, by its former name."""
    return f"{name}() is called {FORMER_NAMES[name]} now, with its arrays in this order"


def no_attribute(owner: object, name: str) -> NoReturn:
    """The end of a `__getattr__`: **raises** `AttributeError`, with the new name of a method."""
    if name in FORMER_NAMES:
        raise AttributeError(refusal(name))
    raise AttributeError(f"{type(owner).__name__!r} object has no attribute {name!r}")


def former_name(trainer: object) -> str | None:
    """The former name by which `trainer` offers a method that it does not have by its new one.

    Only a function or method that takes what ours did, or may: another library's `features` (a
    module of layers, an array) is no method of ours.
    """
    for name, new in FORMER_NAMES.items():
        method = getattr(trainer, name, None)
        if callable(getattr(trainer, new.partition("(")[0], None)):
            continue
        if not inspect.isroutine(method):
            continue
        try:
            parameters = inspect.signature(method).parameters.values()
        except (TypeError, ValueError):  # compiled, without a signature
            continue
        open_ended = any(p.kind is p.VAR_KEYWORD for p in parameters)
        if open_ended or {"W0", "steps"} & {p.name for p in parameters}:
            return name
    return None
