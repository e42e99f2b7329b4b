"""The handle on a trainer under trial, wherever that runs."""

from __future__ import annotations

from types import TracebackType
from typing import Protocol

from mimverify.handles.capabilities import Capabilities
from mimverify.handles.memory_forms import PLAIN
from mimverify.handles.methods import Arrays, Options
from mimverify.handles.trainer_output import TrainerOutput
from mimverify.support.arrays import NumpyArray

__all__ = ["TrainerHandle"]


class TrainerHandle(Protocol):
    """A trainer under trial, wherever it runs. Use from one thread at a time.

    `deadline`: a time of `time.monotonic()` at which calls may be aborted, or None. Only a
    handle on another process can enforce it.
    """

    deadline: float | None

    @property
    def name(self) -> str:
        """What reports call it."""

    @property
    def capabilities(self) -> Capabilities:
        """What it offers."""

    def fresh(self, random_state: int | None) -> None:
        """Forget everything: the next call goes to a new trainer, seeded if it can be."""

    def call(
        self,
        method: str,
        arrays: Arrays,
        options: Options,
        *,
        form: str = PLAIN,
        watched: bool = False,
    ) -> NumpyArray | None:
        """Call a method of the current trainer, see `mimverify.handles.calling.call`, or do one of
        `mimverify.handles.operations.OPERATIONS` with it.

        **Arguments**

        - `form`: of `MEMORY_FORMS`, in which the trainer is handed the arrays.
        - `watched`: find out what the call does to its arguments, and to the arguments and results
          of watched calls before it: see `take_changes`.
        """

    def take_changes(self) -> tuple[str, ...]:
        """What watched calls changed that is not theirs, since the last time: a sentence each."""

    def take_output(self) -> TrainerOutput:
        """What it warned of and printed since the last time."""

    def source_hashes(self) -> dict[str, str]:
        """SHA-256 of its source files, by module: see `mimverify.handles.source_hashes`."""

    def close(self) -> None:
        """Release the handle's resources. May be called again."""

    def __enter__(self) -> TrainerHandle: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None: ...
