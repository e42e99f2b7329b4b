"""Journals: files to which a long run adds each finished piece of work, and from which it goes on.

Lines of strict JSON. The first, written in one step, says what run it is; each further one is a
record, added by a single write. A kill in the middle of it leaves a line without an end, which is
dropped when the run goes on: all records before it are whole.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path

from mimverify.support.errors import InputError, OutputError
from mimverify.support.files import atomic_write, is_special, open_regular, reason_of, resolved
from mimverify.support.strict_json import Json, brief, jsonable, parse_json

__all__ = ["Journal"]

_FORMAT = 1
_LARGEST = 1 << 30  # bytes: a year of trials


class Journal:
    """The records of one run, in the order in which they were added.

    **Arguments**

    - `path`: of the file; it is made, unless it is there. The caller sees to it that no other
      process writes it.
    - `kind`: what is journalled, one word.
    - `run`: what the run is, as JSON values: all on which a record depends, besides what the
      record itself says.
    - `resume`: go on from the records of an existing file.
    - `argument`: how messages name the path.

    **Raises** `InputError` for a file that holds records without `resume`, for one that is no
    journal of this kind, and for that of another run, naming what differs.
    """

    def __init__(
        self,
        path: str | Path,
        kind: str,
        run: Mapping[str, object],
        *,
        resume: bool,
        argument: str = "--checkpoint",
    ) -> None:
        self._path, self._named = Path(path), f"{argument}={str(path)!r}"
        if is_special(self._path):
            raise InputError(f"{self._named}: is no regular file, expected one")
        #: Those that the file held when it was opened.
        self.records: list[Json] = []
        header: Json = jsonable({"journal": kind, "format": _FORMAT, "run": dict(run)})
        if self._path.exists():
            first, self.records, whole = self._read(kind)
            if self.records and not resume:
                raise InputError(
                    f"{self._named}: holds {len(self.records)} finished trials: expected --resume, "
                    "to go on from them, or another file"
                )
            if resume:
                self._check_same(first["run"], header["run"])
                self._cut(whole)
                return
        atomic_write(self._path, _line(header))

    def add(self, record: Mapping[str, object]) -> None:
        """Append one record, and have the system store it.

        **Raises** `OutputError` if it cannot be written.
        """
        try:
            descriptor = os.open(self._place, os.O_WRONLY | os.O_APPEND)
            try:
                rest = memoryview(_line(record))
                while rest:
                    rest = rest[os.write(descriptor, rest) :]
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        except OSError as error:
            raise OutputError(f"{self._named}: cannot be written ({reason_of(error)})") from None

    @property
    def _place(self) -> Path:
        return resolved(self._path)

    def _read(self, kind: str) -> tuple[Json, list[Json], int]:
        """The header, the records, and the length of the lines that are whole."""
        with open_regular(self._path) as (file, size):
            if size > _LARGEST:
                raise InputError(f"{self._named}: {size} bytes: expected at most {_LARGEST}")
            content = file.read()
        *lines, rest = content.split(b"\n")
        found = []
        for number, line in enumerate(lines, start=1):
            record = parse_json(line, f"{self._named}, line {number}")
            if not isinstance(record, dict):
                raise InputError(f"{self._named}, line {number}: {brief(record)}: no object")
            found.append(record)
        first = found[0] if found else {}
        if first.get("journal") != kind or not isinstance(first.get("run"), dict):
            raise InputError(f"{self._named}: is no checkpoint of `mimverify {kind}`")
        if first.get("format") != _FORMAT:
            raise InputError(
                f"{self._named}: has format {brief(first.get('format'))}: expected {_FORMAT}"
            )
        return first, found[1:], len(content) - len(rest)

    def _check_same(self, saved: Json, wanted: Json) -> None:
        before, now = dict(_flat(saved)), dict(_flat(wanted))
        for name in dict.fromkeys((*now, *before)):
            if before.get(name, "missing") != now.get(name, "missing"):
                raise InputError(
                    f"{self._named}: is of another run: {name} was "
                    f"{brief(before.get(name, 'missing'))} and is {brief(now.get(name, 'missing'))}"
                )

    def _cut(self, whole: int) -> None:
        """Drop a line that a kill has left without its end."""
        descriptor = os.open(self._place, os.O_WRONLY)
        try:
            if os.fstat(descriptor).st_size > whole:
                os.ftruncate(descriptor, whole)
        finally:
            os.close(descriptor)


def _line(record: Mapping[str, object]) -> bytes:
    return json.dumps(jsonable(dict(record)), allow_nan=False).encode() + b"\n"


def _flat(content: Json, prefix: str = "") -> list[tuple[str, object]]:
    """Single values with dotted names, so that a difference can be named."""
    found: list[tuple[str, object]] = []
    for name, value in content.items():
        if isinstance(value, dict) and value:
            found += _flat(value, f"{prefix}{name}.")
        else:
            found.append((f"{prefix}{name}", value))
    return found
