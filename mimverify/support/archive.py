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
from mimverify.support.files import atomic_write
from mimverify.support.strict_json import Json

__all__ = ["Archive", "digest", "json_text"]

_JSON, _SUM = "description", "sha256"  # the arrays beside those of the content


@dataclass(frozen=True)
class Archive:
    """One kind of file.

    **Arguments**

    - `noun`: its name in messages and, after "mimverify", in the file.
    - `version`: of its content.
    """

    noun: str
    version: int

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
        arrays = self._arrays(path)
        stated = arrays.pop(_SUM, None)
        if stated is None or _JSON not in arrays:
            raise InputError(f"{path}: expected a {self.noun}, found the arrays of something else")
        if not np.array_equal(stated, digest(arrays)):
            raise InputError(
                f"{path}: damaged or changed (its checksum is not that of its content)"
            )
        try:
            description = json.loads(arrays.pop(_JSON).tobytes())
            if description["format"] != self.format:
                raise ValueError("another format")
            version = description["version"]
        except (ValueError, KeyError, TypeError):
            raise InputError(f"{path}: expected a {self.noun}, found something else") from None
        if version != self.version:
            raise InputError(
                f"{path}: a {self.noun} of format {version!r}: this version reads "
                f"format {self.version}"
            )
        return description, arrays

    def _arrays(self, path: str | Path) -> dict[str, NumpyArray]:
        try:
            content = Path(path).read_bytes()
        except OSError as error:
            raise InputError(f"{path}: cannot be read ({error.strerror})") from None
        if not zipfile.is_zipfile(io.BytesIO(content)):  # NumPy's message would be about pickle
            raise InputError(f"{path}: no {self.noun}, or a damaged one (not an .npz file)")
        try:
            with np.load(io.BytesIO(content), allow_pickle=False) as archive:
                return {name: np.asarray(archive[name]) for name in archive.files}
        except Exception as error:  # the type depends on where the archive is damaged
            lines = str(error).splitlines() or [type(error).__name__]
            raise InputError(f"{path}: no {self.noun}, or a damaged one ({lines[0]})") from None


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
    except (TypeError, ValueError) as error:
        raise InputError(f"{argument}: expected values that JSON can hold ({error})") from None


def _plain(value: object) -> object:
    if isinstance(value, (np.generic, np.ndarray)):
        return value.tolist()
    raise TypeError(f"got {type(value).__name__}")
