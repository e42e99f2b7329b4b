"""`mimverify new-trainer`: the skeleton of a trainer."""

from __future__ import annotations

import os
from importlib.resources import files
from pathlib import Path

import click

from mimverify.cli.exit_codes import ExitCodes
from mimverify.cli.new_names import check_new_name
from mimverify.support.errors import InputError, OutputError
from mimverify.support.files import atomic_write

SECTION = "Write your own"
EXIT_CODES = ExitCodes(success="written")

_PLACEHOLDER = "NEW_TRAINER"


def _kinds() -> list[str]:
    """A folder of `trainer_skeletons` each."""
    folders = files("mimverify.cli").joinpath("trainer_skeletons").iterdir()
    return sorted(each.name for each in folders if each.is_dir() and each.name[0] not in "._")


@click.command(epilog=str(EXIT_CODES))
@click.argument("name", metavar="NAME")
@click.option(
    "--kind",
    type=click.Choice(_kinds()),
    default="numpy",
    show_default=True,
    help="What it trains with.",
)
def new_trainer(name: str, kind: str) -> None:
    """Write the skeleton of a trainer: a file NAME.py to put your own code into.

    NAME is that of a Python module; nothing is overwritten. The skeleton works as it is.
    """
    contents = _contents(name, kind)
    for path in (Path(name), *contents):
        if os.path.lexists(path):
            raise InputError(f"NAME={name!r}: {str(path)!r} exists already; expected a new name")
    check_new_name(name, "module", "my_trainer")
    if name in _kinds():
        raise InputError(f"NAME={name!r}: would hide the library of that name")
    _write(contents)
    for path in contents:
        click.echo(f"wrote {path}")
    expected = Path(f"{name}_expected.txt")
    option = f" --expected-failures {expected}" if expected in contents else ""
    click.echo(f"next: mimverify check {name}:Trainer{option}")
    click.echo("      and read the comments of the file: they say what is yours to replace")


def _contents(name: str, kind: str) -> dict[Path, str]:
    folder = files("mimverify.cli").joinpath("trainer_skeletons", kind)
    return {
        Path(source.name.removesuffix(".txt").replace(_PLACEHOLDER, name)): source.read_text(
            encoding="utf-8"
        ).replace(_PLACEHOLDER, name)
        for source in sorted(folder.iterdir(), key=lambda each: each.name)
        if source.name.endswith(".txt")
    }


def _write(contents: dict[Path, str]) -> None:
    """All files or none."""
    written: list[Path] = []
    try:
        for path, text in contents.items():
            atomic_write(path, text.encode())
            written.append(path)
    except OutputError:
        for path in written:
            path.unlink(missing_ok=True)
        raise
