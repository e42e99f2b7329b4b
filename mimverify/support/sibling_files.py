"""Files that lie beside an output while it is written: their names, and what killed runs left."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import os
import re
from pathlib import Path

__all__ = ["mark_in_use", "partial_path", "process_is_alive", "sibling_path", "sweep_partial_files"]

_KEPT = 100  # bytes of a file's name in the names of files beside it, which are longer
_PARTIAL = re.compile(r"\..*\.(\d+)-\d+\.mimverify-part", re.DOTALL)

_numbers = itertools.count()


def sibling_path(path: Path, ending: str) -> Path:
    """A hidden name beside `path`, one for each path, no longer than names may be."""
    name = path.name.encode(errors="surrogateescape")
    kept = name[:_KEPT].decode(errors="ignore")
    if len(name) > _KEPT:
        kept += "." + hashlib.sha256(name).hexdigest()[:16]
    return path.with_name(f".{kept}.{ending}")


def partial_path(path: Path) -> Path:
    """A name beside `path` that no other write uses."""
    return sibling_path(path, f"{os.getpid()}-{next(_numbers)}.mimverify-part")


def mark_in_use(descriptor: int) -> None:
    """Keep a partial file from being swept for as long as it is open.

    Its process is in the name; but seen from another container, that may seem to have ended.
    """
    with contextlib.suppress(ImportError, OSError):  # not POSIX; a file system without locks
        import fcntl

        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)


def sweep_partial_files(folder: Path) -> None:
    """Remove the partial files of this folder whose writers were killed."""
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            match = _PARTIAL.fullmatch(entry.name)
            if match is not None and not process_is_alive(int(match[1])):
                with contextlib.suppress(ImportError, OSError):  # in use, or another user's
                    _remove(entry.path)


def _remove(path: str) -> None:
    """**Raises** `OSError` where another process has the file open, or it is none."""
    import fcntl  # not on every platform: without, such files are left

    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.unlink(path)
    finally:
        os.close(descriptor)


def process_is_alive(process: int) -> bool:
    """Whether there is a process of this id."""
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:  # another user's
        return True
    return True
