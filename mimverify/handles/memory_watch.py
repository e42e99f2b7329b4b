"""What a trainer's calls do to memory that is not theirs: their arguments, and earlier results."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np

from mimverify.support.arrays import NumpyArray
from mimverify.support.errors import TrainerError

__all__ = ["CHANGES", "MemoryWatch", "kind_of_change"]

_RESULT = "earlier results changed by a later call"
#: What a call can do to memory that is not its own, by words that a sentence about it alone has.
_KINDS = {
    " changed its argument ": "arguments changed by the call",
    ", an argument of the earlier ": "arguments of an earlier call changed",
    " wrote into the memory between ": "memory between the arguments written",
    " changed the result of the earlier ": _RESULT,
    " cannot be read any more": _RESULT,
    " lies in the memory of its argument ": "results returned in the memory of an argument",
}
#: What `kind_of_change` returns.
CHANGES = tuple(dict.fromkeys(_KINDS.values()))

_KEPT = 3  # calls whose arguments and results are compared after later calls

#: The array that a trainer returned, read from it once more.
_Result: TypeAlias = Callable[[], NumpyArray]


@dataclass
class _Watched:
    """One call: the arrays handed to it with copies of them, and its result with a copy."""

    method: str
    arguments: Mapping[str, NumpyArray]
    copies: Mapping[str, NumpyArray]
    #: The memory in which the arguments lie, and a copy of it.
    memory: list[tuple[NumpyArray, bytes]]
    result: _Result | None = None
    result_copy: NumpyArray = field(default_factory=lambda: np.zeros(0))


class MemoryWatch:
    """Compares, after every call of a trainer, what it was given and what it had returned before.

    Arguments belong to the caller: they have to be what they were, bit by bit, and so has the
    memory around them. So do results: a later call must not change them.
    """

    def __init__(self) -> None:
        self._calls: deque[_Watched] = deque(maxlen=_KEPT)
        self._changes: list[str] = []

    def forget(self) -> None:
        """Forget the calls, as those of another trainer."""
        self._calls.clear()
        self._changes = []

    def take(self) -> tuple[str, ...]:
        """What was changed since the last time, a sentence each."""
        changes, self._changes = tuple(self._changes), []
        return changes

    def handed(self, method: str, arguments: Mapping[str, NumpyArray]) -> None:
        """A call is about to be made with these arrays."""
        memory = {id(owner): owner for owner in map(_owner, arguments.values())}
        copies = {name: np.array(array, order="C") for name, array in arguments.items()}
        held = [(owner, owner.tobytes()) for owner in memory.values()]
        self._calls.append(_Watched(method, dict(arguments), copies, held))

    def returned(self, array: NumpyArray | None = None, result: _Result | None = None) -> None:
        """The call has returned.

        **Arguments**

        - `array`: what it returned, perhaps the trainer's own memory; None: nothing.
        - `result`: reads the numbers in what it returned, now and after later calls.
        """
        call = self._calls[-1]
        found = _changed_arguments(call, call)
        for earlier in list(self._calls)[:-1]:
            found += _changed_arguments(earlier, call) + _changed_result(earlier, call)
        if array is not None and result is not None:
            call.result, call.result_copy = result, result()
            found += _shared_memory(call, array)
        self._changes += found
        if found:  # each change is reported once
            self._calls.clear()


def kind_of_change(sentence: str) -> str:
    """Which of `CHANGES` a sentence of `MemoryWatch.take` is about; "" for any other text."""
    return next((kind for words, kind in _KINDS.items() if words in sentence), "")


def _owner(array: NumpyArray) -> NumpyArray:
    """The array in whose memory this one lies."""
    while isinstance(array.base, np.ndarray):
        array = array.base
    return array


def _changed_arguments(call: _Watched, by: _Watched) -> list[str]:
    found = []
    whose = "its argument {}" if call is by else f"{{}}, an argument of the earlier {call.method}()"
    for name, array in call.arguments.items():
        change = _change(call.copies[name], array)
        if change:
            found.append(f"{by.method}() changed {whose.format(name)}: {change}")
    if not found and any(owner.tobytes() != before for owner, before in call.memory):
        whose = "its arguments" if call is by else f"those of the earlier {call.method}()"
        found.append(f"{by.method}() wrote into the memory between {whose}")
    return found


def _changed_result(call: _Watched, by: _Watched) -> list[str]:
    if call.result is None:
        return []
    what = f"the result of the earlier {call.method}()"
    try:
        change = _change(call.result_copy, call.result())
    except TrainerError as error:  # its memory was given to the next call, or released
        return [f"after {by.method}() {what} cannot be read any more: {error}"]
    return [f"{by.method}() changed {what}: {change}"] if change else []


def _shared_memory(call: _Watched, array: NumpyArray) -> list[str]:
    """A result that lies in the memory of an argument, and changes with it."""
    return [
        f"the result of {call.method}() lies in the memory of its argument {name}"
        for name, argument in call.arguments.items()
        if np.may_share_memory(array, _owner(argument))
    ][:1]


def _change(before: NumpyArray, after: NumpyArray) -> str:
    """How `after` differs from `before` in its bits, a few words; "" if it does not."""
    if after.shape != before.shape or after.dtype != before.dtype:
        return f"it was {_kind(before)}, and is {_kind(after)}"
    if before.tobytes() == after.tobytes():
        return ""
    size = before.itemsize
    bits = [np.frombuffer(each.tobytes(), np.uint8).reshape(-1, size) for each in (before, after)]
    differs = (bits[0] != bits[1]).any(axis=1)
    index = np.unravel_index(int(np.argmax(differs)), before.shape)
    place = ", ".join(str(int(k)) for k in index)
    count = f"{np.count_nonzero(differs)} of {before.size} entries"
    return f"[{place}] was {before[index]}, and is {after[index]} ({count})"


def _kind(array: NumpyArray) -> str:
    return f"{array.dtype} of shape {array.shape}"
