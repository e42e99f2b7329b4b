"""A handle on a trainer that runs in the process of its caller.

`mimverify.handles.isolated` offers the same on a process that may hang or crash.
"""

from __future__ import annotations

from mimverify.handles.calling import call
from mimverify.handles.capabilities import Capabilities, describe, name_of
from mimverify.handles.construction import check_random_state, new_trainer
from mimverify.handles.methods import Arrays, Options
from mimverify.support.arrays import NumpyArray
from mimverify.support.closing import Closing
from mimverify.support.errors import InputError

__all__ = ["InProcessTrainer"]


class InProcessTrainer(Closing):
    """A trainer in this process: easy to debug, but not isolated.

    **Arguments**

    - `source`: what `new_trainer` takes.
    - `name`: for reports; that of the class or factory by default.

    **Raises** `TrainerError` of kind `"construct"`.
    """

    deadline: float | None = None

    def __init__(self, source: object, name: str | None = None) -> None:
        self._source = source
        self._name = name_of(source) if name is None else name
        self._closed = False
        self._trainer: object | None = new_trainer(source)
        self._random_state: int | None = None
        self._capabilities = describe(self._trainer)

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
        self._trainer = None  # should construction fail, no call may reach the old one
        self._random_state = random_state
        self._trainer = new_trainer(self._source, random_state)

    def call(self, method: str, arrays: Arrays, options: Options) -> NumpyArray | None:
        """See `mimverify.handles.calling.call`."""
        self._check_open()
        if self._trainer is None:
            self._trainer = new_trainer(self._source, self._random_state)
        return call(self._trainer, method, arrays, options)

    def close(self) -> None:
        self._closed = True
        self._trainer = None

    def _check_open(self) -> None:
        if self._closed:
            raise InputError(f"trainer={self._name!r}: its handle is closed")
