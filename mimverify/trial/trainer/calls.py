"""What was asked of the trainer last, and what came back: the evidence behind a failure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mimverify.handles import Capabilities, TrainerHandle
from mimverify.support.closing import Closing

__all__ = ["Call", "RecordedTrainer"]

Array = NDArray[Any]

_KEEP = 1 << 28  # bytes of arrays kept; older calls are forgotten beyond


@dataclass(frozen=True)
class Call:
    """One finished call of a trainer's method; `result` is None for `fit`."""

    method: str
    arrays: Mapping[str, Array]
    options: Mapping[str, Any]
    result: Array | None


class RecordedTrainer(Closing):
    """A `TrainerHandle` that remembers the calls behind the decision to come.

    `calls` are those of the trainer now in use, since the comparison that passed last;
    `seeds` are the random states of all trainers of the example so far.

    **Arguments**

    - `handle`: what is called.
    """

    def __init__(self, handle: TrainerHandle) -> None:
        self._handle = handle
        self._settled = False
        self.calls: list[Call] = []
        self.seeds: list[int | None] = []

    def begin(self) -> None:
        """A new example: forget the last one."""
        self.calls, self.seeds, self._settled = [], [], False

    def settle(self) -> None:
        """What was called so far passed: the next call begins a new record."""
        self._settled = True

    @property
    def deadline(self) -> float | None:
        """See `TrainerHandle`."""
        return self._handle.deadline

    @deadline.setter
    def deadline(self, deadline: float | None) -> None:
        self._handle.deadline = deadline

    @property
    def name(self) -> str:
        return self._handle.name

    @property
    def capabilities(self) -> Capabilities:
        return self._handle.capabilities

    def fresh(self, random_state: int | None) -> None:
        self.calls, self._settled = [], False
        self.seeds.append(random_state)
        self._handle.fresh(random_state)

    def call(
        self, method: str, arrays: Mapping[str, Array], options: Mapping[str, Any]
    ) -> Array | None:
        # Copied before the call, which could not change them, since a claim may do so later.
        kept = {name: _kept(array) for name, array in arrays.items()}
        result = self._handle.call(method, arrays, options)
        if self._settled:
            self.calls, self._settled = [], False
        self.calls.append(
            Call(method, kept, dict(options), None if result is None else np.array(result))
        )
        while len(self.calls) > 1 and _size(self.calls) > _KEEP:
            del self.calls[0]
        return result

    def close(self) -> None:
        self._handle.close()


def _kept(array: Array) -> Array:
    """The array itself where nobody can change it, as it is handed over again and again."""
    return array.copy() if array.flags.writeable else array


def _size(calls: list[Call]) -> int:
    held = {id(array): array.nbytes for call in calls for array in call.arrays.values()}
    return sum(held.values()) + sum(0 if c.result is None else c.result.nbytes for c in calls)
