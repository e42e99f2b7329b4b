"""The suite's power: broken trainers fail, by name, and the correct one does not."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mimverify import LayerwiseTrainer
from mimverify.trial import PROFILES, Session, Status, load_claims
from mutants import BROKEN, Correct

# The quick profile's decisions, whatever else this machine is doing meanwhile.
UNHURRIED = replace(PROFILES["quick"], seconds=1e6)


@pytest.mark.parametrize(
    ("broken", "claim"),
    [(broken, claim) for broken, claims in BROKEN.items() for claim in claims],
    ids=lambda value: value if isinstance(value, str) else value.__name__,
)
def test_broken_trainer_fails_claim(broken: type[LayerwiseTrainer], claim: str) -> None:
    with Session(broken, profile=UNHURRIED, claims=[claim]) as session:
        verdict = session.verdict(load_claims()[claim])
    assert verdict.status is Status.FAILED, verdict
    assert verdict.message
    assert f"--claim {claim}" in verdict.reproduce


def test_control_passes_everything_that_catches_a_broken_trainer() -> None:
    claims = sorted({claim for caught_by in BROKEN.values() for claim in caught_by})
    with Session(Correct, profile=UNHURRIED, claims=claims) as session:
        statuses = {name: session.verdict(session.claims[name]).status for name in claims}
    assert set(statuses.values()) == {Status.PASSED}, statuses


def test_the_first_divergent_step_and_neuron_are_named() -> None:
    with Session(StopsAfterTwo, profile=UNHURRIED, claims=["trajectory"]) as session:
        verdict = session.verdict(load_claims()["trajectory"])
    assert verdict.status is Status.FAILED
    assert verdict.evidence["first_divergence"]["tensor"] == "W_3"
    assert len(verdict.evidence["first_divergence"]["index"]) == 2  # neuron, coordinate


class StopsAfterTwo(LayerwiseTrainer):
    """Right for two steps, then it stands still."""

    def features(self, X, y, W0, a, b, **options):
        weights = super().features(X, y, W0, a, b, **options)
        weights[3:] = weights[min(2, len(weights) - 1)]
        return weights
