"""A folder for the files of a run, which is removed also after the run was killed."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

from mimverify.support.sibling_files import mark_in_use, process_is_alive

__all__ = ["scratch_folder"]

_PREFIX = "mimverify-"
_NAME = re.compile(rf"{_PREFIX}(\d+)-\w+")


@contextlib.contextmanager
def scratch_folder() -> Iterator[Path]:
    """An empty folder of this process, removed at exit.

    Those that killed processes of this user have left are removed before.
    """
    _sweep(Path(tempfile.gettempdir()))
    prefix = f"{_PREFIX}{os.getpid()}-"
    with tempfile.TemporaryDirectory(prefix=prefix, ignore_cleanup_errors=True) as name:
        descriptor = os.open(name, os.O_RDONLY)
        try:
            # Held as long as this process lives: in another container its id may seem to be free.
            mark_in_use(descriptor)
            yield Path(name)
        finally:
            os.close(descriptor)


def _sweep(parent: Path) -> None:
    for path in parent.glob(f"{_PREFIX}*"):
        match = _NAME.fullmatch(path.name)
        if match is not None and not process_is_alive(int(match[1])):
            with contextlib.suppress(OSError):  # another process removes it, or may not be removed
                _remove(path)


def _remove(path: Path) -> None:
    """Remove a folder, unless it is another user's, a link, or in use."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        found = os.fstat(descriptor)
        if found.st_uid != os.geteuid() or not stat.S_ISDIR(found.st_mode):
            return
        import fcntl  # not on every platform

        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(path, ignore_errors=True)
    finally:
        os.close(descriptor)
