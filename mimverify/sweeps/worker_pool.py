"""What a coordinator needs of its workers, besides what every executor has."""

from __future__ import annotations

import signal
from abc import abstractmethod
from concurrent.futures import Executor
from multiprocessing import resource_tracker

from mimverify.support.errors import LostProcessError

__all__ = ["WorkerDeathError", "WorkerPool", "keep_interrupts_from_children"]


def keep_interrupts_from_children() -> None:
    """Block Ctrl-C in this thread, and so in processes and threads that it starts.

    A terminal sends it to every process of a run; here it is the coordinator's alone, from the
    first moment of a worker on.
    """
    if hasattr(signal, "pthread_sigmask"):
        resource_tracker.ensure_running()  # its start unblocks the signal
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})


class WorkerDeathError(LostProcessError):
    """The worker process of a trial died under it."""


class WorkerPool(Executor):
    """An executor that says how many workers it has, and that can be stopped at once."""

    @property
    @abstractmethod
    def workers(self) -> int:
        """Trials that can run at a time, as of now: a dead worker's place may still be vacant."""

    @property
    @abstractmethod
    def is_local(self) -> bool:
        """Whether its workers share this machine's memory."""

    @abstractmethod
    def kill(self) -> None:
        """Stop whatever runs, within a second; nothing can be submitted any more."""

    def is_death(self, error: BaseException) -> bool:
        """Whether a call ended with this because its worker died, and may be tried again."""
        return isinstance(error, WorkerDeathError)

    def check(self) -> None:
        """**Raises** `LostProcessError` where the workers as a whole are gone for good."""
