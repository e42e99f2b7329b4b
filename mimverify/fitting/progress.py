"""What a run on files tells while it is under way: the pass of each stage, and its rows."""

from __future__ import annotations

from collections.abc import Callable

from mimverify.designs.streamed import OnRows

#: Called with the stage, the number of the pass over its rows, the rows done and all of them.
OnPass = Callable[[str, int, int, int], None]


def no_passes(stage: str, number: int, done: int, rows: int) -> None:
    """Tells nobody."""


def count_passes(stage: str, rows: int, tell: OnPass) -> OnRows:
    """What a stage's design is to call after each block. That the stage begins is told at once."""
    number = 1
    tell(stage, number, 0, rows)

    def on_rows(done: int, rows: int) -> None:
        nonlocal number
        tell(stage, number, done, rows)
        if done == rows:
            number += 1

    return on_rows
