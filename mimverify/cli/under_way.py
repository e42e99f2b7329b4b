"""What a verb is doing, on standard error while it computes: nobody waits in silence."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from mimverify.cli.options import PageConsole

__all__ = ["under_way"]


@contextmanager
def under_way(what: str, *, quiet: bool = False) -> Iterator[Callable[[str], None]]:
    """A line that is gone at the end, where standard error is a terminal; yields what changes it.

    **Arguments**

    - `what`: its first words.
    - `quiet`: whether nothing is shown in any case.
    """
    if quiet or not sys.stderr.isatty():
        yield lambda words: None
        return
    with PageConsole(stderr=True).status(what, spinner="dots") as status:
        yield status.update
