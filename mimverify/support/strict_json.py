"""Strict JSON: conversion to it, and reading it from files that are not to be trusted."""

from __future__ import annotations

import json
import math
import re
from typing import Any, NoReturn, TypeAlias

import numpy as np

from mimverify.support.errors import InputError

#: A JSON object.
Json: TypeAlias = dict[str, Any]

LARGEST = 1 << 26  # bytes of a text; the values in it may take some 40 times as many
DEEPEST = 64  # nested lists and objects: later code recurses over them
_DIGITS = 300  # of an integer: more are no float64

# Texts, so that brackets in them are skipped; one without an end takes the rest.
_BRACKETS = re.compile(r'"(?:[^"\\]|\\.)*+"?|[\[\]{}]', re.DOTALL)


def jsonable(value: object) -> Any:
    """`value` as strict JSON: NumPy scalars as numbers, NaN and infinities as null, else text."""
    if isinstance(value, dict):
        return {str(key): jsonable(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset, np.ndarray)):
        return [jsonable(item) for item in value]
    if isinstance(value, (bool, np.bool_)):
        return bool(value)
    if isinstance(value, (int, np.integer)):
        return int(value)
    if isinstance(value, (float, np.floating)):
        return float(value) if math.isfinite(value) else None
    if value is None:
        return None
    # Half a surrogate pair, which a message may hold, is no Unicode text.
    return str(value).encode("utf-8", "replace").decode()


def parse_json(
    text: bytes | bytearray,
    source: str,
    *,
    finite: bool = True,
    unicode: bool = True,
    largest: int = LARGEST,
) -> Any:
    """The value that a JSON text in UTF-8 holds.

    **Arguments**

    - `source`: what is read, for messages.
    - `finite`: refuse NaN and infinities, which JSON proper does not have.
    - `unicode`: refuse half a surrogate pair, as names of files hold that are not UTF-8.
    - `largest`: bytes.

    **Raises** `InputError` for anything else than one JSON value, a name that an object has twice,
    and what is larger than any file of ours: more than `largest` bytes, `DEEPEST` levels, or 300
    digits of an integer.
    """
    if len(text) > largest:
        raise InputError(f"{source}: JSON of {len(text)} bytes: expected at most {largest}")
    try:
        decoded = text.decode("utf-8")
        _check_depth(decoded)
        value = json.loads(
            decoded,
            object_pairs_hook=_object,
            parse_int=_integer,
            parse_float=_finite if finite else None,
            parse_constant=_no_constant if finite else None,
        )
        if unicode and ("\\ud" in decoded or "\\uD" in decoded):
            json.dumps(value, ensure_ascii=False).encode("utf-8")
    except (ValueError, RecursionError) as error:
        raise InputError(f"{source}: no valid JSON ({error})") from None
    return value


def brief(value: object) -> str:
    """The value's `repr`, shortened for a message."""
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:79]}…"


def _check_depth(text: str) -> None:
    depth = 0
    for found in _BRACKETS.finditer(text):
        character = found.group()[0]
        if character in "[{":
            depth += 1
            if depth > DEEPEST:
                raise ValueError(f"nested more than {DEEPEST} deep")
        elif character in "]}":
            depth -= 1


def _object(pairs: list[tuple[str, object]]) -> Json:
    content = dict(pairs)
    if len(content) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in content if names.count(name) > 1)
        raise ValueError(f"{brief(twice)} occurs twice in one object")
    return content


def _integer(digits: str) -> int:
    if len(digits) > _DIGITS:
        raise ValueError(f"a number of {len(digits)} digits")
    return int(digits)


def _finite(digits: str) -> float:
    value = float(digits)
    if not math.isfinite(value):
        raise ValueError(f"{brief(digits)} is no finite number")
    return value


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no finite number")
