"""How a process ended, and noticing that it did."""

from __future__ import annotations

import contextlib
import os
import signal

__all__ = ["how_it_ended", "open_pidfd"]


def open_pidfd(pid: int, stack: contextlib.ExitStack) -> int | None:
    """A descriptor that becomes readable when the process ends; None where there is none."""
    try:
        descriptor = os.pidfd_open(pid)
    except (AttributeError, OSError):
        return None
    stack.callback(os.close, descriptor)
    return descriptor


def how_it_ended(code: int) -> str:
    """Words for a return code of `subprocess`: negative for a signal."""
    if code >= 0:
        return f"ended with exit code {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:  # a real-time signal
        name = str(-code)
    return f"ended by signal {name}" + (" (out of memory?)" if name == "SIGKILL" else "")
