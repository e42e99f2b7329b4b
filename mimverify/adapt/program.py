"""Programs in any language as trainers: the protocol is in docs/protocol.md."""

from __future__ import annotations

from collections.abc import Sequence

from mimverify.handles.pipe import PipeSource

__all__ = ["process"]


def process(command: str | Sequence[str], *, time_limit: float | None = None) -> PipeSource:
    """A trainer that a child process is, spoken to through its standard input and output.

        trainer = mimverify.adapt.process("./trainer --flag")

    in a module is tried by `mimverify check module:trainer`; on the command line alone,
    `mimverify check "process:./trainer --flag"` does the same.

    **Arguments**

    - `command`: the program and its arguments, as a list, or as a line that is split like a shell's
      words. No shell is started. The program runs in the current folder.
    - `time_limit`: seconds that one call may take, after which the child is killed; None leaves it
      to the trial's own limit.

    **Returns** an object that makes a trainer each time it is called without arguments.

    **Raises** `InputError` for no command, or a program that cannot be found.
    """
    return PipeSource(command, time_limit=time_limit)
