"""Progress where the reader is: a line of a notebook's output, or rich's bar in a terminal."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from types import TracebackType
from typing import Protocol

from markupsafe import Markup

from mimverify.pages.rendering import render

__all__ = ["ProgressDisplay", "in_notebook"]

_EVERY = 0.2  # seconds between updates of a notebook, which keeps each of them for a while


class _Sink(Protocol):
    def show(self, phase: str, done: int, total: int | None) -> None: ...

    def close(self) -> None: ...


class ProgressDisplay:
    """Shows progress while a `with` block runs; call it with a phase, what is done, and the total.

    In a notebook a line of the cell's output, by IPython alone (no ipywidgets); in a terminal a
    bar on standard error; elsewhere nothing. It is what `run_experiment(on_progress=…)` expects:

        with ProgressDisplay() as show:
            run_experiment(config, on_progress=show)
    """

    def __init__(self) -> None:
        self._sink: _Sink = _Nothing()

    def __enter__(self) -> ProgressDisplay:
        if in_notebook():
            self._sink = _NotebookLine()
        elif sys.stderr.isatty():
            self._sink = _TerminalBar()
        return self

    def __call__(self, phase: str, done: int, total: int | None) -> None:
        """`done` of `total` of a phase is done; None: the total is not known."""
        self._sink.show(phase, done, total)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._sink.close()
        self._sink = _Nothing()


def in_notebook() -> bool:
    """Whether this process is a kernel that shows HTML: Jupyter's, and those of its kind."""
    if "IPython" not in sys.modules:  # a kernel has imported it
        return False
    from IPython import get_ipython

    shell = get_ipython()
    return shell is not None and getattr(shell, "kernel", None) is not None


class _Nothing:
    def show(self, phase: str, done: int, total: int | None) -> None:
        pass

    def close(self) -> None:
        pass


class _NotebookLine:
    """A line of HTML that is replaced; the last state of each phase is always shown."""

    def __init__(self) -> None:
        from IPython.display import HTML, display

        self._html: Callable[[str], object] = HTML
        self._handle = display(HTML(""), display_id=True)
        self._shown = ("", -1.0)
        self._start = time.monotonic()

    def show(self, phase: str, done: int, total: int | None) -> None:
        now = time.monotonic()
        before, last = self._shown
        if phase == before and done != total and now - last < _EVERY:
            return
        self._shown = (phase, now)
        seconds = f"{now - self._start:.0f} s"
        line = {"phase": phase, "done": done, "total": total, "seconds": seconds}
        self._update(render("progress.html.j2", line))

    def close(self) -> None:
        self._update("")

    def _update(self, text: str) -> None:
        self._handle.update(self._html(Markup(text)))


class _TerminalBar:
    """Rich's bar on standard error."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
        from rich.progress import TimeElapsedColumn as Elapsed

        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), Elapsed())
        console = Console(stderr=True, force_jupyter=False)
        self._bar = Progress(*columns, console=console, transient=True)
        self._task = self._bar.add_task("", total=None)
        self._bar.start()

    def show(self, phase: str, done: int, total: int | None) -> None:
        self._bar.update(self._task, description=phase, completed=done, total=total)

    def close(self) -> None:
        self._bar.stop()
