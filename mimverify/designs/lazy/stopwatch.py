"""Where the time of a lazily revealed design goes."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager


class Stopwatch:
    """Adds up thread-seconds by kind of work, from any thread."""

    def __init__(self) -> None:
        self._laps: list[tuple[str, float]] = []  # appending needs no lock

    @contextmanager
    def __call__(self, kind: str, threads: int = 1) -> Iterator[None]:
        """Time a block of code, all of whose `threads` are at it."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self._laps.append((kind, threads * (time.perf_counter() - start)))

    def totals(self) -> dict[str, float]:
        """Thread-seconds by kind, in the order in which the kinds first came up."""
        totals: dict[str, float] = {}
        for kind, seconds in self._laps:
            totals[kind] = totals.get(kind, 0.0) + seconds
        self._laps = list(totals.items())
        return totals
