"""How long the trainer's calls took, and how much of it was compiling."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

from mimverify.support.arrays import NumpyArray

__all__ = ["REPEATABLE", "CallTimes", "ProgramSignature", "magnitude"]

_NEGLIGIBLE = 0.01  # s; a first call that took less is not worth a second one
_NEAR = 4.0  # ratio of the sizes of two calls, one of which tells what the other takes

#: Methods whose calls can be repeated at any time without consequence for later calls.
REPEATABLE = ("step", "trajectory")

#: What a program is compiled for: method, shape and dtype of each array, and the options that
#: are no rates.
ProgramSignature: TypeAlias = tuple[object, ...]


@dataclass(frozen=True)
class _FirstCall:
    """The first call of a method with a signature: numbers multiplied in it, and its seconds."""

    signature: ProgramSignature
    method: str
    size: float
    seconds: float


class CallTimes:
    """Seconds of the calls of one trainer, and an estimate of those spent compiling.

    A trainer that compiles (`jax.jit`, `torch.compile`, Numba) does so at the first call with
    a *signature*. What a first call takes beyond a later one with its signature is compiling.
    Where a signature occurs once, the later call is that of the same method whose size is
    nearest, scaled up to the size of the first call. Before any call of a method has been
    repeated, nothing of `REPEATABLE` ones counts as compiling, since they can be repeated to
    find out, and everything of the others, which claims repeat with their next run. A trainer
    that is merely slow is as slow the second time.
    """

    def __init__(self) -> None:
        self._first: dict[ProgramSignature, _FirstCall] = {}  # in their order
        self._again: dict[ProgramSignature, float] = {}  # seconds of the fastest later call

    def __len__(self) -> int:
        """The number of signatures so far."""
        return len(self._first)

    def signature(
        self, method: str, arrays: Mapping[str, NumpyArray], options: Mapping[str, object]
    ) -> ProgramSignature:
        """What a compiled program depends on; rates (floats) are arguments of a program."""
        shapes = ((name, array.shape, array.dtype.str) for name, array in arrays.items())
        fixed = ((name, _hashable(v)) for name, v in options.items() if not isinstance(v, float))
        return (method, *shapes, *fixed)

    def observe(
        self,
        method: str,
        arrays: Mapping[str, NumpyArray],
        options: Mapping[str, object],
        seconds: float,
    ) -> None:
        """Record that a call took so long; one without arrays compiles nothing."""
        if not arrays:
            return
        signature = self.signature(method, arrays, options)
        if signature in self._first:
            self._again[signature] = min(seconds, self._again.get(signature, math.inf))
        else:
            size = _size(arrays, options)
            self._first[signature] = _FirstCall(signature, method, size, seconds)

    def compiling(self, since: int = 0) -> float:
        """Estimated seconds of compiling in the first calls from the `since`-th on."""
        total = 0.0
        for call in list(self._first.values())[since:]:
            steady = self._steady(call)
            if steady is None:
                steady = call.seconds if call.method in REPEATABLE else 0.0
            total += max(0.0, call.seconds - steady)
        return total

    def unexplained(
        self, method: str, arrays: Mapping[str, NumpyArray], options: Mapping[str, object]
    ) -> bool:
        """Whether repeating this call would tell if the first one with its signature compiled."""
        call = self._first.get(self.signature(method, arrays, options))
        if call is None or call.seconds < _NEGLIGIBLE or call.method not in REPEATABLE:
            return False
        return self._steady(call, within=_NEAR) is None

    def _steady(self, call: _FirstCall, *, within: float = math.inf) -> float | None:
        """Seconds of the call without compiling; None if none of a size within this ratio was
        repeated."""
        if call.signature in self._again:
            return self._again[call.signature]
        known = []
        for signature, seconds in self._again.items():
            other = self._first[signature]
            ratio = max(call.size / other.size, other.size / call.size)
            if other.method == call.method and ratio <= within:
                known.append((ratio, other.size, seconds))
        if not known:
            return None
        _, size, seconds = min(known)
        return seconds * max(1.0, call.size / size)


def magnitude(arrays: Mapping[str, NumpyArray], options: Mapping[str, object]) -> int:
    """The order of magnitude of a call's size: those of one order take about as long."""
    return round(math.log(_size(arrays, options), _NEAR))


def _size(arrays: Mapping[str, NumpyArray], options: Mapping[str, object]) -> float:
    """Numbers that a call multiplies, but for a factor: n d m T of `step` and `trajectory`."""
    # Claims' own methods may call arrays of other shapes by these names.
    inputs, heads = arrays.get("X"), arrays.get("a")
    rows, columns = inputs.shape if inputs is not None and inputs.ndim == 2 else (1, 1)
    neurons = len(heads) if heads is not None and heads.ndim == 1 else 1
    steps = options.get("steps", 1)
    return float(max(1, rows) * columns * neurons * (steps if isinstance(steps, int) else 1))


def _hashable(value: object) -> object:
    """The value of an option, or the text of one that may be a list."""
    return value if isinstance(value, (str, int)) else repr(value)
