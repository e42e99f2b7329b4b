"""Exceptions that mimverify raises on purpose.

Every message names the argument, the value that was given and what was expected, so
that the command line can print it alone, on one line, without a traceback.
"""

# Nothing is imported here, not even `__future__`: see mimverify/__init__.py.

__all__ = [
    "DivergenceError",
    "InputError",
    "LostProcessError",
    "MimverifyError",
    "OutputError",
    "TrainerError",
]


class MimverifyError(Exception):
    """Base of all exceptions raised deliberately by mimverify."""


class InputError(MimverifyError, ValueError):
    """An argument is outside what the called function accepts."""


class DivergenceError(MimverifyError, ArithmeticError):
    """Gradient descent left the finite numbers.

    **Arguments**

    - `step`: the step, counted from 1, whose result is not usable.
    - `reason`: why, with the number that shows it.
    """

    def __init__(self, step: int, reason: str) -> None:
        super().__init__(f"training diverged at step {step}: {reason}")
        self.step = step
        self.reason = reason


class LostProcessError(MimverifyError):
    """Another process of the run died, hung, or never started."""


class OutputError(MimverifyError):
    """Output could not be written: a full disk, a closed stream, a limit, a protected file."""


class TrainerError(MimverifyError):
    """A trainer under trial could not be used.

    **Arguments**

    - `kind`: one of `KINDS`, for scripts.
    - `message`: one line of text.
    - `traceback`: of the exception in the trainer's code, if there was one.
    """

    KINDS = (
        "import",
        "construct",
        "raised",
        "shape",
        "dtype",
        "non-finite",
        "timeout",
        "deadline",  # cut off because the run's time was spent, not because the call hung
        "died",
        "protocol",  # a process answered something else than docs/protocol.md says
    )

    def __init__(self, kind: str, message: str, traceback: str = "") -> None:
        if kind not in self.KINDS:
            raise ValueError(f"kind={kind!r}: expected one of {self.KINDS}")
        super().__init__(message)
        self.kind = kind
        self.traceback = traceback
