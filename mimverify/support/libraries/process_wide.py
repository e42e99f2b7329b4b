"""A library's settings and threads, as far as they are those of a whole process."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Library", "Setting", "ThreadCount"]


@dataclass(frozen=True)
class Setting:
    """One setting.

    **Arguments**

    - `library`: the module without which there is none; it is not imported for this.
    - `read`, `write`: called with that module.
    - `default`: its value once the library is imported.
    """

    library: str
    read: Callable[[Any], Any]
    write: Callable[[Any, Any], object]
    default: Any = None


@dataclass(frozen=True)
class ThreadCount:
    """The number of threads of a library that has pools of its own.

    It may be kept for each of the caller's threads, and is read and written in each.

    **Arguments**

    - `read`, `write`: called with the library's module.
    """

    read: Callable[[Any], int]
    write: Callable[[Any, int], object]


@dataclass(frozen=True)
class Library:
    """A library that users may import.

    **Arguments**

    - `module`: its top-level module, which is not imported for any of this.
    - `settings`: by name.
    - `threads`: where they can be set while it runs.
    - `thread_variables`: environment variables that give a new process's pools a number of
      threads, beyond those of BLAS and OpenMP.
    - `pool_modules`: those of its modules that load pools of BLAS or OpenMP, where importing
      `module` alone does not.
    """

    module: str
    settings: Mapping[str, Setting] = field(default_factory=dict)
    threads: ThreadCount | None = None
    thread_variables: tuple[str, ...] = ()
    pool_modules: tuple[str, ...] = ()
