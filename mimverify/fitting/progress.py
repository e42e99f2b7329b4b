"""What a run on files reports while it is under way: the pass of each stage, and its rows."""

from __future__ import annotations

from collections.abc import Callable

from mimverify.designs.streamed import OnRows

#: Called with the stage, the number of the pass over its rows, the rows done and all of them.
OnPass = Callable[[str, int, int, int], None]


def no_passes(stage: str, number: int, done: int, rows: int) -> None:
    """Reports nothing."""


def count_passes(stage: str, rows: int, report: OnPass) -> OnRows:
    """The callback of a stage's design after each block; reports the start of the stage at once."""
    number = 1
    report(stage, number, 0, rows)

    def on_rows(done: int, rows: int) -> None:
        nonlocal number
        report(stage, number, done, rows)
        if done == rows:
            number += 1

    return on_rows
