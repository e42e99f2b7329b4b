"""Files that are not to be trusted, places that cannot be written, writes that fail midway."""

from __future__ import annotations

import io
import os
import re
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest

from mimverify.designs import NpyRows, npy_labels
from mimverify.support.archive import Archive
from mimverify.support.errors import InputError
from mimverify.support.npy_header import read_npy_header
from mimverify.support.strict_json import parse_json

FILE = Archive("example", version=1)


# -- JSON --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"[" * 5000 + b"]" * 5000, "nested more than 64 deep"),
        (b'{"a":' * 5000 + b"1" + b"}" * 5000, "nested more than 64 deep"),
        (b"9" * 400, "a number of 400 digits"),
        (b"9" * 5000, "a number of 5000 digits"),
        (b'{"a": 1, "a": 2}', "'a' occurs twice"),
        (b"[NaN]", "NaN is no finite number"),
        (b"[-Infinity]", "-Infinity is no finite number"),
        (b"[1e999]", "'1e999' is no finite number"),
        (b'"\\ud800"', "surrogates not allowed"),
        (b'"\xff"', "utf-8"),
        (b"\xef\xbb\xbf1", "BOM"),
        (b"", "Expecting value"),
        (b"1 2", "Extra data"),
    ],
)
def test_what_is_no_strict_json(text: bytes, reason: str) -> None:
    with pytest.raises(InputError, match=f"^here: no valid JSON .*{reason}"):
        parse_json(text, "here")


def test_what_is_json() -> None:
    assert parse_json(b'{"a": [1, 2.5, null, "[[[\\"[", {}]}', "here") == {
        "a": [1, 2.5, None, '[[["[', {}]
    }
    assert str(parse_json(b"[NaN, Infinity]", "here", finite=False)) == "[nan, inf]"
    assert parse_json(b"[" * 64 + b"]" * 64, "here")
    assert parse_json(b'"\\ud83d\\ude00"', "here") == "😀"
    with pytest.raises(InputError, match="JSON of 5 bytes: expected at most 4"):
        parse_json(b"[1,2]", "here", largest=4)
    # Texts without an end are skipped once, not once for each of their characters.
    with pytest.raises(InputError, match="Unterminated"):
        parse_json(b'"' + b'\\"' * 500_000, "here")


# -- .npy --------------------------------------------------------------------------------------


def npy(text: str, version: int = 1) -> bytes:
    """A header of our own making, before 800 bytes of entries."""
    width = 2 if version == 1 else 4
    return (
        b"\x93NUMPY" + bytes([version, 0]) + len(text).to_bytes(width, "little")
        + text.encode("latin-1") + bytes(800)
    )  # fmt: skip


def header(
    descr: str = "'<f8'", order: str = "False", shape: str = "(25, 4)", more: str = ""
) -> str:
    return f"{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}, {more}}}"


@pytest.mark.parametrize(
    "text",
    [
        header(),
        header(order="True", shape="(25L, 4L)"),
        header().replace("'", '"'),
        "{'shape': (25, 4), 'fortran_order': False, 'descr': '<f8'}\n",
    ],
)
def test_headers_of_all_who_write_them(text: str, tmp_path: Path) -> None:
    path = tmp_path / "X.npy"
    for version in (1, 2, 3):
        path.write_bytes(npy(text, version))
        rows = NpyRows(path)
        assert (rows.n_rows, rows.dim) == (25, 4)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "{}",
        "(" * 3000,
        "-" * 3000 + "1",
        "{'descr': '<f8'",
        "{'descr': \x00}",
        "'''",  # TokenError of NumPy's reader
        "{'descr': (\n",
        header()[:-3],
        header(more="'more': 1"),
        header(more="'descr': '<f8'"),
        header(descr="'<f9'"),
        header(descr="'|O'"),
        header(descr="'<U99999999999999'"),
        header(descr="'<M8[ns]'"),
        header(descr="[('a', '<f8')]"),
        header(descr="'a8'"),
        header(descr="','"),
        header(descr="8"),
        header(order="0"),
        header(order="()"),
        header(shape="25"),
        header(shape="(-1, 4)"),
        header(shape="(1, 1, 1)"),
        header(shape="(9" + 18 * "9" + ", 4)"),
        header(shape="(" + "1," * 99 + ")"),
        header(shape="(0, 4)"),
        header(shape="(1,,2)"),
        header(shape="(25, 5)"),
        header(shape="(" + 30 * "0" + ")"),
        "x" * 20_000,
    ],
)
def test_headers_that_are_none(text: str, tmp_path: Path) -> None:
    path = tmp_path / "X.npy"
    for version in (1, 2, 3):
        path.write_bytes(npy(text, version))
        for read in (NpyRows, npy_labels):
            with pytest.raises(InputError, match=r"X\.npy"):
                read(path)


