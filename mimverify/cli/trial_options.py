"""The settings of a trial as options of the command line, made from their fields."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import MISSING, fields
from typing import TYPE_CHECKING, TypeAlias

import click

from mimverify.cli.number_types import Count, Number
from mimverify.support.validation import LARGEST

if TYPE_CHECKING:
    from mimverify.trial.running.settings import Spelling

__all__ = ["trial_options"]

Command: TypeAlias = Callable[..., object]


def trial_options(
    *names: str, help: dict[str, str] | None = None, **defaults: object
) -> Callable[[Command], Command]:
    """Add the settings of these names, or all without any, to a command as options.

    **Arguments**

    - `help`: texts that replace those of the settings, by name.
    - `defaults`: values that replace the defaults of the settings, by name.
    """
    from mimverify.trial.running.settings import TrialSettings, spellings

    known = {item.name: item for item in fields(TrialSettings)}

    def default_of(name: str) -> object:
        item = known[name]
        return defaults.get(name, None if item.default is MISSING else item.default)

    def decorate(command: Command) -> Command:
        for name, spelling in reversed(spellings().items()):
            if spelling.flags and (name in names or not names):
                text = (help or {}).get(name, spelling.help)
                command = _option(name, spelling, default_of(name), text)(command)
        return command

    return decorate


def _option(
    name: str, spelling: Spelling, default: object, text: str
) -> Callable[[Command], Command]:
    if spelling.type is bool:
        return click.option(*spelling.flags, name, is_flag=True, default=default, help=text)
    kind: object = spelling.type
    if spelling.choices:
        kind = click.Choice(list(spelling.choices))
        default = getattr(default, "name", default)
    elif spelling.limits is not None:
        low, high = spelling.limits
        kind = Count(-LARGEST if low is None else low, LARGEST if high is None else high)
    elif spelling.type in (int, float):
        kind = Count() if spelling.type is int else Number()
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
