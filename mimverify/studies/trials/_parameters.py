"""What the kinds of trials share: their parameters, and the seeds derived from them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from mimverify.support.errors import InputError
from mimverify.support.strict_json import Json
from mimverify.sweeps.content_key import canonical_json, checked_parameters

#: Parameters of the problem that all kinds have, with their defaults.
PROBLEM: Mapping[str, object] = {"loss": "huber", "noise": 0.0}


def completed(
    given: Mapping[str, object], needed: tuple[str, ...], defaults: Mapping[str, object]
) -> Json:
    """All parameters: the given ones, and the defaults of the others.

    **Raises** `InputError` for one that is needed and missing, or one that is not known.
    """
    for name in needed:
        if name not in given:
            raise InputError(f"{name}: is missing; this kind of trial needs {', '.join(needed)}")
    for name in given:
        if name not in needed and name not in defaults and name != "seed":
            known = ", ".join((*needed, *defaults, "seed"))
            raise InputError(f"{name}: is no parameter of this kind of trial; known are {known}")
    return {**defaults, "seed": 0, **given}


def derived_seed(kind: str, parameters: Mapping[str, object]) -> int:
    """A seed of 32 bits from the whole configuration: no two configurations share a stream."""
    text = kind + canonical_json(checked_parameters("parameters", parameters))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big")
