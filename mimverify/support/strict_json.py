"""Conversion to strict JSON."""

from __future__ import annotations

import math
from typing import Any, TypeAlias

import numpy as np

#: A JSON object.
Json: TypeAlias = dict[str, Any]


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
