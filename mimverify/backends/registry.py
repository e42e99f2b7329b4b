"""Backends by name, found by the files of this package: a new one is a new file, and in no list."""

from __future__ import annotations

import inspect
from functools import cache
from importlib import import_module
from types import ModuleType

from mimverify.backends.base import Backend
from mimverify.support.arrays import Array
from mimverify.support.errors import InputError
from mimverify.support.package_files import modules_of
from mimverify.support.validation import choice

__all__ = [
    "BACKENDS",
    "BACKENDS_WITH_DEVICES",
    "BACKEND_MODULES",
    "REQUIRED_BACKENDS",
    "backend_class",
    "get_backend",
    "special_functions",
]


def _found() -> dict[str, type[Backend]]:
    """Those that need no extra first, each of the two parts in alphabetical order."""
    found: dict[str, type[Backend]] = {}
    for module in modules_of(import_module(__package__)):
        for kind in vars(module).values():
            own = inspect.isclass(kind) and kind.__module__ == module.__name__
            if own and issubclass(kind, Backend) and not _is_a_base(kind):
                _check_declared(kind)
                if kind.name in found:
                    raise ImportError(f"{kind.__module__} and {found[kind.name].__module__} "
                                      f"both define a backend {kind.name!r}")  # fmt: skip
                found[kind.name] = kind
    return dict(sorted(found.items(), key=lambda item: (item[1].extra != "", item[0])))


def _is_a_base(kind: type[Backend]) -> bool:
    return kind is Backend or kind.__name__.startswith("_")


def _check_declared(kind: type[Backend]) -> None:
    """What a class has to say of itself and to have. **Raises** `ImportError`."""
    declared = ("name", "title", "special_functions", "array_modules")
    lacking = [attribute for attribute in declared if not hasattr(kind, attribute)]
    lacking += sorted(getattr(kind, "__abstractmethods__", ()))
    if lacking:
        raise ImportError(f"{kind.__module__}: {kind.__name__}: expected {', '.join(lacking)}")
    if not kind.name.isidentifier():  # it is a part of the name of its trainer
        raise ImportError(f"{kind.__module__}: name={kind.name!r}: expected a Python identifier")


_KINDS = _found()

#: Names of all backends, whether or not their libraries are installed.
BACKENDS = tuple(_KINDS)

#: Names of those that need no extra: they can be used wherever mimverify is installed.
REQUIRED_BACKENDS = tuple(name for name, kind in _KINDS.items() if not kind.extra)

#: Names of those that take other devices than the CPU.
BACKENDS_WITH_DEVICES = tuple(name for name, kind in _KINDS.items() if kind.takes_devices)

#: Top-level modules that any of them imports.
BACKEND_MODULES = tuple(dict.fromkeys(name for kind in _KINDS.values() for name in kind.modules))


def backend_class(name: str) -> type[Backend]:
    """The class of that name, whether or not its library is installed.

    **Raises** `InputError` for an unknown backend.
    """
    return _KINDS[choice("backend", name, BACKENDS)]


def get_backend(name: str, dtype: str, device: str = "cpu") -> Backend:
    """The backend of that name.

    **Raises** `InputError` for an unknown backend or dtype, one whose library is not installed, or
    a device that it cannot use.
    """
    kind = backend_class(name)
    missing = kind.missing()
    if missing is not None:
        raise InputError(f"backend={name!r}: {missing}")
    return kind(dtype, device)


def special_functions(array: Array) -> ModuleType:
    """The module with `erf` and `ndtr` for arrays of this one's library.

    **Raises** `TypeError` for an array of a library that no backend has.
    """
    return _special_functions(type(array).__module__.partition(".")[0])


@cache
def _special_functions(library: str) -> ModuleType:
    for kind in _KINDS.values():
        if library in kind.array_modules:
            return import_module(kind.special_functions)  # takes long: only where it is needed
    raise TypeError(f"{library}: no backend has special functions for arrays of this library")
