"""Dataclasses of numbers, texts and arrays as JSON with arrays beside it, and back.

Read by the annotations of the class that is expected: a file names no class.
"""

from __future__ import annotations

import types
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from functools import lru_cache
from typing import Any, TypeAlias, TypeVar, Union, get_args, get_origin, get_type_hints

import numpy as np

from mimverify.support.arrays import NumpyArray

__all__ = ["from_plain", "to_plain"]

Record = TypeVar("Record")
#: What JSON holds, or an annotation: only looking at it tells.
Plain: TypeAlias = Any

_ARRAY, _GIVEN = "array", "given"


def to_plain(record: object, given: Mapping[type, object]) -> tuple[Plain, dict[str, NumpyArray]]:
    """What JSON can hold (with NaN and infinities), and the arrays that it refers to.

    **Arguments**

    - `given`: what the reader has already, by type: only its place is noted.

    **Raises** `TypeError` for anything else within.
    """
    arrays: dict[str, NumpyArray] = {}

    def plain(value: object) -> Plain:
        for kind, held in given.items():
            if isinstance(value, kind):
                if value is not held:
                    raise TypeError(f"another {kind.__name__} than the one given")
                return {_GIVEN: kind.__name__}
        if isinstance(value, np.ndarray):
            name = f"a{len(arrays)}"
            arrays[name] = value
            return {_ARRAY: name}
        if isinstance(value, np.generic):
            return value.item()
        if value is None or isinstance(value, (bool, int, float, str)):
            return value
        if isinstance(value, (tuple, list)):
            return [plain(item) for item in value]
        if isinstance(value, dict):
            return {key: plain(item) for key, item in value.items()}
        if is_dataclass(value) and not isinstance(value, type):
            return {item.name: plain(getattr(value, item.name)) for item in fields(value)}
        raise TypeError(f"got {type(value).__name__}")

    return plain(record), arrays


def from_plain(
    kind: type[Record], value: Plain, arrays: Mapping[str, NumpyArray], given: Mapping[type, object]
) -> Record:
    """The record that `to_plain` was given.

    **Raises** `TypeError` or `ValueError` for anything that is not one of this class.
    """

    def build(value: Plain, hint: Plain) -> Plain:
        origin: Plain = get_origin(hint)
        inner = get_args(hint)
        if origin in (Union, types.UnionType):
            return one_of(value, inner)
        if hint is None or hint is type(None):
            return expect(value, value is None)
        if hint in given:
            expect(value, value == {_GIVEN: hint.__name__})
            return given[hint]
        if origin is np.ndarray or hint is np.ndarray:
            expect(value, isinstance(value, dict) and set(value) == {_ARRAY})
            return arrays[value[_ARRAY]]
        if origin in (tuple, list):
            expect(value, isinstance(value, list))
            if origin is list or inner[-1:] == (Ellipsis,):
                kinds = [inner[0]] * len(value)
            else:
                kinds = list(inner)
            return origin(build(item, one) for item, one in zip(value, kinds, strict=True))
        if origin is dict:
            expect(value, isinstance(value, dict))
            return {key: build(item, inner[1]) for key, item in value.items()}
        if hint is float:
            return float(
                expect(value, isinstance(value, (int, float)) and not isinstance(value, bool))
            )
        if hint in (bool, int, str):
            return expect(value, type(value) is hint)
        if is_dataclass(hint) and isinstance(hint, type):
            hints = _hints(hint)
            names = {item.name for item in fields(hint)}
            expect(value, isinstance(value, dict) and set(value) == names)
            return hint(**{name: build(value[name], hints[name]) for name in names})
        raise TypeError(f"no {hint!r} is read")

    def one_of(value: Plain, kinds: tuple[Plain, ...]) -> Plain:
        for hint in kinds:
            try:
                return build(value, hint)
            except (TypeError, ValueError, KeyError):
                continue
        raise ValueError("expected one of several types, found another")

    def expect(value: Plain, holds: bool) -> Plain:
        if not holds:
            raise ValueError("a value of another type than expected")
        return value

    try:
        return build(value, kind)  # type: ignore[no-any-return]
    except KeyError as error:
        raise ValueError(f"no array {error}") from None


@lru_cache(maxsize=64)
def _hints(kind: type) -> dict[str, Plain]:
    return get_type_hints(kind)
