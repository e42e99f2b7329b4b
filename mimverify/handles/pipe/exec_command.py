"""Becomes another program: the end of how a child process is started.

Started by `mimverify.handles.launcher`, which arranges that the child and all that it starts end
with the process that it serves.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence

__all__ = ["main"]

_CANNOT_BE_EXECUTED = 126  # as shells say it


def main(command: Sequence[str]) -> int:
    """Execute a command in this process; returns only where that is not possible."""
    # Python ignores these, and a program inherits what is ignored: it would not end with its pipe.
    for name in ("SIGPIPE", "SIGXFSZ"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_DFL)
    try:
        os.execvp(command[0], list(command))
    except OSError as error:
        print(f"{command[0]}: {error.strerror}", file=sys.stderr)
    return _CANNOT_BE_EXECUTED


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
