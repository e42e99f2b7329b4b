"""The content key of a trial: a hash of all that its result depends on."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping

from mimverify.support.errors import InputError
from mimverify.support.strict_json import Json, brief

__all__ = ["canonical_json", "checked_parameters", "trial_key"]

#: Larger integers than this are not all float64 numbers, and are left as they were given.
_EXACT = 2**53


def checked_parameters(argument: str, parameters: Mapping[str, object]) -> Json:
    """Parameters as JSON values in one spelling: 4.0 is 4, a tuple is a list.

    **Raises** `InputError` for a name that is no text, and for a value that JSON does not have:
    NaN, an infinity, an object.
    """
    if not isinstance(parameters, Mapping):
        raise InputError(f"{argument}={brief(parameters)}: expected names with values")
    for name in parameters:
        if not isinstance(name, str) or not name:
            raise InputError(f"{argument}: {brief(name)}: expected the name of a parameter")
    return {name: _value(f"{argument}.{name}", value) for name, value in parameters.items()}


def _value(argument: str, value: object) -> object:
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, int):
        return value
    if isinstance(value, float):
        if not math.isfinite(value):
            raise InputError(f"{argument}={value}: expected a finite number")
        return int(value) if value == int(value) and abs(value) < _EXACT else value
    if isinstance(value, list | tuple):
        return [_value(argument, item) for item in value]
    if isinstance(value, Mapping):
        return checked_parameters(argument, value)
    raise InputError(
        f"{argument}={brief(value)}: expected a number, a text, true or false, or a list of such"
    )


def canonical_json(parameters: Mapping[str, object]) -> str:
    """The one JSON text of checked parameters: names in order, no blanks."""
    return json.dumps(parameters, sort_keys=True, separators=(",", ":"), allow_nan=False)


def trial_key(kind: str, version: str, parameters: Mapping[str, object]) -> str:
    """SHA-256, in hexadecimal digits, of a trial's kind, its version and all its parameters.

    **Arguments**

    - `version`: of the kind: another one says that results of earlier ones do not count.
    - `parameters`: as `checked_parameters` returns them, defaults filled in.
    """
    text = canonical_json({"kind": kind, "version": version, "parameters": parameters})
    return hashlib.sha256(text.encode()).hexdigest()
