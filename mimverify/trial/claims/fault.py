"""Where a claim's own code is at fault: which line of a pack an exception passed through."""

from __future__ import annotations

import os
import traceback

from mimverify.support.importing import visible
from mimverify.trial.claims.claim import Claim, suite_path

__all__ = ["of_a_pack", "place_in_pack"]


def of_a_pack(claim: Claim) -> bool:
    """Whether the claim's procedure is not one of mimverify's own suite."""
    return os.path.dirname(_file_of(claim)) != str(suite_path())


def place_in_pack(claim: Claim, error: BaseException) -> str:
    """The line of the pack's file behind an exception, " (claims.py:12)"; "" where there is none,
    and for mimverify's own claims."""
    if not of_a_pack(claim):
        return ""
    file = _file_of(claim)
    lines = [
        frame.lineno
        for frame in traceback.extract_tb(error.__traceback__)
        if os.path.realpath(frame.filename) == file
    ]
    return f" ({visible(os.path.basename(file))}:{lines[-1]})" if lines else ""


def _file_of(claim: Claim) -> str:
    code = getattr(claim.procedure, "__code__", None)
    return os.path.realpath(code.co_filename) if code is not None else ""
