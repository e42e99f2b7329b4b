"""Files that are not to be trusted, places that cannot be written, writes that fail midway."""

from __future__ import annotations

import errno
import io
import os
import re
import subprocess
import sys
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import numpy as np
import pytest
from click.testing import CliRunner

from mimverify.cli.options import check_distinct, check_writable, write_json
from mimverify.designs import NpyRows, npy_labels
from mimverify.support.archive import Archive
from mimverify.support.errors import InputError, OutputError
from mimverify.support.files import atomic_write, check_place
from mimverify.support.npy_header import read_npy_header
from mimverify.support.output_lock import hold, lock_path
from mimverify.support.strict_json import parse_json
from mimverify.trial.running.expectations import read_expected_failures

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


def test_messages_do_not_quote_the_file(tmp_path: Path) -> None:
    """As zipfile's does where a name's length is damaged: all that follows is the name."""
    path = tmp_path / "a.npz"
    FILE.write(path, {}, {"W": np.zeros(1000)})
    content = bytearray(path.read_bytes())
    content[26:28] = b"\x00\x20"
    path.write_bytes(content)
    with pytest.raises(InputError, match="no example") as refused:
        FILE.read(path)
    assert len(str(refused.value)) < 400


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


# -- places ------------------------------------------------------------------------------------


def test_places_that_cannot_be_written_are_refused_before_the_work(tmp_path: Path) -> None:
    (tmp_path / "round").symlink_to(tmp_path / "round")
    (tmp_path / "file").touch()
    for path in (
        tmp_path,
        tmp_path / ("x" * 256),
        tmp_path / ("é" * 128),
        tmp_path / "nowhere" / "a.json",
        tmp_path / "file" / "a.json",
        tmp_path / "round",
        tmp_path / "round" / "a.json",
        "/proc/a.json",
        "/sys/a.json",
        tmp_path / ("x/" * 3000),
        "a\0b",
        "",
    ):
        with pytest.raises(InputError, match=r"^--json="):
            check_place("--json", path)
        with pytest.raises(InputError):
            atomic_write(Path(path), b"text")
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["file", "round"]


def test_the_longest_names_can_be_written(tmp_path: Path) -> None:
    for name in ("x" * 255, "é" * 127, "y" * 250 + ".json"):
        path = tmp_path / name
        check_place("--json", path)
        with_lock = hold("--json", path)
        atomic_write(path, b"text")
        with_lock()
        assert path.read_bytes() == b"text"
    assert len(list(tmp_path.iterdir())) == 3


def test_a_deleted_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    for act in (
        lambda: check_place("--json", "a.json"),
        lambda: check_distinct({"--json": "a.json", "--save": "a.npz"}),
        lambda: atomic_write(Path("a.json"), b"text"),
        lambda: hold("--json", "a.json"),
        lambda: FILE.read("a.npz"),
        lambda: read_expected_failures("known.txt"),
    ):
        with pytest.raises(InputError, match=r"a\.json|a\.npz|known\.txt"):
            act()


