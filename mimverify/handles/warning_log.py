"""Listening to the warnings that are issued while a trainer works."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

from mimverify.handles.tracebacks import shown_path
from mimverify.handles.trainer_output import MOST_WARNINGS, TrainerOutput, TrainerWarning
from mimverify.support.importing import visible

__all__ = ["WarningLog"]

_LONGEST_MESSAGE = 300  # characters


class WarningLog:
    """Counts warnings, each of them once for its category, message and place."""

    def __init__(self) -> None:
        self._counts: dict[tuple[str, str, str], int] = {}
        self._more = 0

    def listen(self) -> None:
        """Replace what Python does with the warnings of this process, each time one is issued.

        Python's own filters still decide which are ignored, or raised.
        """
        # Behind the filters that there are: by default a place is heard of only once.
        warnings.simplefilter("always", append=True)
        warnings.showwarning = self._record

    @contextmanager
    def overhearing(self) -> Iterator[None]:
        """Count the warnings of a block; they are shown, and how often, as without this."""
        show = warnings.showwarning

        def overheard(
            message: Warning | str,
            category: type[Warning],
            filename: str,
            lineno: int,
            file: TextIO | None = None,
            line: str | None = None,
        ) -> None:
            self._record(message, category, filename, lineno)
            show(message, category, filename, lineno, file, line)

        warnings.showwarning = overheard
        try:
            yield
        finally:
            warnings.showwarning = show

    def take(self) -> TrainerOutput:
        """The warnings since the last time."""
        counts, more = self._counts, self._more
        self._counts, self._more = {}, 0
        return TrainerOutput(tuple(TrainerWarning(*key, n) for key, n in counts.items()), more)

    def _record(
        self,
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        text = " ".join(str(message).split())
        key = (
            visible(category.__name__),
            visible(text[:_LONGEST_MESSAGE]),
            f"{shown_path(filename)}:{lineno}",
        )
        if key in self._counts or len(self._counts) < MOST_WARNINGS:
            self._counts[key] = self._counts.get(key, 0) + 1
        else:
            self._more += 1
