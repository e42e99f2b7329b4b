"""What a trainer's source files are, so that a mended one can be told from the same one."""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Iterable

from mimverify.handles.pipe import PREFIX, PipeSource
from mimverify.handles.tracebacks import is_installed

__all__ = ["program_hashes", "source_hashes"]

_LARGEST = 1 << 25  # bytes of a file; none that somebody writes is larger


def source_hashes(modules: Iterable[str], *, alone: bool) -> dict[str, str]:
    """SHA-256 of the files of the trainer's modules that are loaded, by the modules' names.

    **Arguments**

    - `modules`: some that the trainer is defined in; all of their packages are the trainer's.
    - `alone`: whether the trainer is alone in this process, so that all modules that are not
      installed are its own.
    """
    packages = {name.partition(".")[0] for name in modules} - {"builtins", "__main__"}
    found = {}
    for name, module in sorted(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if name == "__main__" or not isinstance(file, str):
            continue
        own = name.partition(".")[0] in packages
        if own or (alone and not is_installed(os.path.abspath(file))):
            digest = _hash(file)
            if digest is not None:
                found[name] = digest
    return found


def program_hashes(source: object) -> dict[str, str]:
    """SHA-256 of the files that the command of a `PipeSource` names; of another source none."""
    if not isinstance(source, PipeSource):
        return {}
    hashes = {PREFIX + os.path.basename(path): _hash(path) for path in source.files}
    return {name: digest for name, digest in hashes.items() if digest is not None}


def _hash(file: str) -> str | None:
    try:
        with open(file, "rb") as opened:
            content = opened.read(_LARGEST + 1)
    except OSError:  # it was deleted since, or lies in an archive
        return None
    return None if len(content) > _LARGEST else hashlib.sha256(content).hexdigest()
