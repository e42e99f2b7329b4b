"""Who works on a trial, so that two sweeps on one store do not both run it."""

from __future__ import annotations

import json
import os
import socket
import time
import uuid
from dataclasses import dataclass

from mimverify.support.errors import InputError
from mimverify.support.sibling_files import process_is_alive
from mimverify.support.strict_json import parse_json

__all__ = ["LEASE", "ClaimOwner"]

#: Seconds for which a claim is good; a coordinator renews its own several times as often.
LEASE = 60.0
# Position of the start in /proc/…/stat, counted from the state.
_STARTED = 19


@dataclass(frozen=True)
class ClaimOwner:
    """A coordinator: its host, its process, when that started, and a name of its own.

    A claim can be taken over once it has expired, or at once where its owner's process on this
    very machine is gone: a sweep that was killed goes on without waiting.
    """

    host: str
    process: int
    start: str
    name: str

    @classmethod
    def this(cls) -> ClaimOwner:
        """A new owner in this process."""
        return cls(socket.gethostname(), os.getpid(), _start(os.getpid()), uuid.uuid4().hex)

    def to_text(self) -> str:
        """One text, for the store."""
        return json.dumps([self.host, self.process, self.start, self.name])

    def expiry(self) -> float:
        """When a claim that is made or renewed now expires."""
        return time.time() + LEASE

    def may_take_over(self, holder: str, expires: float) -> bool:
        """Whether a claim of that holder is void, or this owner's."""
        if holder == self.to_text() or not time.time() < expires < time.time() + 2 * LEASE:
            return True
        try:
            host, process, start, _ = parse_json(holder.encode(), "claim")
            if host != self.host:
                return False
            return not process_is_alive(int(process)) or _start(int(process)) != start
        except (InputError, TypeError, ValueError):
            return True  # no claim that this version could have made


def _start(process: int) -> str:
    """When a process started, in the system's own count since its boot; "" where unknown, and
    where it has ended already but its parent does not know."""
    try:
        with open(f"/proc/{process}/stat", encoding="utf-8", errors="replace") as file:
            values = file.read().rpartition(")")[2].split()
    except OSError:  # no such process, or not on this system
        return ""
    return "" if len(values) < _STARTED or values[0] in "ZX" else values[_STARTED]
