"""A trial is one process: designs that several processes share are refused."""

from __future__ import annotations

from mimverify.experiment import DESIGNS, stages_for
from mimverify.support.errors import InputError
from mimverify.support.validation import choice


def check_one_process(design: object) -> None:
    """**Raises** `InputError` for an unknown design, and for one that several processes share."""
    name = choice("design", design, DESIGNS)
    if stages_for(name).distributed:
        raise InputError(f"design={name!r}: a trial is one process: expected another design")
