"""The beginning of a script that calls the command line in its own process."""

from __future__ import annotations

__all__ = ["INVOKE"]

#: Defines `invoke(*words, code=0)`, which returns what the command printed.
INVOKE = """
import io
from contextlib import redirect_stderr, redirect_stdout

from mimverify.cli import main


def invoke(*words, code=0):
    output = io.StringIO()
    try:
        with redirect_stdout(output), redirect_stderr(output):
            main(words)
    except SystemExit as end:
        assert (end.code or 0) == code, output.getvalue()
    return output.getvalue()
"""
