"""Tests of `mimverify.handles.framing`: a message is one line, however it arrives."""

from __future__ import annotations

import json

import numpy as np
import pytest

from mimverify.handles.framing import encode, read_line


def test_a_message_is_one_line_of_json() -> None:
    line = encode({"rate": np.float32(0.5), "steps": np.int64(3), "text": "two\nlines"})
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    assert json.loads(line) == {"rate": 0.5, "steps": 3, "text": "two\nlines"}
    with pytest.raises(TypeError, match="expected a number or a name"):
        encode({"array": np.zeros(2)})


def test_a_line_is_read_from_its_chunks() -> None:
    chunks = iter([b'{"a"', b": 1", b"}\n"])
    assert read_line(lambda: True, lambda size: next(chunks)) == b'{"a": 1}\n'


def test_an_incomplete_line_is_an_error() -> None:
    chunks, ready = iter([b"half", b""]), iter([True, False])
    with pytest.raises(ConnectionResetError):
        read_line(lambda: True, lambda size: next(chunks))
    with pytest.raises(TimeoutError):
        read_line(lambda: next(ready), lambda size: b"half")
