"""The handle on a trainer under trial, wherever that runs."""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType
from typing import Any, Protocol

from numpy.typing import NDArray

from mimverify.handles.capabilities import Capabilities

__all__ = ["TrainerHandle"]

Array = NDArray[Any]


class TrainerHandle(Protocol):
    """A trainer under trial, wherever it runs. Use from one thread at a time.

    `deadline`: a time of `time.monotonic()` that calls need not outlast, or None. Only a
    handle on another process can keep to it.
    """

    deadline: float | None

    @property
    def name(self) -> str:
        """What reports call it."""

    @property
    def capabilities(self) -> Capabilities:
        """What it offers."""

    def fresh(self, random_state: int | None) -> None:
        """Forget everything: the next call meets a new trainer, seeded where it can be."""

    def call(
        self, method: str, arrays: Mapping[str, Array], options: Mapping[str, Any]
    ) -> Array | None:
        """Call a method of the current trainer: see `mimverify.handles.calling.call`."""

    def close(self) -> None:
        """Let go of whatever the handle holds. May be called again."""

    def __enter__(self) -> TrainerHandle: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None: ...
