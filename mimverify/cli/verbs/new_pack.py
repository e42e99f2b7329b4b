"""`mimverify new-pack`: the skeleton of a pack of claims."""

from __future__ import annotations

import os
import shutil
import tempfile
from importlib.resources import files
from pathlib import Path

import click

from mimverify.cli.exit_codes import ExitCodes
from mimverify.cli.new_names import check_new_name
from mimverify.support.errors import InputError
from mimverify.support.files import reason_of

SECTION = "Write your own"
EXIT_CODES = ExitCodes(success="written")

_PLACEHOLDER = "NEW_PACK"


@click.command(epilog=str(EXIT_CODES))
@click.argument("name", metavar="NAME")
def new_pack(name: str) -> None:
    """Write the skeleton of a pack of claims: a folder NAME with claims, mutants and a test.

    NAME is that of a Python package; the folder must not exist. The skeleton works as it is.
    """
    check_new_name(name, "package", "my_theorem")
    folder = Path(name)
    if os.path.lexists(folder):
        raise InputError(f"NAME={name!r}: exists already; expected a new name")
    for path in _write(folder):
        click.echo(f"wrote {path}")
    click.echo(f"next: mimverify check numpy --claims {name}.claims")
    click.echo(f"      mimverify check {name}.mutants:ClippedStep --claims {name}.claims")


def _write(folder: Path) -> list[Path]:
    """Write all files or none. **Returns** their paths."""
    contents = {
        source.name.removesuffix(".txt").replace(_PLACEHOLDER, folder.name): source.read_text(
            encoding="utf-8"
        ).replace(_PLACEHOLDER, folder.name)
        for source in files("mimverify.cli").joinpath("skeleton").iterdir()
        if source.name.endswith(".py.txt")
    }
    partial = None
    try:
        partial = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
        made = partial / folder.name
        made.mkdir()  # with the usual permissions, which a temporary folder has not
        for name, text in contents.items():
            (made / name).write_text(text, encoding="utf-8")
        made.rename(folder)
    except (OSError, ValueError) as error:
        raise InputError(
            f"NAME={str(folder)!r}: cannot be written ({reason_of(error)}); go to a folder of yours"
        ) from None
    finally:
        if partial is not None:
            shutil.rmtree(partial, ignore_errors=True)
    return [folder / name for name in sorted(contents)]
