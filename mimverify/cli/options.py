"""Options and output that several commands share."""

from __future__ import annotations

import io
import json
import os
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import click
import numpy as np
from rich.console import Console, RenderableType

from mimverify.cli.number_types import PARALLEL, Count
from mimverify.cli.standard_streams import is_unicode
from mimverify.support.arrays import NumpyArray
from mimverify.support.errors import InputError, OutputError
from mimverify.support.files import atomic_write, is_special
from mimverify.support.strict_json import Json, jsonable

json_option = click.option(
    "--json",
    "json_path",
    metavar="FILE",
    help="Write the result as JSON; '-' prints it, and nothing else, on standard output.",
)
seed_option = click.option(
    "--seed", type=Count(0, 2**32 - 1), default=0, show_default=True,
    help="Everything random derives from it.",
)  # fmt: skip
threads_option = click.option(
    "--threads", type=PARALLEL, default=None,
    help="Threads of every library's pool (default: the libraries' own).",
)  # fmt: skip


_NARROWEST = 80


class PageConsole(Console):
    """A console for tables; rich draws them with ASCII where the encoding lacks other lines."""

    def __init__(self, *, stderr: bool = False) -> None:
        super().__init__(stderr=stderr, emoji=False)
        if self.width < _NARROWEST:  # let the terminal wrap lines rather than cut numbers
            self.width = _NARROWEST


def deliver(
    json_path: str | None,
    record: Callable[[], Json],
    page: Callable[[], Iterable[RenderableType]],
) -> None:
    """Write the record to the file of `--json`, and print the page unless that is '-'."""
    try:
        if json_path is not None:
            write_json(json_path, record())
    finally:  # a file that cannot be written leaves the page
        if json_path != "-":
            console = PageConsole()
            for block in page():
                console.print(block, markup=False, highlight=False)


def write_json(path: str, record: Json) -> None:
    """Write strict JSON (null, never NaN) atomically to a file, or to '-'."""
    readable = path != "-" or is_unicode(sys.stdout)
    text = json.dumps(jsonable(record), indent=2, allow_nan=False, ensure_ascii=not readable)
    write_text(path, text + "\n")


def write_text(path: str, text: str) -> None:
    """Write a text atomically to a file, or to '-': there with references (`&#215;`), as
    HTML and Markdown have them, for what is not ASCII if the encoding lacks some of it."""
    if path == "-":
        if not is_unicode(sys.stdout):
            text = text.encode("ascii", "xmlcharrefreplace").decode()
        click.echo(text, nl=False)
        return
    write_bytes(path, text.encode(errors="backslashreplace"))


def write_arrays(path: str, arrays: Mapping[str, NumpyArray]) -> None:
    """Write arrays atomically to an .npz file."""
    buffer = io.BytesIO()
    named: dict[str, Any] = dict(arrays)  # savez has keywords of other types
    np.savez(buffer, **named)
    write_bytes(path, buffer.getvalue())


def write_bytes(path: str, content: bytes) -> None:
    """Write a file atomically. **Raises** `OutputError` if it cannot be written."""
    try:
        atomic_write(Path(path), content)
    except InputError as error:
        raise OutputError(str(error)) from None


def check_writable(argument: str, path: str | None) -> None:
    """Refuse an output path before the work is done rather than after. Raises `InputError`."""
    if path is None or path == "-":
        return
    if Path(path).is_dir():
        raise InputError(f"{argument}={path!r}: is a folder, expected a file")
    if is_special(Path(path)):
        if not os.access(path, os.W_OK):
            raise InputError(f"{argument}={path!r}: cannot be written to")
        return
    folder = Path(path).resolve().parent
    if not folder.is_dir() or not os.access(folder, os.W_OK):
        raise InputError(f"{argument}={path!r}: {folder} is not a folder that can be written to")


def check_distinct(paths: Mapping[str, str | None]) -> None:
    """Refuse one file in two roles: one would overwrite the other. Raises `InputError`.

    **Arguments**

    - `paths`: the file that each option or argument names; None and '-' name none.
    """
    seen: dict[Path, str] = {}
    for argument, path in paths.items():
        if path is None or path == "-" or is_special(Path(path)):
            continue
        place = Path(path).resolve()
        if place in seen:
            raise InputError(f"{seen[place]} and {argument} both name {path!r}: expected two files")
        seen[place] = argument
