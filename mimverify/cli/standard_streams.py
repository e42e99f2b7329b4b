"""Standard output and error that no console, full disk or closed descriptor breaks.

None of these is a reason to lose a verdict. What a console's encoding lacks is replaced; what
cannot be written is dropped and its error kept, so that the entry point can report it after
the work is done and every other output is written.
"""

from __future__ import annotations

import codecs
import contextlib
import errno
import io
import os
import select
import sys
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

__all__ = ["StandardStreams", "is_unicode"]


def is_unicode(stream: IO[str] | None) -> bool:
    """Whether a stream's encoding has every character."""
    return (getattr(stream, "encoding", None) or "utf-8").lower().startswith("utf")


class _LossyFile(io.FileIO):
    """A descriptor to which every write seems to succeed; `failure` is the first that did not."""

    def __init__(self, descriptor: int) -> None:
        super().__init__(descriptor, "w", closefd=False)
        self.failure: OSError | None = None

    def write(self, data: ReadableBuffer, /) -> int:
        """Write, unless that failed before."""
        while self.failure is None:
            try:
                written = super().write(data)
            except OSError as error:
                self.failure = error
                break
            if written is not None:
                return written
            select.select([], [self], [])  # another process made it non-blocking
        return memoryview(data).nbytes


class _LossyText(io.TextIOWrapper):
    """Text on a descriptor, with '?' for what the encoding lacks."""

    def __init__(self, descriptor: int, encoding: str, errors: str) -> None:
        self.file = _LossyFile(descriptor)
        # click takes ASCII for a misconfiguration and writes UTF-8 to it: such a stream calls
        # itself Latin-1, and `write` keeps what is above ASCII from it.
        self._ascii = codecs.lookup(encoding).name == "ascii"
        super().__init__(
            io.BufferedWriter(self.file),
            encoding="latin-1" if self._ascii else encoding,
            errors=errors,
            line_buffering=self.file.isatty(),
        )

    def write(self, text: str, /) -> int:
        """Write a text."""
        kept = text.encode("ascii", self.errors or "replace").decode() if self._ascii else text
        super().write(kept)
        return len(text)


class StandardStreams:
    """Puts lossy streams in the place of standard output and error, as a context.

    Streams that a test has put there already are left alone.
    """

    def __init__(self) -> None:
        self._before: list[tuple[str, IO[str] | None]] = []
        self._out: _LossyText | None = None

    def __enter__(self) -> StandardStreams:
        _descriptor(0, "stdin")  # else the next file that is opened would be standard input
        for number, name in ((1, "stdout"), (2, "stderr")):
            stream: IO[str] | None = getattr(sys, name)
            if stream is not getattr(sys, f"__{name}__"):
                continue
            descriptor = _descriptor(number, name)
            errors = "replace" if name == "stdout" else "backslashreplace"
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.flush()
                if is_unicode(stream) and stream.errors == "surrogateescape":
                    errors = "surrogateescape"  # names of files as they are
            lossy = _LossyText(descriptor, getattr(stream, "encoding", None) or "utf-8", errors)
            self._before.append((name, stream))
            setattr(sys, name, lossy)
            if name == "stdout":
                self._out = lossy
        return self

    def __exit__(self, *_: object) -> None:
        for name, stream in self._before:
            getattr(sys, name).flush()
            setattr(sys, name, stream)

    def failure(self) -> OSError | None:
        """Why standard output is incomplete; a reader that left early wants no more of it."""
        if self._out is None:
            return None
        self._out.flush()
        failure = self._out.file.failure
        return None if failure is None or failure.errno == errno.EPIPE else failure


def _descriptor(number: int, name: str) -> int:
    """The stream's descriptor; for a closed one (`>&-`), one to which writing fails likewise.

    It takes the closed one's number, so that no file that is opened later becomes the stream.
    """
    if getattr(sys, f"__{name}__") is not None:
        return number
    place = os.open(os.devnull, os.O_RDONLY)  # the lowest number that is free
    if place == number:
        os.set_inheritable(place, True)
    return place
