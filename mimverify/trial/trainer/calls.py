"""The trainer's last calls and their results: the evidence for a failure."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np

from mimverify.handles import Capabilities, TrainerHandle
from mimverify.handles.memory_forms import PLAIN
from mimverify.handles.operations import COPIES
from mimverify.handles.trainer_output import TrainerOutput
from mimverify.support.arrays import NumpyArray
from mimverify.support.closing import Closing
from mimverify.support.strict_json import Json
from mimverify.trial.reference.oracle import Options

__all__ = ["Call", "RecordedTrainer", "TriedCombination"]

#: Activation, loss and dtype of a call; empty for `fit` and `predict`.
TriedCombination: TypeAlias = tuple[str, ...]

_KEEP = 1 << 28  # bytes of arrays kept; beyond, the oldest calls are dropped


@dataclass(frozen=True)
class Call:
    """One call of a trainer's method.

    **Arguments**

    - `arrays`, `options`: what it was given.
    - `result`: None for `fit`, and for a call that did not return.
    - `seconds`: that it took; None: it did not return.
    - `form`: of `MEMORY_FORMS`, in which the arrays lay in memory.
    """

    method: str
    arrays: Mapping[str, NumpyArray]
    options: Options
    result: NumpyArray | None
    seconds: float | None = None
    form: str = PLAIN

    @property
    def combination(self) -> TriedCombination:
        """Activation, loss and dtype, in the trainer's spelling."""
        weights = self.arrays.get("W", self.arrays.get("W0"))
        if weights is None or "loss" not in self.options:
            return ()
        options = self.options
        return str(options.get("activation")), str(options["loss"]), weights.dtype.name

    @property
    def sizes(self) -> Json:
        """n, d, m and T, as far as it has them."""
        found: Json = {}
        if "X" in self.arrays and self.arrays["X"].ndim == 2:
            found["n"], found["d"] = self.arrays["X"].shape
        if "a" in self.arrays and self.arrays["a"].ndim == 1:
            found["m"] = len(self.arrays["a"])
        if isinstance(self.options.get("steps"), int):
            found["T"] = self.options["steps"]
        return found


class RecordedTrainer(Closing):
    """A `TrainerHandle` that records the calls on which the next decision rests.

    `calls` are those of the current trainer since the last comparison that passed, `passed` is
    the last call before them that one passed; `latest` is the last call of the example, whether it
    returned or not; `seeds` are the random states of all trainers of the example so far; `tried`
    are the combinations of all its calls. `fits` are the last two fits of the example to different
    data, `refitted` says whether one trainer has made both; `copied` is how the current trainer was
    copied from the one that was called before, "" if it was not.

    **Arguments**

    - `handle`: of the trainer.
    """

    def __init__(self, handle: TrainerHandle) -> None:
        self._handle = handle
        self._passed = False
        self._construction_seconds = 0.0
        self.calls: list[Call] = []
        self.latest: Call | None = None
        self.passed: Call | None = None
        self.seeds: list[int | None] = []
        self.tried: set[TriedCombination] = set()
        self._forget_fits()

    def _forget_fits(self) -> None:
        self.fits: list[Call] = []
        self.refitted, self.copied, self._fitted = False, "", False

    def begin(self) -> None:
        """Clear the record for a new example."""
        self._keep_passed()
        self.calls, self.seeds = [], []
        self.latest, self.tried = None, set()
        self._forget_fits()

    def mark_passed(self) -> None:
        """The calls so far passed a comparison: the next call begins a new record."""
        self._passed = True

    def _keep_passed(self) -> None:
        if self._passed and self.calls:
            self.passed = self.calls[-1]
        self._passed = False

    @property
    def unrecorded(self) -> TrainerHandle:
        """The trainer's handle, for calls on which no decision rests."""
        return self._handle

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
        self.copied, self._fitted = "", False
        started = time.monotonic()
        self._handle.fresh(random_state)
        self._construction_seconds = time.monotonic() - started

    def call(
        self,
        method: str,
        arrays: Mapping[str, NumpyArray],
        options: Mapping[str, object],
        *,
        form: str = PLAIN,
        watched: bool = False,
    ) -> NumpyArray | None:
        # Copied, since the claim may change them later.
        kept = {name: _kept(array) for name, array in arrays.items()}
        self.latest = Call(method, kept, dict(options), None, form=form)
        self.tried.add(self.latest.combination)
        started = time.monotonic()
        result = self._handle.call(method, arrays, options, form=form, watched=watched)
        if self._passed:
            self._keep_passed()
            self.calls = []
        self.latest = replace(
            self.latest,
            result=None if result is None else np.array(result),
            seconds=time.monotonic() - started,
        )
        self.calls.append(self.latest)
        if method == "fit":
            self._keep_fit(self.latest)
        elif method in COPIES:
            self.copied = method
        while len(self.calls) > 1 and _size(self.calls) > _KEEP:
            del self.calls[0]
        return result

    def _keep_fit(self, fit: Call) -> None:
        others = [call for call in self.fits if not _same_data(call, fit)][-1:]
        self.refitted |= self._fitted and bool(others)
        self.fits, self._fitted = [*others, fit], True

    def again(self, calls: Sequence[Call], *, fresh: bool) -> NumpyArray | None:
        """The result of the last of these calls, made again without being recorded.

        **Arguments**

        - `fresh`: by a new trainer with the current one's random state.

        **Raises** `TrainerError`.
        """
        if fresh:
            self._handle.fresh(self.seeds[-1] if self.seeds else None)
        result = None
        for call in calls:
            result = self._handle.call(call.method, call.arrays, call.options, form=call.form)
        return result

    @property
    def construction_seconds(self) -> float:
        """That the construction of the current trainer took."""
        return self._construction_seconds

    def take_changes(self) -> tuple[str, ...]:
        """See `TrainerHandle`."""
        return self._handle.take_changes()

    def take_output(self) -> TrainerOutput:
        """See `TrainerHandle`."""
        return self._handle.take_output()

    def source_hashes(self) -> dict[str, str]:
        """See `TrainerHandle`."""
        return self._handle.source_hashes()

    def close(self) -> None:
        self._handle.close()


def _kept(array: NumpyArray) -> NumpyArray:
    """A copy; the array itself if it is read-only, since such are passed many times."""
    return array.copy() if array.flags.writeable else array


def _same_data(one: Call, other: Call) -> bool:
    """In equal memory, too."""
    return one.form == other.form and all(
        np.array_equal(one.arrays[name], other.arrays[name]) for name in other.arrays
    )


def _size(calls: list[Call]) -> int:
    held = {id(array): array.nbytes for call in calls for array in call.arrays.values()}
    return sum(held.values()) + sum(0 if c.result is None else c.result.nbytes for c in calls)
