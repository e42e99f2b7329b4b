"""Objects that users name: `"module:attribute"`."""

from __future__ import annotations

import difflib
import importlib
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType

from mimverify.support.errors import InputError

__all__ = [
    "REQUIREMENTS",
    "adopt_search_path",
    "find_in_folder",
    "find_on_pythonpath",
    "load_attribute",
    "needed_by",
    "search_path",
    "summarise",
    "visible",
]

#: Modules that mimverify is and needs; those of the project's dependencies.
REQUIREMENTS = (
    "jinja2",
    "mimverify", "numpy", "scipy", "torch", "hypothesis", "pytest", "_pytest", "pluggy", "click",
    "rich", "array_api_compat", "threadpoolctl",
)  # fmt: skip


def summarise(error: BaseException) -> str:
    """One line for an exception: its type and the first line of its message."""
    name = type(error).__name__
    try:
        lines = str(error).strip().splitlines()
    except Exception:  # __str__ may be the user's code
        lines = []
    return visible(f"{name}: {lines[0][:300]}" if lines else name)


def visible(text: str) -> str:
    """Others' text with its control characters spelled out: a terminal would obey them."""
    return "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode()
        for letter in text
    )


def load_attribute(argument: str, spec: str) -> object:
    """The object that `spec` names.

    **Arguments**

    - `argument`: what the user gave it for, for messages.
    - `spec`: `"module:attribute"`; both may be dotted. The module is that of the current
      directory where there is one. The directory stays importable, since a module may import
      others from it later; the standard library and installed packages go before it.

    **Raises** `InputError`: the form is wrong, a module is missing (the message names the
    one that is), the module raises, it has no such attribute, or the module in the current
    directory has the name of one that Python or mimverify itself needs.
    """
    module_name, attribute = _split(argument, spec)
    here = _make_current_directory_importable()
    importlib.invalidate_caches()
    try:
        with _found_first(argument, spec, module_name.partition(".")[0], here):
            found: object = importlib.import_module(module_name)
    except InputError:
        raise
    except ModuleNotFoundError as error:
        raise InputError(_missing_module(module_name, error)) from error
    except (Exception, SystemExit) as error:
        raise InputError(f"importing {module_name!r} raised {summarise(error)}") from error
    path = module_name
    for name in attribute.split("."):
        found, path = _attribute(found, name, path), f"{path}.{name}"
    return found


def search_path() -> list[str]:
    """Where a worker looks for what users name: PYTHONPATH, which this process may have ignored,
    then where this process looks for modules, the current directory last.

    Entries that exist are made absolute; others are left to import hooks, unchanged.
    """
    here = None
    with suppress(OSError):  # the current directory was deleted
        here = os.getcwd()
    given = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    entries = [
        os.path.abspath(entry) if os.path.exists(entry) else entry
        for entry in (*given, *sys.path)
        if isinstance(entry, str) and entry
    ]
    return [entry for entry in dict.fromkeys(entries) if entry != here] + ([here] if here else [])


def adopt_search_path(path: Sequence[str], pythonpath: str | None) -> None:
    """In a worker, which was started without PYTHONPATH: look where its parent said.

    The processes that users' code starts get `pythonpath`, the user's value.
    """
    sys.path[:] = path
    if pythonpath is not None:
        os.environ["PYTHONPATH"] = pythonpath


def _split(argument: str, spec: str) -> tuple[str, str]:
    module_name, colon, attribute = spec.partition(":") if isinstance(spec, str) else ("", "", "")
    hint = ""
    if "/" in module_name or module_name.endswith(".py"):
        hint = " (the name of a module, not the path of a file)"
    elif colon and all(module_name.split(".")) and all(map(str.isidentifier, attribute.split("."))):
        return module_name, attribute
    message = f"{argument}={spec!r}: expected 'module:attribute', as in 'mypackage.train:Trainer'"
    raise InputError(message + hint)


