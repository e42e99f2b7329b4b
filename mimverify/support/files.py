"""Files: written atomically, read with limits, and their places checked before the work."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from mimverify.support.errors import InputError, OutputError
from mimverify.support.sibling_files import mark_in_use, partial_path, sweep_partial_files

__all__ = [
    "atomic_write",
    "check_place",
    "is_special",
    "open_regular",
    "reason_of",
    "resolved",
]

# A path that cannot be written to, whatever the content; any other error is of the writing.
_WRONG_PATH = {
    errno.EACCES, errno.EEXIST, errno.EISDIR, errno.ELOOP, errno.ENAMETOOLONG, errno.ENODEV,
    errno.ENOENT, errno.ENOTDIR, errno.ENXIO, errno.EPERM, errno.EROFS, errno.EINVAL,
}  # fmt: skip

# -- writing -----------------------------------------------------------------------------------


def atomic_write(path: Path, content: bytes) -> None:
    """Replace the file at `path` in one step; an interruption leaves the old one.

    A link stays a link. A device or a pipe is written to: replacing would destroy it.
    **Raises** `InputError` for a path that is wrong; `OutputError` if writing fails midway, as on
    a full disk.
    """
    try:
        if is_special(path):
            with _opened(path, 0) as descriptor:
                _write(descriptor, content)
        else:
            _replace(resolved(path), content)
    except (OSError, ValueError) as error:
        if isinstance(error, BrokenPipeError | InputError):
            raise  # a reader that left is no error, where the command line says so
        wrong = not isinstance(error, OSError) or error.errno in _WRONG_PATH
        kind = InputError if wrong else OutputError
        raise kind(f"{path}: cannot be written ({reason_of(error)})") from None


def _replace(target: Path, content: bytes) -> None:
    partial = partial_path(target)
    try:
        with _opened(partial, os.O_CREAT | os.O_TRUNC) as descriptor:
            mark_in_use(descriptor)
            _write(descriptor, content)
            os.fsync(descriptor)  # before the rename: a crash must not leave an empty file
            if os.name != "nt":  # there, an open file cannot be renamed
                os.replace(partial, target)
                return
        os.replace(partial, target)
    except BaseException:
        with suppress(OSError):
            os.unlink(partial)
        raise


@contextmanager
def _opened(path: Path, flags: int) -> Iterator[int]:
    descriptor = os.open(path, os.O_WRONLY | getattr(os, "O_BINARY", 0) | flags, 0o666)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _write(descriptor: int, content: bytes) -> None:
    rest = memoryview(content)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


# -- places ------------------------------------------------------------------------------------


def check_place(argument: str, path: str | Path) -> None:
    """Refuse a path that could not be written, before the work rather than after.

    A file is made beside it and removed: nothing else tells whether one can be. What killed runs
    left there is removed, too.
    **Raises** `InputError`.
    """
    place = Path(path)
    wrong = f"{argument}={str(path)!r}"
    try:
        if place.is_dir():
            raise InputError(f"{wrong}: is a folder, expected a file")
        if is_special(place):
            if not os.access(place, os.W_OK):
                raise InputError(f"{wrong}: cannot be written to")
            return
        with suppress(FileNotFoundError):
            os.lstat(place)  # for a name that is too long
        target = resolved(place, wrong)
        if not target.parent.is_dir():
            raise InputError(f"{wrong}: {target.parent} is not a folder that can be written to")
        probe = partial_path(target)
        os.close(os.open(probe, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        os.unlink(probe)
        sweep_partial_files(target.parent)
    except (OSError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{wrong}: cannot be written ({reason_of(error)})") from None


def resolved(path: Path, name: str | None = None) -> Path:
    """The path without links; `name` is its name in messages.

    **Raises** `InputError`, also where the current folder is gone.
    """
    name = str(path) if name is None else name
    try:
        return path.resolve()
    except FileNotFoundError:
        raise InputError(f"{name}: the current folder no longer exists") from None
    except (OSError, RuntimeError, ValueError) as error:  # RuntimeError: links in a circle
        raise InputError(f"{name}: is no path of a file ({reason_of(error)})") from None


def is_special(path: Path) -> bool:
    """Whether the path exists and is no regular file or folder, such as /dev/null or a pipe."""
    return path.exists() and not path.is_file() and not path.is_dir()


# -- reading -----------------------------------------------------------------------------------


@contextmanager
def open_regular(path: str | Path) -> Iterator[tuple[BinaryIO, int]]:
    """A file to read, and its size; never a device or a pipe, which may be endless.

    **Raises** `InputError`, also for errors of reading within.
    """
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            reason = "is a folder" if os.path.isdir(path) else "is a device or a pipe"
            raise InputError(f"{path}: cannot be read ({reason}, expected a file)")
        with open(path, "rb") as file:
            yield file, os.fstat(file.fileno()).st_size
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({reason_of(error)})") from None
    except ValueError as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path!r}: cannot be read ({error})") from None  # a zero byte in it


def reason_of(error: Exception) -> str:
    """One line that says why, without the path, which the message names already."""
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    line = str(text).splitlines()[0]  # zipfile's quotes as much of a damaged file as it read
    return line if len(line) <= 200 else f"{line[:199]}…"