def test_a_header_is_read_as_numpy_reads_it() -> None:
    for array in (
        np.zeros((3, 0, 2)),
        np.float32(2),
        np.zeros((2, 3), order="F"),
        np.array([True]),
    ):
        buffer = io.BytesIO()
        np.save(buffer, array)
        buffer.seek(0)
        found = read_npy_header(buffer, "here")
        assert (found.shape, found.dtype) == (np.shape(array), array.dtype)
        assert len(buffer.getvalue()) == found.start + found.nbytes == buffer.tell() + found.nbytes


# -- archives ----------------------------------------------------------------------------------


def packed(path: Path, members: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> None:
    with zipfile.ZipFile(path, "w", compression) as file:
        for name, content in members.items():
            file.writestr(name, content)


def test_a_bomb_is_refused_before_it_is_read(tmp_path: Path) -> None:
    path, size = tmp_path / "bomb.npz", 1 << 27
    buffer = io.BytesIO()
    np.save(buffer, np.zeros(0))
    start = buffer.getvalue().replace(b"(0,), }", f"({size // 8},), }}".encode())
    packed(path, {"W.npy": start + bytes(size)}, zipfile.ZIP_DEFLATED)
    tracemalloc.start()
    try:
        with pytest.raises(InputError, match=r"bomb\.npz: no example.*compressed"):
            FILE.read(path)
        assert tracemalloc.get_traced_memory()[1] < size // 8
    finally:
        tracemalloc.stop()


def test_sizes_that_the_file_cannot_hold_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "large.npz"
    packed(path, {"W.npy": npy(header())})
    content = path.read_bytes()
    true = len(npy(header())).to_bytes(4, "little")
    assert content.count(true) >= 2
    path.write_bytes(content.replace(true, (1 << 31).to_bytes(4, "little")))
    with pytest.raises(InputError, match=r"large\.npz: no example.*are said to take 2147483648"):
        FILE.read(path)


@pytest.mark.parametrize(
    "members",
    [
        {"W.npy": b""},
        {"W.npy": b"text"},
        {"W.txt": npy(header())},
        {"W.npy": npy(header())[:-1]},
        {"W.npy": npy(header()) + b"1"},
        {"W.npy": npy(header(descr="'|O'"))},
        {"W.npy": npy(header(descr="'<U2'"))},
        {"W.npy": npy(header(shape="(0, 999999999999999999)"))},
        {"../W.npy": npy(header()), "sha256.npy": npy(header())},
    ],
)
def test_archives_of_something_else(members: dict[str, bytes], tmp_path: Path) -> None:
    path = tmp_path / "other.npz"
    packed(path, members)
    with pytest.raises(InputError, match=r"other\.npz: "):
        FILE.read(path)


@pytest.mark.parametrize(
    "text",
    [b"[]", b"3", b'{"format": [], "version": 1}', b'{"format": "mimverify example"}', b"[" * 5000,
     b'{"format": "mimverify example", "version": true}'],
)  # fmt: skip
def test_descriptions_of_something_else(
    text: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "other.npz"
    monkeypatch.setattr("mimverify.support.archive.json_text", lambda *_: text.decode())
    FILE.write(path, {}, {"W": np.zeros(2)})
    with pytest.raises(InputError, match=re.escape(str(path))):
        FILE.read(path)


def test_devices_and_pipes_are_not_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in ("/dev/zero", tmp_path / "pipe", tmp_path, "a\0b", "x" * 300):
        with pytest.raises(InputError):
            FILE.read(path)
        with pytest.raises(InputError):
            NpyRows(path)


def test_arrays_come_back_as_they_were(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    given = {
        "F": np.asfortranarray(np.arange(6.0).reshape(2, 3)), "none": np.zeros((0, 3), np.float32),
        "one": np.array(7), "flags": np.array([True, False]), "swapped": np.arange(3, dtype=">i4"),
    }  # fmt: skip
    FILE.write(path, {"text": [float("nan")]}, given)
    _, arrays = FILE.read(path)
    for name, array in given.items():
        assert (arrays[name].dtype, arrays[name].shape) == (array.dtype, array.shape)
        np.testing.assert_array_equal(arrays[name], array)
    assert arrays["F"].flags.writeable
