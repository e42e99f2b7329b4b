"""A claim is refused only where the mathematics says so: the table of docs/verdicts.md."""

from __future__ import annotations

import re
from itertools import product
from pathlib import Path

import pytest

import mimverify
from mimverify import LayerwiseTrainer
from mimverify.network import ACTIVATIONS, LOSSES
from mimverify.trial import (
    PROFILES,
    InProcessTrainer,
    Ledger,
    NotApplicable,
    TrainerUnderTrial,
    Trial,
    load_claims,
)

PAGE = Path(mimverify.__file__).parents[1] / "docs" / "verdicts.md"
HEADING = "| claims | not with σ | not with l | why |"
NEEDS = ("first layer", "operation counts")
NAMES = [name for name, claim in load_claims().items() if claim.needs in NEEDS]


def refused(cell, known):
    """The names in a cell; those that are left if it begins with "all but"."""
    names = set(re.findall(r"`([^`]+)`", cell))
    assert names <= set(known)
    return set(known) - names if cell.strip().startswith("all but") else names


def stated():
    """What each claim is refused, by the page: activations, losses."""
    text = PAGE.read_text(encoding="utf-8")
    lines = text[text.index(HEADING) :].splitlines()[2:]
    table: dict[str, tuple[set[str], set[str]]] = {name: (set(), set()) for name in NAMES}
    for line in lines[: lines.index("")]:
        claims, activations, losses, why = line.strip("|").split("|")
        assert why.strip()
        for name in re.findall(r"`([^`]+)`", claims):
            assert table[name] == (set(), set()), name
            table[name] = refused(activations, ACTIVATIONS), refused(losses, LOSSES)
    return table


class AppliesError(Exception):
    """The trainer has what the claim asks for."""


class Asked(TrainerUnderTrial):
    """Ends a trial as soon as the claim has found activations, losses and dtypes to go on with.

    Predictions, which follow, take seconds; what a claim asks for later is among what it has found.
    """

    def common(self, activations, losses, dtypes):
        super().common(activations, losses, dtypes)
        raise AppliesError


def applies(name, activation, loss):
    """Whether the claim goes on with a trainer that declares one activation and one loss."""
    claims, profile = load_claims(), PROFILES["quick"]
    declared = {"activations": (activation,), "losses": (loss,)}
    trial = Trial(
        claims[name],
        Asked(InProcessTrainer(type("One", (LayerwiseTrainer,), declared))),
        profile=profile,
        ledger=Ledger.split(claims.values(), profile),
    )
    try:
        trial.run()
    except NotApplicable:
        return False
    except Exception as error:  # Hypothesis adds notes to it
        if not isinstance(error, AppliesError):
            raise
        return True
    raise AssertionError("the claim asked for nothing")


@pytest.mark.parametrize("name", NAMES)
def test_a_claim_is_refused_where_the_page_gives_a_reason_and_nowhere_else(name):
    no_activations, no_losses = stated()[name]
    # Two losses and two activations with all: no claim tells more than two kinds of the other.
    every = {*product(ACTIVATIONS, ("squared", "l1")), *product(("quadratic", "gelu"), LOSSES)}
    expected = {
        pair for pair in every if pair[0] not in no_activations and pair[1] not in no_losses
    }
    assert {pair for pair in every if applies(name, *pair)} == expected


def test_claims_of_fit_know_neither():
    rest = [claim for name, claim in load_claims().items() if name not in NAMES]
    assert {claim.needs for claim in rest} == {"regression"}
