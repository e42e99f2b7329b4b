"""Tests of `mimverify.handles.framing`: a message is one line, however it arrives."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

import mimverify
from mimverify.handles.framing import decode, encode, read_line
from mimverify.support.errors import InputError


def test_a_message_is_one_line_of_json() -> None:
    line = encode({"rate": np.float32(0.5), "steps": np.int64(3), "text": "two\nlines"})
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    assert json.loads(line) == {"rate": 0.5, "steps": 3, "text": "two\nlines"}
    with pytest.raises(TypeError, match="expected a number or a name"):
        encode({"array": np.zeros(2)})


def test_a_message_arrives_as_it_was_sent() -> None:
    for message in (
        {"op": "call", "shape": [2, 3], "rate": 0.1, "nothing": None},
        {"limit": float("inf")},
        {"path": ["caf\udce9/é"]},  # a folder whose name is no UTF-8
    ):
        assert decode(encode(message), "a reply") == message


@pytest.mark.parametrize(
    "line",
    [b"", b"[]", b"3\n", b'{"a": 1', b'{"a": 1}{"a": 1}', b'{"a": 1, "a": 2}', b"\xff", b"[" * 9999,
     b'{"a": ' + b"9" * 5000 + b"}"],
)  # fmt: skip
def test_other_lines_are_refused(line: bytes) -> None:
    """They come from processes in which users' code runs."""
    with pytest.raises(InputError, match=r"^a reply: "):
        decode(line, "a reply")


def test_nothing_reads_json_otherwise() -> None:
    package = Path(mimverify.__file__).parent
    found = {
        path.relative_to(package).as_posix()
        for path in package.rglob("*.py")
        if re.search(r"\bjson\.loads?\(|JSONDecoder", path.read_text(encoding="utf-8"))
    }
    assert found == {"support/strict_json.py"}


def test_a_line_is_read_from_its_chunks() -> None:
    chunks = iter([b'{"a"', b": 1", b"}\n"])
    assert read_line(lambda: True, lambda size: next(chunks)) == b'{"a": 1}\n'


def test_an_incomplete_line_is_an_error() -> None:
    chunks, ready = iter([b"half", b""]), iter([True, False])
    with pytest.raises(ConnectionResetError):
        read_line(lambda: True, lambda size: next(chunks))
    with pytest.raises(TimeoutError):
        read_line(lambda: next(ready), lambda size: b"half")
