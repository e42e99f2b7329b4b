"""A sweep's progress on standard error: a bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import click
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn

from mimverify.cli.options import PageConsole
from mimverify.cli.progress_bars import ProgressBars
from mimverify.sweeps import OnProgress, SweepProgress

__all__ = ["duration", "following"]

# Seconds between two lines where there is no terminal.
_EVERY = 30.0


def duration(seconds: float) -> str:
    """A time in words, to two digits or so."""
    if seconds < 1:
        return f"{seconds:.2g} s"
    if seconds < 100:
        return f"{seconds:.0f} s"
    if seconds < 3600:
        return f"{seconds / 60:.0f} min"
    if seconds < 48 * 3600:
        return f"{seconds / 3600:.1f} h"
    return f"{seconds / 86400:.1f} days"


@contextmanager
def following(title: str, *, quiet: bool) -> Iterator[OnProgress | None]:
    """What to call with the progress; None where nobody wants to know."""
    if quiet:
        yield None
        return
    console = PageConsole(stderr=True)
    if not console.is_terminal:
        yield _Lines()
        return
    columns = (
        TextColumn("{task.fields[title]}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.description}", markup=False),
    )
    with ProgressBars(*columns, console=console, transient=True) as bars:
        task = bars.add_task("workers start", total=None, title=title)

        def tell(progress: SweepProgress) -> None:
            bars.update(
                task,
                total=progress.total,
                completed=progress.done + progress.failed,
                description=_rest(progress),
            )

        yield tell


class _Lines:
    """A line when the first trial has ended, and then every half a minute."""

    def __init__(self) -> None:
        self._next: float | None = None

    def __call__(self, progress: SweepProgress) -> None:
        now = time.monotonic()
        if progress.computed == 0 or (self._next is not None and now < self._next):
            return
        self._next = now + _EVERY
        ended = progress.done + progress.failed
        click.echo(f"{ended} of {progress.total} trials; {_rest(progress)}", err=True)


def _rest(progress: SweepProgress) -> str:
    parts = [f"{progress.failed} failed"] if progress.failed else []
    parts.append(f"{progress.running} running")
    if progress.elsewhere:
        parts.append(f"{progress.elsewhere} in other runs")
    if progress.seconds_left is not None:
        parts.append(f"{duration(progress.seconds_left)} left")
    return ", ".join(parts)
