"""What a run reports while it is under way, and how long each of its phases took."""

from __future__ import annotations

import time
from collections.abc import Callable

from mimverify.measure.recorder import Recorder

#: Called after each recorded step with the recorder.
OnStep = Callable[[Recorder], None]

#: Called with the phase, how much of it is done, and out of how much (None: not known).
OnProgress = Callable[[str, int, int | None], None]


def no_progress(phase: str, done: int, total: int | None) -> None:
    """Reports nothing."""


class PhaseClock:
    """Forwards progress, and adds up the time from the first report of a phase to that of the next.

    **Arguments**

    - `report`: called with every report; its own time counts for the phase.

    `seconds`: by phase, in the order in which they began.
    """

    def __init__(self, report: OnProgress = no_progress) -> None:
        self.seconds: dict[str, float] = {}
        self._report = report
        self._phase: str | None = None
        self._since = 0.0

    def __call__(self, phase: str, done: int, total: int | None) -> None:
        if phase != self._phase:
            self.stop()
            self._phase = phase
        self._report(phase, done, total)

    def stop(self) -> None:
        """The phase under way is over; nothing is added until the next one begins."""
        now = time.perf_counter()
        if self._phase is not None:
            self.seconds[self._phase] = self.seconds.get(self._phase, 0.0) + now - self._since
        self._phase, self._since = None, now
