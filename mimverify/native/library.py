"""Finds the native library, checks that it belongs to these sources, and chooses the level.

`MIMVERIFY_NATIVE=0` turns it off; `avx512`, `avx2` or `generic` force one level. Nothing here is
needed: without the library NumPy computes the same pass.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from mimverify.native.compiler import LIBRARY, SOURCES, levels, stamp
from mimverify.support.errors import InputError

__all__ = ["Library", "loadable_levels", "native_library", "pass_in_use", "using"]

#: As in interface.h.
INTERFACE_VERSION = 1
VARIABLE = "MIMVERIFY_NATIVE"
_OFF = "0"
_BUILD = "to build it: python -m mimverify.native"


@dataclass(frozen=True)
class Library:
    """The loaded library at one level.

    - `level`: `"avx512"`, `"avx2"` or `"generic"`.
    - `vector_bytes`: of a vector of this level.
    """

    level: str
    vector_bytes: int
    handle: ctypes.CDLL

    def function(self, name: str, dtype: str) -> Any:
        """A function of this level for float32 or float64."""
        suffix = "f32" if dtype == "float32" else "f64"
        return getattr(self.handle, f"{name}_{suffix}_{self.level}")


_override: list[str] = []  # levels that tests force, the last one counts


@contextmanager
def using(level: str) -> Iterator[None]:
    """As with `MIMVERIFY_NATIVE=level`, for a while and in this process."""
    _override.append(level)
    try:
        yield
    finally:
        _override.pop()


def native_library() -> Library | None:
    """The library at the level in use; None where NumPy computes the pass.

    **Raises** `InputError` for a level that is forced and unknown, not built or not supported.
    """
    return _choose(_override[-1] if _override else os.environ.get(VARIABLE, "").strip())


@lru_cache(maxsize=8)
def _choose(wanted: str) -> Library | None:
    names = [level.name for level in levels()]
    if wanted == _OFF:
        return None
    if wanted and wanted not in names:
        raise InputError(f"{VARIABLE}={wanted!r}: expected {_OFF}, {', '.join(names)}")
    handle, reason = _load()
    if handle is None:
        if wanted:
            raise InputError(
                f"{VARIABLE}={wanted!r}: {reason}; build it: python -m mimverify.native"
            )
        return None
    for level in levels():
        if wanted in ("", level.name) and _runs(handle, level.name):
            return Library(level.name, level.vector_bytes, handle)
    if wanted:
        raise InputError(f"{VARIABLE}={wanted!r}: this processor does not have these instructions")
    return None


def loadable_levels() -> list[str]:
    """Levels that this process could use, the widest first; empty without a library."""
    handle, _ = _load()
    return [] if handle is None else [v.name for v in levels() if _runs(handle, v.name)]


def pass_in_use() -> tuple[str, str]:
    """Which pass runs, `"native avx2"` or `"numpy"`, and for the latter why: one line, or empty."""
    chosen = native_library()
    if chosen is not None:
        return f"native {chosen.level}", ""
    wanted = _override[-1] if _override else os.environ.get(VARIABLE, "").strip()
    if wanted == _OFF:
        return "numpy", f"the native pass is turned off ({VARIABLE}=0)"
    return "numpy", f"{_load()[1]}; {_BUILD}"


def _runs(handle: ctypes.CDLL, level: str) -> bool:
    return bool(handle.mimverify_runs(level.encode()))


@lru_cache(maxsize=1)
def _load() -> tuple[ctypes.CDLL | None, str]:
    """The library, or None and the reason."""
    path = SOURCES / LIBRARY
    if not path.is_file():
        return None, "the native pass was not built (no C compiler at installation)"
    try:
        handle = ctypes.CDLL(str(path))
        handle.mimverify_stamp.restype = ctypes.c_char_p
        handle.mimverify_interface.restype = ctypes.c_int64
        version, found = handle.mimverify_interface(), handle.mimverify_stamp()
    except (OSError, AttributeError) as error:
        return None, f"{LIBRARY} cannot be loaded ({' '.join(str(error).split())})"
    if version != INTERFACE_VERSION or found != stamp().encode():
        return None, f"{LIBRARY} was built from other sources"
    return handle, ""
