"""Arrays and a JSON text in one file that is read without pickle.

An .npz of plain arrays: those of the content, the JSON text, and the SHA-256 of them all. The
callers define the content and check it.
"""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mimverify.support.arrays import NumpyArray
from mimverify.support.errors import InputError
from mimverify.support.files import atomic_write, open_regular, reason_of
from mimverify.support.npy_header import read_npy_header
from mimverify.support.strict_json import Json, brief, parse_json

__all__ = ["Archive", "digest", "json_text"]

_JSON, _SUM = "description", "sha256"  # the arrays beside those of the content
_CHUNK = 1 << 20  # bytes read at once
_HEADER = 1 << 14  # bytes within which an array's header ends


@dataclass(frozen=True)
class Archive:
    """One kind of file.

    **Arguments**

    - `noun`: its name in messages and, after "mimverify", in the file.
    - `version`: of its content.
    - `earlier`: what has changed since the last one, for the message that refuses it.
    """

    noun: str
    version: int
    earlier: str = ""

    @property
    def format(self) -> str:
        """The format's name, as the file states it."""
        return f"mimverify {self.noun}"

    def write(
        self, path: str | Path, description: Mapping[str, object], arrays: Mapping[str, NumpyArray]
    ) -> None:
        """Write the file in one step: an interruption leaves the last one as it was.

        **Raises** `InputError` for a path that cannot be written, or what JSON cannot hold.
        """
        head = {"format": self.format, "version": self.version}
        text = json_text(self.noun, dict(description) | head).encode()
        content = dict(arrays) | {_JSON: np.frombuffer(text, dtype=np.uint8)}
        content[_SUM] = digest(content)
        buffer = io.BytesIO()
        np.savez(buffer, **content)  # type: ignore[arg-type]
        atomic_write(Path(path), buffer.getvalue())

    def read(self, path: str | Path) -> tuple[Json, dict[str, NumpyArray]]:
        """The description and the arrays that `write` was given, to the bit.

        **Raises** `InputError`, naming the path and the reason, for a file that cannot be
        read, is something else, was cut off or changed, or comes from a later version.
        """
        arrays = _read_arrays(path, self.noun)
        stated = arrays.pop(_SUM, None)
        if stated is None or _JSON not in arrays:
            raise InputError(f"{path}: expected a {self.noun}, found the arrays of something else")
        if not np.array_equal(stated, digest(arrays)):
            raise InputError(
                f"{path}: damaged or changed (its checksum is not that of its content)"
            )
        text = arrays.pop(_JSON)
        if text.ndim != 1 or text.dtype != np.uint8:
            raise InputError(f"{path}: expected a {self.noun}, found something else")
        try:
            description = parse_json(text.tobytes(), str(path), finite=False)
        except InputError as error:
            raise InputError(f"{error}: expected a {self.noun}, found something else") from None
        if not isinstance(description, dict) or description.get("format") != self.format:
            raise InputError(f"{path}: expected a {self.noun}, found something else")
        version = description.get("version")
        if type(version) is not int or version != self.version:
            last = type(version) is int and version == self.version - 1 and self.earlier
            raise InputError(
                f"{path}: a {self.noun} of format {brief(version)}: this version reads "
                f"format {self.version}" + (f"; {self.earlier}" if last else "")
            )
        return description, arrays


def _read_arrays(path: str | Path, noun: str) -> dict[str, NumpyArray]:
    """The arrays of an .npz file in which nothing is compressed, as `numpy.savez` writes it.

    Nothing takes more memory than the file's size, whatever its directory says.
    """
    with open_regular(path) as (file, size):
        if not zipfile.is_zipfile(file):
            raise InputError(f"{path}: no {noun}, or a damaged one (not an .npz file)")
        try:
            with zipfile.ZipFile(file) as container:
                members = container.infolist()
                _check_members(members, size)
                return {
                    member.filename.removesuffix(".npy"): _read_array(container, member)
                    for member in members
                }
        except Exception as error:  # the type depends on where the archive is damaged
            raise InputError(f"{path}: no {noun}, or a damaged one ({reason_of(error)})") from None


def _check_members(members: list[zipfile.ZipInfo], size: int) -> None:
    """**Raises** `ValueError` for members that no file of this size holds uncompressed."""
    names = [member.filename for member in members]
    if len(set(names)) < len(names):
        raise ValueError("two arrays of one name")
    for member in members:
        if not member.filename.endswith(".npy"):
            raise ValueError(f"{brief(member.filename)} is no array")
        if member.compress_type != zipfile.ZIP_STORED or member.flag_bits & 1:
            raise ValueError(f"{brief(member.filename)} is compressed or encrypted")
    total = sum(member.file_size for member in members)
    if total > size:
        raise ValueError(f"its arrays are said to take {total} bytes, the file has {size}")


def _read_array(container: zipfile.ZipFile, member: zipfile.ZipInfo) -> NumpyArray:
    """**Raises** `ValueError` and whatever `zipfile` does."""
    content = bytearray(member.file_size)
    position = 0
    with container.open(member) as stream:
        while chunk := stream.read(_CHUNK):  # to the end, where the checksum is compared
            content[position : position + len(chunk)] = chunk
            position += len(chunk)
    name = brief(member.filename)
    header = read_npy_header(io.BytesIO(content[:_HEADER]), name)
    if header.dtype.kind not in "biuf":
        raise ValueError(f"{name} has dtype {header.dtype}: expected real numbers")
    if header.start + header.nbytes != len(content):
        raise ValueError(f"{name} has shape {brief(header.shape)}, but {len(content)} bytes")
    if header.nbytes == 0:
        return np.empty(header.shape, header.dtype)
    entries = np.frombuffer(content, header.dtype, offset=header.start)
    return entries.reshape(header.shape, order="F" if header.order == "F" else "C")


def digest(arrays: Mapping[str, NumpyArray]) -> NDArray[np.uint8]:
    """SHA-256 of names, dtypes, shapes and entries, in the order of the names."""
    total = hashlib.sha256()
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        total.update(f"{name}:{array.dtype.str}:{arrays[name].shape}:".encode())
        total.update(array.tobytes())
    return np.frombuffer(total.digest(), dtype=np.uint8)


def json_text(argument: str, value: object) -> str:
    """JSON that keeps NaN and infinities, which a record may hold. Raises `InputError`."""
    try:
        return json.dumps(value, default=_plain)
    except (TypeError, ValueError, RecursionError) as error:
        raise InputError(f"{argument}: expected values that JSON can hold ({error})") from None


def _plain(value: object) -> object:
    if isinstance(value, (np.generic, np.ndarray)):
        return value.tolist()
    raise TypeError(f"got {type(value).__name__}")
