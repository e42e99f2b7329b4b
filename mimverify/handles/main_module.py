"""Trainers that the running program itself defines: `"__main__:Mine"` in a notebook or a script.

A worker process has a `__main__` of its own, in which there is no such trainer.
"""

from __future__ import annotations

import sys
from pathlib import Path

from mimverify.handles.suggestions import meant_by
from mimverify.support.errors import InputError
from mimverify.support.importing import load_attribute

__all__ = ["MAIN", "is_of_main", "load_from_main", "main_note", "main_remedy"]

MAIN = "__main__"


def is_of_main(spec: str) -> bool:
    """Whether `spec` names something of `__main__`."""
    return spec.partition(":")[0] == MAIN


def load_from_main(spec: str) -> object:
    """What `"__main__:attribute"` names in this process.

    **Raises** `InputError`: there is no such attribute; it says what can be done.
    """
    try:
        return load_attribute("trainer", spec)
    except InputError as error:
        hint = meant_by(spec) if "did you mean" not in str(error) else ""
        known = f"'__main__' is the program that runs the trial; {main_remedy(spec)}"
        raise InputError(f"{error}{hint} ({known})") from error


def main_note(spec: str) -> str:
    """What running it here means."""
    return (
        f"trainer={spec!r}: a worker process cannot import what a notebook or script defines; it "
        f"runs in this process, where nothing can stop a call that hangs; {main_remedy(spec)}"
    )


def main_remedy(spec: str) -> str:
    """How a worker process, and the command line, find a trainer of `__main__`."""
    attribute = spec.partition(":")[2] or "Trainer"
    file = getattr(sys.modules.get(MAIN), "__file__", None)
    own = Path(file) if file else None
    if own is not None and own.suffix == ".py" and own.stem != MAIN and own.stem.isidentifier():
        here = f"name it '{own.stem}:{attribute}'"
        return f"{here}, with what runs the trial under `if __name__ == '__main__':`"
    return f"write it to a file, mine.py, and name it 'mine:{attribute}'"
