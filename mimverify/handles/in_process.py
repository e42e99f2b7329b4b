"""A handle on a trainer that runs in the process of its caller.

`mimverify.handles.isolated` offers the same on a process that may hang or crash.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np

from mimverify.handles.calling import call
from mimverify.handles.capabilities import Capabilities, describe, name_of
from mimverify.handles.construction import check_random_state, new_trainer
from mimverify.handles.library_settings import apply_settings, read_settings
from mimverify.handles.memory_forms import PLAIN
from mimverify.handles.memory_watch import MemoryWatch
from mimverify.handles.methods import Arrays, Options
from mimverify.handles.operations import OPERATIONS, operate
from mimverify.handles.own_methods import Method, with_own
from mimverify.handles.source_hashes import program_hashes, source_hashes
from mimverify.handles.trainer_output import TrainerOutput
from mimverify.handles.warning_log import WarningLog
from mimverify.support.arrays import NumpyArray
from mimverify.support.closing import Closing
from mimverify.support.errors import InputError

__all__ = ["InProcessTrainer"]

_ERRORS = "NumPy's error state"


class _TrainersState:
    """Settings of the process as the trainer has set them, which are the trainer's alone.

    Under `np.seterr(all="raise")`, warnings that are errors, or `torch.set_default_device`, the
    suite's own arithmetic would fail or change. What the trainer does not change is the caller's;
    NumPy's error state is that of its construction.
    """

    def __init__(self) -> None:
        self._own: dict[str, Any] = {_ERRORS: np.geterr()}
        #: Its warnings.
        self.log = WarningLog()

    @contextmanager
    def active(self) -> Iterator[None]:
        """The trainer's state; the caller's again at exit."""
        before, process = read_settings(), os.getpid()
        with self.log.overhearing():
            apply_settings(self._own, before)
            try:
                yield
            finally:
                if os.getpid() != process:  # forked by the trainer, also where it is constructed
                    os._exit(0)
                after = read_settings()
                self._own = {
                    name: value
                    for name, value in after.items()
                    if value != before[name] or name == _ERRORS
                }
                apply_settings(before, after)


class InProcessTrainer(Closing):
    """A trainer in this process: easy to debug, but not isolated.

    **Arguments**

    - `source`: what `new_trainer` takes.
    - `name`: for reports; that of the class or factory by default.
    - `methods`: that it may offer beyond `SIGNATURES`.

    **Raises** `TrainerError` of kind `"construct"`.
    """

    deadline: float | None = None

    def __init__(
        self,
        source: object,
        name: str | None = None,
        *,
        methods: Mapping[str, Method] | None = None,
    ) -> None:
        self._source = source
        self._signatures = with_own(methods)
        self._name = name_of(source) if name is None else name
        self._closed = False
        self._state = _TrainersState()
        self._watch = MemoryWatch()
        self._random_state: int | None = None
        with self._state.active():
            self._trainer: object | None = new_trainer(source, None, self._signatures)
            self._capabilities = describe(self._trainer, self._signatures)

    @property
    def name(self) -> str:
        return self._name

    @property
    def capabilities(self) -> Capabilities:
        return self._capabilities

    def fresh(self, random_state: int | None) -> None:
        """Replace the trainer by a new one. **Raises** `TrainerError`, `InputError`."""
        self._check_open()
        check_random_state(random_state)
        self._watch.forget()
        self._trainer = None  # should construction fail, no call may reach the old one
        self._random_state = random_state
        with self._state.active():
            self._trainer = new_trainer(self._source, random_state, self._signatures)

    def call(
        self,
        method: str,
        arrays: Arrays,
        options: Options,
        *,
        form: str = PLAIN,
        watched: bool = False,
    ) -> NumpyArray | None:
        """See `TrainerHandle.call`."""
        self._check_open()
        watch = self._watch if watched else None
        with self._state.active():
            if self._trainer is None:
                self._trainer = new_trainer(self._source, self._random_state, self._signatures)
            if method in OPERATIONS:
                self._trainer, result = operate(self._trainer, method)
                return result
            return call(
                self._trainer, method, arrays, options, self._signatures, form=form, watch=watch
            )

    def take_changes(self) -> tuple[str, ...]:
        """See `TrainerHandle.take_changes`."""
        return self._watch.take()

    def take_output(self) -> TrainerOutput:
        """Its warnings; what it prints goes where this process prints."""
        return self._state.log.take()

    def source_hashes(self) -> dict[str, str]:
        kinds = (self._source, type(self._source), type(self._trainer))
        names = [str(getattr(kind, "__module__", "builtins")) for kind in kinds]
        return source_hashes(names, alone=False) | program_hashes(self._source)

    def close(self) -> None:
        self._closed = True
        self._trainer = None

    def _check_open(self) -> None:
        if self._closed:
            raise InputError(f"trainer={self._name!r}: its handle is closed")
