"""Bars of progress that leave nothing behind where they are not shown."""

from __future__ import annotations

from rich.progress import Progress


class ProgressBars(Progress):
    """Rich's bars. Before its version 15, disabled ones end with an empty line."""

    def stop(self) -> None:
        if not self.disable:
            super().stop()
