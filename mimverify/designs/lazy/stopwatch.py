"""Where the time of a lazily revealed design goes."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager


class Stopwatch:
    """Adds up thread-seconds by kind of work, from any thread."""

    def __init__(self) -> None:
        self._totals: dict[str, float] = {}
        self._lock = threading.Lock()

    @contextmanager
    def __call__(self, kind: str, threads: int = 1) -> Iterator[None]:
        """Time a block of code that keeps `threads` threads busy."""
        start = time.perf_counter()
        try:
            yield
        finally:
            spent = threads * (time.perf_counter() - start)
            with self._lock:
                self._totals[kind] = self._totals.get(kind, 0.0) + spent

    def totals(self) -> dict[str, float]:
        """Thread-seconds by kind, in the order in which the kinds first came up."""
        with self._lock:
            return dict(self._totals)
