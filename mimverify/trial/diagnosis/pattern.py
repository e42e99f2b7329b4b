"""Which neurons and coordinates are beyond rounding, in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from jaxtyping import Bool

__all__ = ["indices", "pattern"]

_FILLED = 0.9  # of a pattern's weights that are beyond rounding: a few are right by chance
_LISTED = 8  # indices at most
_REPEATS = 3  # that show a regular distance


def pattern(beyond: Bool[NDArray[np.bool_], "m d"]) -> str:
    """The weights that are beyond rounding as neurons and coordinates: "coordinates 64–95 of 96 of
    every neuron", "neuron 12 of 13 (the last)", counted from 0; "" for all of them.

    **Arguments**

    - `beyond`: `(m, d)`.
    """
    neurons, coordinates = np.asarray(beyond.any(axis=1)), np.asarray(beyond.any(axis=0))
    hull = int(neurons.sum()) * int(coordinates.sum())
    count = int(beyond.sum())
    if count < _FILLED * hull:
        return f"{count} of {beyond.size} weights"
    if neurons.all() and coordinates.all():
        return ""
    if coordinates.all():
        return indices("neuron", neurons)
    of = "every neuron" if neurons.all() else indices("neuron", neurons)
    return f"{indices('coordinate', coordinates)} of {of}"


def indices(noun: str, chosen: NDArray[np.bool_]) -> str:
    """The chosen ones, one at least, in words: "neuron 12 of 13 (the last)", "neurons 8–12 of 13",
    "every 2nd neuron of 13 from 0 on", …"""
    found, of = np.flatnonzero(chosen), len(chosen)
    first, last, count = int(found[0]), int(found[-1]), len(found)
    if count == 1:
        return f"{noun} {first} of {of}{' (the last)' * (of > 1 and last == of - 1)}"
    apart = np.unique(np.diff(found))
    if len(apart) == 1 and apart[0] == 1:
        return f"{noun}s {first}–{last} of {of}"
    if len(apart) == 1 and count >= _REPEATS and last + apart[0] >= of:
        return f"every {_ordinal(int(apart[0]))} {noun} of {of} from {first} on"
    if count <= _LISTED:
        return f"{noun}s {', '.join(map(str, found))} of {of}"
    return f"{count} of {of} {noun}s"


def _ordinal(number: int) -> str:
    ending = {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{'th' if number % 100 in (11, 12, 13) else ending}"
