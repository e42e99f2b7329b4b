"""Messages between a process and its workers: one line of JSON each."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping

import numpy as np

from mimverify.support.errors import InputError
from mimverify.support.strict_json import Json, brief, parse_json

__all__ = ["decode", "encode", "read_line"]

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


def decode(line: bytes, source: str) -> Json:
    """The message in a line that `encode` made, with NaN, infinities and any name of a file.

    **Raises** `InputError`, beginning with `source`, for anything else: code of users runs in the
    processes that send it.
    """
    message = parse_json(line, source, finite=False, unicode=False)
    if not isinstance(message, dict):
        raise InputError(f"{source}: expected an object of JSON, got {brief(message)}")
    return message


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
