"""The verbs that there are: the files of `mimverify.cli.verbs`.

What a list of them shows, and in which order, is read from their sources: importing them all would
take a second or more.
"""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

import click

from mimverify.cli import verbs
from mimverify.support.package_files import constant_in, docstring_in, names_of_modules

__all__ = ["SECTIONS", "command_of", "help_of", "module_of", "sections", "verb_names"]

#: Headings under which `--help` lists verbs, in this order; any other comes after them.
SECTIONS = ("Train", "Put on trial", "Write your own", "Ask the theory", "Measure")

_OTHERS = "More"


def verb_names() -> tuple[str, ...]:
    """Names of all verbs in alphabetical order: of their files, with hyphens."""
    return tuple(name.replace("_", "-") for name in names_of_modules(verbs))


def sections() -> dict[str, list[str]]:
    """Heading → its verbs: those whose files have it as their `SECTION`."""
    found: dict[str, list[str]] = {heading: [] for heading in SECTIONS}
    for verb in verb_names():
        declared = constant_in(verbs, _file_of(verb), "SECTION")
        heading = declared if isinstance(declared, str) and declared else _OTHERS
        found.setdefault(heading, []).append(verb)
    return {heading: its_verbs for heading, its_verbs in found.items() if its_verbs}


def module_of(verb: str) -> ModuleType:
    """The module of a verb, imported."""
    return import_module(f"{verbs.__name__}.{_file_of(verb)}")


def command_of(verb: str) -> click.Command:
    """The command of a verb, whose module is imported.

    **Raises** `ImportError` for a file without a command of its name.
    """
    module, name = module_of(verb), _file_of(verb)
    command = getattr(module, name, None)
    if not isinstance(command, click.Command):
        raise ImportError(f"{module.__name__}: expected a click command {name!r}, named like it")
    return command


def help_of(verb: str) -> str | None:
    """What a verb's command says of itself, its docstring."""
    return docstring_in(verbs, _file_of(verb), _file_of(verb)) or command_of(verb).help


def _file_of(verb: str) -> str:
    return verb.replace("-", "_")
