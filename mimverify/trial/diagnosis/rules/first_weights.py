"""What the first weights returned are, where they are not those handed over."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from mimverify.support.arrays import Float64Array
from mimverify.trial.diagnosis.rules.number_formats import ROUNDINGS

ONE_BUFFER = "all returned weights are the last ones: one buffer, updated in place"
UNIT_START = "start brought to rows of length 1"
ROUNDED_START = "every weight rounded to {}"

_RELATIVE = 1e-6  # of rows of length 1, in float64 or float32


def rules_of_start(
    weights: Float64Array, start: Float64Array, dtype: str
) -> Iterator[tuple[str, str]]:
    """Names of rules and details that give `weights[0]` of `(steps + 1, m, d)` from `start`."""
    first = weights[0]
    if len(weights) > 1 and (weights == first).all():
        yield ONE_BUFFER, ""
    length = np.linalg.norm(start, axis=1, keepdims=True)
    if length.all() and (np.abs(first - start / length) <= _RELATIVE).all():
        yield UNIT_START, ""
    for name, rounded in ROUNDINGS.items():
        if name != dtype and np.array_equal(first, rounded(start)):
            yield ROUNDED_START, name
            return
