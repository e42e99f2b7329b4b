"""Objects that users name: `"module:attribute"`."""

from __future__ import annotations

import difflib
import importlib
import os
import sys

from mimverify.support.errors import InputError

__all__ = ["load_attribute", "summarise"]


def summarise(error: BaseException) -> str:
    """One line for an exception: its type and the first line of its message."""
    name = type(error).__name__
    try:
        lines = str(error).strip().splitlines()
    except Exception:  # __str__ may be the user's code
        lines = []
    return f"{name}: {lines[0][:300]}" if lines else name


def load_attribute(argument: str, spec: str) -> object:
    """The object that `spec` names.

    **Arguments**

    - `argument`: what the user gave it for, for messages.
    - `spec`: `"module:attribute"`; both may be dotted. The current directory is importable,
      as under `python -m`, and stays so: a module may import others from it later.

    **Raises** `InputError`: the form is wrong, a module is missing (the message names the
    one that is), the module raises, or it has no such attribute.
    """
    module_name, attribute = _split(argument, spec)
    _make_current_directory_importable()
    importlib.invalidate_caches()
    try:
        found: object = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        raise InputError(_missing_module(module_name, error)) from error
    except (Exception, SystemExit) as error:
        raise InputError(f"importing {module_name!r} raised {summarise(error)}") from error
    path = module_name
    for name in attribute.split("."):
        found, path = _attribute(found, name, path), f"{path}.{name}"
    return found


def _split(argument: str, spec: str) -> tuple[str, str]:
    module_name, colon, attribute = spec.partition(":") if isinstance(spec, str) else ("", "", "")
    hint = ""
    if "/" in module_name or module_name.endswith(".py"):
        hint = " (the name of a module, not the path of a file)"
    elif colon and all(module_name.split(".")) and all(map(str.isidentifier, attribute.split("."))):
        return module_name, attribute
    message = f"{argument}={spec!r}: expected 'module:attribute', as in 'mypackage.train:Trainer'"
    raise InputError(message + hint)


def _make_current_directory_importable() -> None:
    try:
        here = os.getcwd()
    except OSError:  # the directory was deleted; what is importable without it still is
        return
    if here not in sys.path and "" not in sys.path:
        sys.path.insert(0, here)


def _missing_module(module_name: str, error: ModuleNotFoundError) -> str:
    missing = error.name
    if not missing:  # raised by hand
        return f"importing {module_name!r} raised {summarise(error)}"
    if module_name == missing or module_name.startswith(f"{missing}."):
        return f"there is no module {missing!r} in the current directory or on sys.path"
    return f"importing {module_name!r} needs the module {missing!r}, which cannot be found"


def _attribute(owner: object, name: str, path: str) -> object:
    try:
        return getattr(owner, name)
    except AttributeError as error:
        close = difflib.get_close_matches(name, dir(owner), n=1)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        raise InputError(f"{path!r} has no attribute {name!r}{hint}") from error
    except Exception as error:
        message = f"reading {name!r} from {path!r} raised {summarise(error)}"
        raise InputError(message) from error
