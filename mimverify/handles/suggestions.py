"""What a user may have meant by a name of a trainer that names none."""

from __future__ import annotations

import difflib
import os
import sys
from collections.abc import Iterable

from mimverify.handles.capabilities import methods_of
from mimverify.support.errors import MimverifyError

__all__ = ["meant_by"]

_NEAR = 0.6
_SHOWN = 4  # names of a module that are listed


def meant_by(spec: str, known: Iterable[str] = ()) -> str:
    """What to add to the message that `spec` is no `"module:attribute"`: `"; did you mean …?"`,
    or "".

    Nothing is imported: modules that are loaded already are looked at.

    **Arguments**

    - `known`: names that stand alone, such as `"numpy"`.
    """
    module, colon, attribute = spec.partition(":")
    if not colon:
        close = difflib.get_close_matches(spec.lower(), list(known), n=1, cutoff=_NEAR)
        if close:
            return f"; did you mean {close[0]!r}?"
        if spec in sys.modules or _is_here(spec):
            return _of_module(spec)
        owner, dot, name = spec.rpartition(".")
        if dot and owner and name.isidentifier() and name != "py":
            return f"; did you mean '{owner}:{name}'?"
        stem = spec.removesuffix(".py")
        return _of_module(stem) if stem != spec and _is_here(stem) else ""
    if module in sys.modules:
        return "" if hasattr(sys.modules[module], attribute) else _of_module(module)
    close = difflib.get_close_matches(module, _modules_here(), n=1, cutoff=_NEAR)
    return f"; did you mean '{close[0]}:{attribute}'?" if close and close[0] != module else ""


def _of_module(module: str) -> str:
    """The trainers in a module, if it is loaded."""
    offered = _trainers_of(module)
    if len(offered) == 1:
        return f"; did you mean '{module}:{offered[0]}'?"
    if offered:
        more = ", …" if len(offered) > _SHOWN else ""
        return f"; trainers in {module!r}: {', '.join(offered[:_SHOWN])}{more}"
    if module in sys.modules:
        return ""
    return f"; did you mean an attribute of that module, as '{module}:Trainer'?"


def _trainers_of(module: str) -> list[str]:
    """Public names of a loaded module's own classes and instances with methods of a trainer."""
    found = []
    for name, value in list(vars(sys.modules[module]).items() if module in sys.modules else ()):
        if name.startswith("_"):
            continue
        kind = value if isinstance(value, type) else type(value)
        try:
            if getattr(kind, "__module__", None) == module and methods_of(value):
                found.append(name)
        except MimverifyError:  # a property that raises: of the user's code
            continue
    return found


def _modules_here() -> list[str]:
    """Modules and packages of the current directory."""
    try:
        entries = sorted(os.scandir(), key=lambda entry: entry.name)
    except OSError:  # it was deleted
        return []
    files = [entry.name[:-3] for entry in entries if entry.name.endswith(".py")]
    return files + [each.name for each in entries if os.path.isfile(f"{each.name}/__init__.py")]


def _is_here(module: str) -> bool:
    return module in _modules_here()
