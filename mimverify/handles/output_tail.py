"""The end of what another process writes to a pipe."""

from __future__ import annotations

import contextlib
import os

from mimverify.handles.trainer_output import LONGEST_TEXT

__all__ = ["OutputTail"]

_KEEP = 4 * LONGEST_TEXT  # bytes: a character takes at most four
_CHUNK = 1 << 16  # bytes read at once
_MOST = 1 << 20  # bytes read at most where nothing is waited for


class OutputTail:
    """Reads a pipe without ever waiting, and keeps the last bytes.

    The writer waits while the pipe is full: whoever waits for it has to poll `fileno()` and
    `drain`.

    **Arguments**

    - `stack`: closes the reading end. The writing end, `writing`, is the caller's to close.
    """

    def __init__(self, stack: contextlib.ExitStack) -> None:
        self._reading, self.writing = os.pipe()
        stack.callback(os.close, self._reading)
        os.set_blocking(self._reading, False)  # of this end alone
        self._kept = bytearray()
        self._cut = False
        self.ended = False  # all writing ends were closed

    def fileno(self) -> int:
        """Of the reading end."""
        return self._reading

    def drain(self) -> None:
        """Read what there is, up to a limit: a writer may be faster."""
        for _ in range(_MOST // _CHUNK):
            try:
                chunk = os.read(self._reading, _CHUNK)
            except BlockingIOError:
                return
            if not chunk:
                self.ended = True
                return
            self._kept += chunk
            if len(self._kept) > _KEEP:
                del self._kept[:-_KEEP]
                self._cut = True

    def take(self) -> str:
        """The last of what was read since the last time, as text."""
        if not self._kept:
            return ""
        text = ("…" if self._cut else "") + self._kept.decode(errors="replace")
        self._kept, self._cut = bytearray(), False
        return text
