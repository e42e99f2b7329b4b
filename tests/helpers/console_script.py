"""The command in this process, as the console script runs it."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import pytest

from mimverify.cli import main


class Outcome(NamedTuple):
    """How the command ended."""

    code: int
    out: str
    err: str


Command = Callable[..., Outcome]


def command(capsys: pytest.CaptureFixture[str], *verb: str) -> Command:
    """What runs `mimverify` with a verb and further arguments."""

    def run(*arguments: str) -> Outcome:
        with pytest.raises(SystemExit) as caught:
            main([*verb, *arguments])
        captured = capsys.readouterr()
        assert isinstance(caught.value.code, int)
        return Outcome(caught.value.code, captured.out, captured.err)

    return run