@pytest.mark.parametrize("number", [errno.EACCES, errno.EROFS, errno.EPERM])
def test_a_folder_of_somebody_else(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Permissions do not bind root, who may run the tests."""

    def refuse(*_: object) -> int:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(InputError, match=os.strerror(number)):
        check_place("--json", tmp_path / "a.json")
    with pytest.raises(InputError, match=os.strerror(number)):
        atomic_write(tmp_path / "a.json", b"text")


def test_expected_failures_of_any_editor(tmp_path: Path) -> None:
    path = tmp_path / "known.txt"
    path.write_bytes(b"\xef\xbb\xbftrajectory: for now\r\n")
    assert read_expected_failures(path) == {"trajectory": "for now"}
    for content in (b"\xff\xfet\0", b"a: b\n" * 300_000, b"x" * 5000):
        path.write_bytes(content)
        with pytest.raises(InputError, match=r"known\.txt") as refused:
            read_expected_failures(path)
        assert len(str(refused.value)) < 500
    for wrong in (tmp_path, tmp_path / "absent", "x" * 300, "a\0b"):
        with pytest.raises(InputError, match="expected failures"):
            read_expected_failures(wrong)


# -- writes that fail --------------------------------------------------------------------------


class Faults:
    """Lets one of the system calls that write fail; `calls` counts them."""

    NAMES = ("open", "write", "fsync", "replace")

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.calls, self.fail_at, self.error = 0, -1, OSError(0, "")
        for name in self.NAMES:
            monkeypatch.setattr(os, name, self._wrapped(name, getattr(os, name)))

    def _wrapped(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*arguments: Any, **options: Any) -> Any:
            self.calls += 1
            if self.calls == self.fail_at:
                if name == "write":  # half of it arrived
                    call(arguments[0], bytes(arguments[1])[: len(arguments[1]) // 2])
                raise self.error
            return call(*arguments, **options)

        return counted

    def arm(self, fail_at: int, error: BaseException) -> None:
        self.calls, self.fail_at, self.error = 0, fail_at, error  # type: ignore[assignment]


def write_text_file(path: Path, number: int) -> None:
    write_json(str(path), {"number": [number] * 1000})


def write_archive(path: Path, number: int) -> None:
    FILE.write(path, {"number": number}, {"W": np.full(2000, number)})


@pytest.mark.parametrize("write", [write_text_file, write_archive])
@pytest.mark.parametrize(
    ("error", "raised"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), OutputError),
        (OSError(errno.EIO, "Input/output error"), OutputError),
        (OSError(errno.EFBIG, "File too large"), OutputError),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), OutputError),
        (PermissionError(errno.EACCES, "Permission denied"), InputError),
        (KeyboardInterrupt(), KeyboardInterrupt),
    ],
)
def test_whatever_fails_one_whole_file_is_left(
    write: Callable[[Path, int], None],
    error: BaseException,
    raised: type[BaseException],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = tmp_path / "result"
    write(path, 1)
    old = path.read_bytes()
    faults = Faults(monkeypatch)
    write(path, 1)
    calls = faults.calls
    assert calls >= len(Faults.NAMES)
    for fail_at in range(1, calls + 1):
        faults.arm(fail_at, error)
        with pytest.raises(raised):
            write(path, 2)
        assert path.read_bytes() == old
        assert [entry.name for entry in tmp_path.iterdir()] == ["result"]
    faults.arm(calls + 1, error)
    write(path, 2)
    assert path.read_bytes() != old
    assert [entry.name for entry in tmp_path.iterdir()] == ["result"]


def test_a_full_device_is_no_wrong_path() -> None:
    with pytest.raises(OutputError, match=r"/dev/full: cannot be written \(No space left"):
        atomic_write(Path("/dev/full"), b"text")


def test_short_writes_go_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, text: write(descriptor, text[:7]))
    atomic_write(tmp_path / "a", bytes(range(100)))
    assert (tmp_path / "a").read_bytes() == bytes(range(100))


# -- locks -------------------------------------------------------------------------------------

HOLDER = """
import sys, time
from mimverify.support.output_lock import hold
release = hold("--json", sys.argv[1])
print("held", flush=True)
sys.stdin.read()
"""


def holder(path: Path) -> subprocess.Popen[str]:
    """Another process that holds the file until its standard input ends."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(path)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_a_file_is_one_process_s(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    (tmp_path / "link.json").symlink_to(path)
    with holder(path) as other:
        for same in (path, tmp_path / "link.json"):
            with pytest.raises(InputError, match=rf"--json=.*process {other.pid} is writing it"):
                hold("--json", same)
        hold("--json", tmp_path / "b.json")()
        other.kill()  # leaves its lock's file, which is taken over
    assert lock_path(path).exists()
    one, two = hold("--json", path), hold("--json", path)
    one()
    one()
    assert lock_path(path).exists()
    two()
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["link.json"]


def test_commands_hold_what_they_write(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    seen = []

    @click.command()
    @click.option("--rank")
    def command(rank: str | None) -> None:
        check_writable("--json", str(path))
        seen.append(lock_path(path).exists())

    assert CliRunner().invoke(command, standalone_mode=False).exception is None
    with holder(path) as other:
        refused = CliRunner().invoke(command, standalone_mode=False).exception
        assert isinstance(refused, InputError)
        # Torchrun's other processes check the same path, and never write.
        ranked = CliRunner().invoke(command, standalone_mode=False, env={"RANK": "1"})
        assert ranked.exception is None
        other.communicate("")
    assert seen == [True, True]
    check_writable("--json", str(path))  # outside of a command nothing would give it back
    assert not lock_path(path).exists() or not other.returncode


def test_file_systems_without_locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fcntl = pytest.importorskip("fcntl")

    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    hold("--json", tmp_path / "a.json")()
