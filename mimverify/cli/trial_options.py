"""The settings of a trial as options of the command line, made from their fields."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import MISSING, fields
from typing import Any

import click

from mimverify.trial.running.settings import Spelling, TrialSettings, spellings

__all__ = ["trial_options"]

Command = Callable[..., Any]


def trial_options(
    *names: str, help: dict[str, str] | None = None, **defaults: Any
) -> Callable[[Command], Command]:
    """Give a command these settings as options, all of them without names, by their names.

    **Arguments**

    - `help`: of settings that mean something more special here.
    - `defaults`: values that stand for settings that are not given, where a command line is to
      differ from Python.
    """
    known = {item.name: item for item in fields(TrialSettings)}

    def default_of(name: str) -> Any:
        item = known[name]
        return defaults.get(name, None if item.default is MISSING else item.default)

    def decorate(command: Command) -> Command:
        for name, spelling in reversed(spellings().items()):
            if name in names or not names:
                text = (help or {}).get(name, spelling.help)
                command = _option(name, spelling, default_of(name), text)(command)
        return command

    return decorate


def _option(name: str, spelling: Spelling, default: Any, text: str) -> Callable[[Command], Command]:
    kind: Any = spelling.type
    if spelling.choices:
        kind = click.Choice(list(spelling.choices))
        default = getattr(default, "name", default)
    elif spelling.limits is not None:
        kind = click.IntRange(*spelling.limits)
    shown = default is not None and default != ()
    return click.option(
        *spelling.flags,
        name,
        type=kind,
        multiple=spelling.many,
        metavar=spelling.metavar,
        default=default,
        show_default=shown,
        help=text,
    )
