"""The libraries whose settings and threads are known, found by the files of this package."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from importlib import import_module
from types import ModuleType

from mimverify.support.libraries.process_wide import Library
from mimverify.support.package_files import objects_in

__all__ = ["LIBRARIES", "loaded_libraries"]

LIBRARIES = objects_in(import_module(__package__), Library)


def loaded_libraries() -> Iterator[tuple[Library, ModuleType]]:
    """Those that are imported, with their modules."""
    for library in LIBRARIES:
        module = sys.modules.get(library.module)
        if module is not None:
            yield library, module
