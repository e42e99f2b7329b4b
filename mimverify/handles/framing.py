"""Messages between a process and its workers: one line of JSON each."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping

import numpy as np

__all__ = ["encode", "read_line"]

_CHUNK = 1 << 16  # bytes


def encode(message: Mapping[str, object]) -> bytes:
    """`message` as one line. NumPy scalars become Python ones.

    **Raises** `TypeError` for anything else that JSON cannot hold.
    """

    def plain(value: object) -> object:
        if isinstance(value, np.generic):
            return value.item()
        raise TypeError(f"expected a number or a name, got {value!r}")

    return json.dumps(message, default=plain).encode() + b"\n"


def read_line(wait: Callable[[], bool], read: Callable[[int], bytes]) -> bytes:
    """The one line that answers a request.

    **Arguments**

    - `wait`: waits until there is something to read; False once the time is up.
    - `read`: returns at most so many bytes, none where the other end closed the connection.

    **Raises** `TimeoutError`, `ConnectionResetError`, and what `wait` and `read` raise.
    """
    line = b""
    while not line.endswith(b"\n"):
        if not wait():
            raise TimeoutError
        received = read(_CHUNK)
        if not received:
            raise ConnectionResetError
        line += received
    return line
