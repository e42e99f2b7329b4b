"""Methods by the names and orders of arrays that they had before the first release: refused."""

from __future__ import annotations

import inspect
from typing import NoReturn

__all__ = ["FORMER_NAMES", "no_attribute", "refusal", "refusal_of"]

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


def refusal_of(trainer: object) -> str:
    """Why a trainer whose method has its former name, or former order of arrays, is refused, or "".

    Only a function or method that takes what ours did, or may: another library's `features` (a
    module of layers, an array, a property) is no method of ours.
    """
    for name, new in FORMER_NAMES.items():
        current = new.partition("(")[0]
        order = _positional(trainer, current)
        if order[:2] == ["X", "y"]:
            return f"{current}(X, y, …): expected {new}, with its arrays in this order"
        if inspect.getattr_static(trainer, current, None) is not None:
            continue
        parameters = _parameters(trainer, name)
        ours = {"W0", "steps"} & {p.name for p in parameters}
        # One that takes anything may be ours where `step` is.
        anything = any(p.kind is p.VAR_KEYWORD for p in parameters)
        if ours or (anything and inspect.getattr_static(trainer, "step", None) is not None):
            return refusal(name)
    return ""


def _parameters(trainer: object, name: str) -> list[inspect.Parameter]:
    """Of a method, without `self`; none of anything else. Nothing of the trainer is executed."""
    method = inspect.getattr_static(trainer, name, None)
    if not inspect.isroutine(method):
        return []
    try:
        found = list(inspect.signature(method).parameters.values())
    except (TypeError, ValueError):  # compiled, without a signature
        return []
    return found[1:] if found and found[0].name == "self" else found


def _positional(trainer: object, name: str) -> list[str]:
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return [p.name for p in _parameters(trainer, name) if p.kind in kinds]