def _make_current_directory_importable() -> str | None:
    """Append it to the path. **Returns** it, or None where it was deleted."""
    try:
        here = os.getcwd()
    except OSError:  # what is importable without it still is
        return None
    if here not in sys.path and "" not in sys.path:
        sys.path.append(here)
    return here


class _FromFolder:
    """Finds one module in one folder."""

    def __init__(self, name: str, folder: str) -> None:
        self.name, self._folder = name, folder

    def finds(self, name: str, folder: str) -> bool:
        """Whether it is this module, in this folder, that it finds."""
        return (self.name, self._folder) == (name, folder)

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        return PathFinder.find_spec(name, [self._folder]) if name == self.name else None


def find_in_folder(name: str, folder: str) -> None:
    """From now on find the top-level module `name` in this folder, before any other place.

    It alone: nothing else in the folder is found. **Raises** `InputError` for a module that Python
    or mimverify needs, or one that is loaded from another place.
    """
    needed = needed_by(name)
    if needed:
        raise InputError(f"module={name!r}: has the name of a module that {needed} itself needs")
    loaded = sys.modules.get(name)
    if loaded is not None:
        found = PathFinder.find_spec(name, [folder])
        if found is None or found.origin is None or not _is_loaded_from(name, found.origin):
            place = getattr(loaded, "__file__", None) or "elsewhere"
            raise InputError(
                f"module={name!r}: is to be found in {folder!r}, and another one, {place!r}, is "
                "loaded already; rename one of them"
            )
    for finder in sys.meta_path:
        if isinstance(finder, _FromFolder) and finder.finds(name, folder):
            return
    sys.meta_path[:] = [
        each for each in sys.meta_path if not isinstance(each, _FromFolder) or each.name != name
    ]
    sys.meta_path.insert(0, _FromFolder(name, folder))


def find_on_pythonpath() -> None:
    """From now on find in the folders of PYTHONPATH what is found nowhere else.

    Processes of the judge ignore PYTHONPATH, whose modules would go before the standard library's;
    the modules of a pack of claims may still import what is there.
    """
    if not any(isinstance(finder, _FromPythonPath) for finder in sys.meta_path):
        sys.meta_path.append(_FromPythonPath())


def needed_by(name: str) -> str:
    """Who needs the top-level module of this name, Python or mimverify; "": neither."""
    if name in sys.stdlib_module_names:
        return "Python"
    return "mimverify" if name in REQUIREMENTS else ""


class _FromPythonPath:
    """Finds modules in the folders of PYTHONPATH, as that is when they are looked for."""

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        given = os.environ.get("PYTHONPATH", "").split(os.pathsep)
        entries = [os.path.abspath(entry) for entry in given if entry]
        return PathFinder.find_spec(name, entries) if path is None and entries else None


@contextmanager
def _found_first(argument: str, spec: str, name: str, here: str | None) -> Iterator[None]:
    """Find the module `name` in the folder `here`, before any other place, if it is there.

    It alone: what it imports must not come from there ahead of the standard library.
    """
    # A pack of claims brings a module of this name: it is the one that is meant.
    placed = any(
        isinstance(finder, _FromFolder) and finder.name == name for finder in sys.meta_path
    )
    elsewhere = here is None or name == "mimverify" or placed
    found = None if elsewhere else PathFinder.find_spec(name, [here or ""])
    # mimverify is loaded in any case, and has trainers. A bare folder is no module yet.
    if here is None or found is None or found.origin is None:
        yield
        return
    needed = needed_by(name)
    if needed and not _is_loaded_from(name, found.origin):
        file = os.path.relpath(found.origin, here)
        raise InputError(
            f"{argument}={spec!r}: {file!r} of the current directory has the name of a module that "
            f"{needed} itself needs; rename it"
        )
    finder = _FromFolder(name, here)
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)


def _is_loaded_from(name: str, origin: str) -> bool:
    """Whether the module is loaded, from this very file: a checkout is the current directory."""
    file = getattr(sys.modules.get(name), "__file__", None)
    return file is not None and os.path.realpath(file) == os.path.realpath(origin)


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
