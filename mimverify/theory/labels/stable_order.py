"""The stable order of many numbers: the first of equals first, on every machine.

NumPy's stable sort of floating-point numbers takes five times as long as its unstable one, which
has the processor's vectors. What that leaves open is the order among equals alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mimverify.support.arrays import Float64Array

if TYPE_CHECKING:
    from jaxtyping import Float64, Int64


def stable_order(values: Float64[Float64Array, " n"]) -> Int64[NDArray[np.intp], " n"]:
    """`np.argsort(values, kind="stable")`, for values that are numbers (no NaN)."""
    count = len(values)
    if (values[1:] >= values[:-1]).all():
        return np.arange(count)
    order = np.argsort(values)
    ordered = values[order]
    differs = ordered[1:] != ordered[:-1]
    if differs.all():
        return order
    # Equal values by their index: groups are in order already, and stay where they are.
    group = np.zeros(count, dtype=np.int64)
    np.cumsum(differs, out=group[1:])
    group *= count
    order += group
    order.sort()
    order -= group
    return order
