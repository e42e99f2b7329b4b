"""Dataclasses that were rebuilt from a file, checked against their annotations."""

from __future__ import annotations

import types
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from enum import Enum
from typing import Any, Union, get_args, get_origin, get_type_hints

from mimverify.support.strict_json import brief

__all__ = ["check_field_types"]


def check_field_types(value: object) -> None:
    """Check every field of a dataclass, and of those within, against its annotation.

    A float may be an integer, as JSON writes some; a boolean is no number.
    **Raises** `TypeError` naming the first field of another type.
    """
    hints = get_type_hints(type(value))
    for item in fields(value):  # type: ignore[arg-type]
        held = getattr(value, item.name)
        if not _conforms(held, hints[item.name]):
            raise TypeError(f"{type(value).__name__}.{item.name}={brief(held)}")


def _conforms(value: object, hint: Any) -> bool:
    origin, inner = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        return any(_conforms(value, one) for one in inner)
    if origin is tuple and inner[-1:] != (Ellipsis,):
        return (
            isinstance(value, tuple)
            and len(value) == len(inner)
            and all(map(_conforms, value, inner))
        )
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return isinstance(value, Mapping) and all(
            _conforms(key, inner[0]) and _conforms(item, inner[1]) for key, item in value.items()
        )
    if isinstance(origin, type) and issubclass(origin, Sequence):
        return isinstance(value, origin) and all(_conforms(item, inner[0]) for item in value)
    kind = hint if origin is None else origin
    if kind is Any or not isinstance(kind, type):  # or what only type checkers know
        return value is None if hint is None else True
    if kind in (int, float):
        return not isinstance(value, bool) and isinstance(
            value, (int, float) if kind is float else int
        )
    if not isinstance(value, kind):
        return False
    if is_dataclass(value) and not isinstance(value, (type, Enum)):
        check_field_types(value)
    return True
