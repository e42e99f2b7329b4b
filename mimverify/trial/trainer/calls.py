"""The trainer's last calls and their results: the evidence for a failure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from mimverify.handles import Capabilities, TrainerHandle
from mimverify.support.arrays import NumpyArray
from mimverify.support.closing import Closing
from mimverify.trial.reference.oracle import Options

__all__ = ["Call", "RecordedTrainer"]

_KEEP = 1 << 28  # bytes of arrays kept; beyond, the oldest calls are dropped


@dataclass(frozen=True)
class Call:
    """One finished call of a trainer's method; `result` is None for `fit`."""

    method: str
    arrays: Mapping[str, NumpyArray]
    options: Options
    result: NumpyArray | None


class RecordedTrainer(Closing):
    """A `TrainerHandle` that records the calls on which the next decision rests.

    `calls` are those of the current trainer since the last comparison that passed, `passed` is
    the last call before them that one passed; `seeds` are the random states of all trainers of
    the example so far.

    **Arguments**

    - `handle`: of the trainer.
    """

    def __init__(self, handle: TrainerHandle) -> None:
        self._handle = handle
        self._passed = False
        self.calls: list[Call] = []
        self.passed: Call | None = None
        self.seeds: list[int | None] = []

    def begin(self) -> None:
        """Clear the record for a new example."""
        self._keep_passed()
        self.calls, self.seeds = [], []

    def mark_passed(self) -> None:
        """The calls so far passed a comparison: the next call begins a new record."""
        self._passed = True

    def _keep_passed(self) -> None:
        if self._passed and self.calls:
            self.passed = self.calls[-1]
        self._passed = False

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
        self._keep_passed()
        self.calls = []
        self.seeds.append(random_state)
        self._handle.fresh(random_state)

    def call(
        self, method: str, arrays: Mapping[str, NumpyArray], options: Mapping[str, object]
    ) -> NumpyArray | None:
        # Copied, since the claim may change them later.
        kept = {name: _kept(array) for name, array in arrays.items()}
        result = self._handle.call(method, arrays, options)
        if self._passed:
            self._keep_passed()
            self.calls = []
        self.calls.append(
            Call(method, kept, dict(options), None if result is None else np.array(result))
        )
        while len(self.calls) > 1 and _size(self.calls) > _KEEP:
            del self.calls[0]
        return result

    def close(self) -> None:
        self._handle.close()


def _kept(array: NumpyArray) -> NumpyArray:
    """A copy; the array itself if it is read-only, since such are passed many times."""
    return array.copy() if array.flags.writeable else array


def _size(calls: list[Call]) -> int:
    held = {id(array): array.nbytes for call in calls for array in call.arrays.values()}
    return sum(held.values()) + sum(0 if c.result is None else c.result.nbytes for c in calls)
