"""What a verb is doing, on standard error while it computes: nobody waits in silence."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from rich.console import RenderableType
from rich.status import Status

from mimverify.cli.options import PageConsole, show

__all__ = ["UnderWay", "under_way"]


class UnderWay:
    """The line on standard error; called with words, it says these. Without a `status`: none."""

    def __init__(self, status: Status | None) -> None:
        self._status = status

    def __call__(self, words: str) -> None:
        if self._status is not None:
            self._status.update(words)

    def show(self, blocks: Iterable[RenderableType]) -> None:
        """Print blocks of a page now, with the line out of their way."""
        if self._status is None:
            show(blocks)
            return
        self._status.stop()
        try:
            show(blocks)
        finally:
            self._status.start()


@contextmanager
def under_way(what: str, *, quiet: bool = False) -> Iterator[UnderWay]:
    """A line that is gone at the end, where standard error is a terminal; yields what changes it.

    **Arguments**

    - `what`: its first words.
    - `quiet`: whether nothing is shown in any case.
    """
    if quiet or not sys.stderr.isatty():
        yield UnderWay(None)
        return
    with PageConsole(stderr=True).status(what, spinner="dots") as status:
        yield UnderWay(status)
