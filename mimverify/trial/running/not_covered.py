"""Which of the activations and losses that a trainer declares its trial does not cover, and why."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping

from mimverify.network import ACTIVATIONS, LOSSES
from mimverify.support.strict_json import Json
from mimverify.support.validation import canonical
from mimverify.trial.reference.oracle import ORACLE_ACTIVATIONS, ORACLE_LOSSES

__all__ = ["not_covered"]


def not_covered(capabilities: Json | None) -> tuple[str, ...]:
    """A sentence for each name that no claim, or no claim with an oracle, is tried with.

    **Arguments**

    - `capabilities`: `Capabilities.to_json()` of the trainer; None: it could not be constructed.
    """
    declared = capabilities or {}
    return (
        *_sentences(
            "activation", declared.get("activations"), ACTIVATIONS, ORACLE_ACTIVATIONS,
            "no claim that compares with it, or computes its rates by it, was tried with this one; "
            "statistical claims may have been",
        ),
        *_sentences(
            "loss", declared.get("losses"), LOSSES, ORACLE_LOSSES,
            "no claim on the first layer was tried with this one",
        ),
    )  # fmt: skip


def _sentences(
    kind: str,
    declared: Iterable[str] | None,
    known: Mapping[str, object],
    oracle: Mapping[str, object],
    consequence: str,
) -> Iterable[str]:
    ours = {canonical(name): name for name in known}
    for name in declared or ():
        found = ours.get(canonical(name))
        if found is None:
            near = difflib.get_close_matches(name, list(known), n=1)
            meant = f"; did you mean {near[0]!r}?" if near else ""
            yield f"{kind} {name!r}: not one of mimverify's: no claim was tried with it{meant}"
        elif found not in oracle:
            yield f"{kind} {name!r}: the oracle has no formula of it: {consequence}"
