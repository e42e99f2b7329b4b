"""What a run tells while it is under way."""

from __future__ import annotations

from collections.abc import Callable

from mimverify.measure.recorder import Recorder

#: Called after each recorded step with the recorder.
OnStep = Callable[[Recorder], None]

#: Called with the phase, how much of it is done, and out of how much (None: not known).
OnProgress = Callable[[str, int, int | None], None]


def no_progress(phase: str, done: int, total: int | None) -> None:
    """Tells nobody."""
