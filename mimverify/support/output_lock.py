"""One process at a time for each file that a run writes."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from mimverify.support.errors import InputError
from mimverify.support.files import reason_of, resolved
from mimverify.support.sibling_files import sibling_path

__all__ = ["hold", "lock_path"]


@dataclass
class _Held:
    """A lock of this process, and how often it was asked for."""

    descriptor: int
    process: int
    count: int = 1


_held: dict[Path, _Held] = {}
_mutex = threading.RLock()  # a signal may release while it is taken


def hold(argument: str, path: str | Path) -> Callable[[], None]:
    """Claim an output file for this process; the function that is returned gives it back.

    The claim is a lock that the system drops with the process, on an empty file beside it:
    one that a killed process left behind is taken over. Within a process any number of claims
    agree. Nothing is claimed where the system or the file system has no locks.

    **Raises** `InputError` where another process holds it.
    """
    try:
        import fcntl
    except ImportError:  # not a POSIX system
        return _nothing
    lock = lock_path(resolved(Path(path)))
    with _mutex:
        held = _held.get(lock)
        if held is not None and held.process == os.getpid():
            held.count += 1
            return _Release(lock)
        while True:
            try:
                descriptor = os.open(lock, os.O_RDWR | os.O_CREAT, 0o666)
            except OSError as error:
                raise InputError(
                    f"{argument}={str(path)!r}: cannot be locked ({reason_of(error)})"
                ) from None
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                holder = _holder(descriptor)
                os.close(descriptor)
                if error.errno in (errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES):
                    raise InputError(
                        f"{argument}={str(path)!r}: {holder} is writing it: expected one run at a "
                        "time"
                    ) from None
                return _nothing
            if _is_at(descriptor, lock):
                break
            os.close(descriptor)  # its holder removed it in between: another one counts
        with suppress(OSError):  # the number is for the message alone
            os.ftruncate(descriptor, 0)
            os.write(descriptor, str(os.getpid()).encode())
        _held[lock] = _Held(descriptor, os.getpid())
        return _Release(lock)


def lock_path(path: Path) -> Path:
    """The lock's own file."""
    return sibling_path(path, "lock")


class _Release:
    """Gives one claim back, at the first call only."""

    def __init__(self, lock: Path) -> None:
        self._lock: Path | None = lock

    def __call__(self) -> None:
        with _mutex:
            lock, self._lock = self._lock, None
            held = None if lock is None else _held.get(lock)
            if lock is None or held is None or held.process != os.getpid():
                return
            held.count -= 1
            if held.count == 0:
                del _held[lock]
                with suppress(OSError):
                    os.unlink(lock)  # while it is held: nobody else can have claimed it
                with suppress(OSError):
                    os.close(held.descriptor)


def _nothing() -> None:
    """Nothing was claimed."""


def _is_at(descriptor: int, lock: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(lock))
    except OSError:
        return False


def _holder(descriptor: int) -> str:
    with suppress(OSError):
        number = os.read(descriptor, 20).decode(errors="ignore")
        if number.isdigit():
            return f"process {number}"
    return "another process"
