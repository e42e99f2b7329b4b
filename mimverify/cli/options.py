"""Options and output that several commands share."""

from __future__ import annotations

import io
import json
import os
import shlex
import sys
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import click
import numpy as np
from rich.console import Console, RenderableType

from mimverify.cli.number_types import PARALLEL, Count
from mimverify.cli.standard_streams import is_unicode
from mimverify.pages.figures import FIGURE_FORMATS, check_format, check_matplotlib
from mimverify.support.arrays import NumpyArray
from mimverify.support.errors import InputError
from mimverify.support.files import atomic_write, check_place, is_special, resolved
from mimverify.support.output_lock import hold
from mimverify.support.strict_json import Json, jsonable

_Command = TypeVar("_Command", bound=Callable[..., Any])

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


def figure_option(help: str) -> Callable[[_Command], _Command]:
    """`--figure FILE`: what it draws, without its end of a sentence.

    The command calls `check_figure` before its work, and `save_figure` after it.
    """
    return click.option(
        "--figure", "figure_path", metavar="FILE",
        help=f"{help} (.{', .'.join(FIGURE_FORMATS)}; needs the extra 'figures').",
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
            show(page())


def show(blocks: Iterable[RenderableType]) -> None:
    """Print blocks of a page; they are there at once, not when the command ends."""
    console = PageConsole()
    for block in blocks:
        console.print(block, markup=False, highlight=False)
    sys.stdout.flush()


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
    atomic_write(Path(path), text.encode(errors="backslashreplace"))


def write_arrays(path: str, arrays: Mapping[str, NumpyArray]) -> None:
    """Write arrays atomically to an .npz file."""
    buffer = io.BytesIO()
    named: dict[str, Any] = dict(arrays)  # savez has keywords of other types
    np.savez(buffer, **named)
    atomic_write(Path(path), buffer.getvalue())


def check_figure(path: str | None) -> None:
    """Refuse the file of `--figure` before the work: its name, its place, or without matplotlib.

    **Raises** `InputError`.
    """
    if path is not None:
        check_format("--figure", path)
        check_writable("--figure", path)
        check_matplotlib("--figure")


def check_writable(argument: str, path: str | None) -> None:
    """Refuse an output path before the work is done rather than after.

    Within a command the file is claimed until the command ends: two runs that write one file would
    undo each other. **Raises** `InputError`.
    """
    if path is None or path == "-":
        return
    check_place(argument, path)
    context = click.get_current_context(silent=True)
    first = os.environ.get("RANK", "0") == "0"  # of torchrun's processes, the one that writes
    if context is not None and first and not is_special(Path(path)):
        context.call_on_close(hold(argument, path))


def command_line(*, without: Collection[str] = ()) -> str:
    """The command under way, as it would be typed: options that differ from their defaults.

    **Arguments**

    - `without`: names of parameters that are left out, such as files for other results.
    """
    context = click.get_current_context()
    options, operands = [], []
    for parameter in context.command.params:
        name = parameter.name or ""
        value = context.params[name]
        default = parameter.get_default(context)
        default = getattr(default, "name", default)  # of a profile
        if name in without or value in (None, False, (), default):
            continue
        values = value if isinstance(value, tuple) else (value,)
        if values == default:
            continue
        if isinstance(parameter, click.Argument):
            operands += [str(one) for one in values]
        elif value is True:
            options.append(parameter.opts[-1])
        else:
            options += [word for one in values for word in (parameter.opts[-1], str(one))]
    return shlex.join([*context.command_path.split(), *operands, *options])


def check_distinct(paths: Mapping[str, str | None]) -> None:
    """Refuse one file in two roles: one would overwrite the other. Raises `InputError`.

    **Arguments**

    - `paths`: the file that each option or argument names; None and '-' name none.
    """
    seen: dict[Path, str] = {}
    for argument, path in paths.items():
        if path is None or path == "-":
            continue
        place = resolved(Path(path))  # first: it refuses what is no path
        if is_special(place):
            continue
        if place in seen:
            raise InputError(f"{seen[place]} and {argument} both name {path!r}: expected two files")
        seen[place] = argument
