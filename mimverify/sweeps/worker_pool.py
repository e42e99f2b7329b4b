"""What a coordinator needs of its workers, besides what every executor has."""

from __future__ import annotations

from abc import abstractmethod
from concurrent.futures import Executor

__all__ = ["WorkerPool"]


class WorkerPool(Executor):
    """An executor that says how many workers it has, and that can be stopped at once."""

    @property
    @abstractmethod
    def workers(self) -> int:
        """Trials that run at a time, as of now."""

    @property
    @abstractmethod
    def is_local(self) -> bool:
        """Whether its workers share this machine's memory."""

    @abstractmethod
    def kill(self) -> None:
        """Stop whatever runs, within a second; nothing can be submitted any more."""

    def check(self) -> None:
        """**Raises** `LostProcessError` where the workers as a whole are gone for good."""
