"""The statistical claims on correct trainers: is what they call usual really usual?

A binomial decision promises few false alarms for trainers whose event has probability at
least `USUALLY`. That the reference trainer is one of them is measured here: the exact
(Clopper–Pearson) lower confidence bound of the event's probability must reach `USUALLY`.
The seeds are derived from the claim and the master seed, as in any trial. `make test-deep`
runs it on 300 seeds for every claim, configuration and backend; by default a few cheap
claims are measured on fewer seeds.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
from scipy.stats import beta, binom

from mimverify import numpy_trainer, torch_trainer
from mimverify.trial import (
    PROFILES,
    InProcessTrainer,
    Ledger,
    Session,
    Status,
    TrainerUnderTrial,
    Trial,
    load_claims,
)
from mimverify.trial.trial import HALF, USUALLY

TRAINERS = {"numpy": numpy_trainer, "torch": torch_trainer}
BINOMIAL = [
    "span-recovery",
    "one-step-odds",
    "one-step-error",
    "error-decay",
    "predicted-trajectory",
    "test-error",
    "test-error-decay",
    "unlearnable-link",
]
CONFIDENCE = 1e-3  # of each lower bound; some forty are computed in a deep run


class CountingTrial(Trial):
    """Counts events over a fixed number of seeds instead of deciding."""

    def __init__(self, claim_id: str, source: Any, runs: int, examples: int, seed: int) -> None:
        profile = replace(PROFILES["quick"], statistical_examples=examples)
        super().__init__(
            load_claims()[claim_id],
            TrainerUnderTrial(InProcessTrainer(source)),
            profile=profile,
            ledger=Ledger.split(load_claims().values(), profile),
            seed=seed,
        )
        self.runs = runs
        self.counts: dict[tuple[str, str], Counter[bool]] = {}

    def decide_all(self, events: Any, outcomes: Any) -> None:
        for index in range(self.runs):
            seed = self.seed_of(self.case, "calibration", index)
            self.trainer.fresh(seed)
            for name, happened in outcomes(seed).items():
                self.counts.setdefault((repr(self.case), name), Counter())[bool(happened)] += 1


def lower_bound(successes: int, trials: int) -> float:
    """Clopper–Pearson lower bound of a probability at confidence 1 − CONFIDENCE."""
    return float(beta.ppf(CONFIDENCE, successes, trials - successes + 1)) if successes else 0.0


def measure(claim_id: str, source: Any, runs: int, examples: int) -> None:
    trial = CountingTrial(claim_id, source, runs, examples, seed=20)
    trial.run()
    assert trial.counts
    for (case, event), count in trial.counts.items():
        bound = lower_bound(count[True], runs)
        print(f"{claim_id}: {event}: {count[True]}/{runs}, P ≥ {bound:.3f} ({case})")
        assert bound >= USUALLY, (claim_id, event, case, dict(count))


@pytest.mark.parametrize("claim_id", ["span-recovery", "one-step-odds"])
def test_events_are_usual_for_the_reference_trainer(claim_id: str) -> None:
    # 66 of 66 or 98 of 99 … reach the bound; the events' true probability is above 0.99.
    measure(claim_id, numpy_trainer, runs=140, examples=1)


@pytest.mark.slow
@pytest.mark.parametrize("backend", list(TRAINERS))
@pytest.mark.parametrize("claim_id", BINOMIAL)
def test_events_are_usual_for_both_backends_in_every_configuration(
    claim_id: str, backend: str
) -> None:
    measure(claim_id, TRAINERS[backend], runs=300, examples=3)


def test_the_null_law_at_inflated_levels() -> None:
    """False alarms of the null claim at a share of 0.1, counted over master seeds."""
    seeds, level = 60, 0.1
    profile = replace(PROFILES["quick"], null_samples=32, seconds=1e6)
    claim = load_claims()["null-law"]
    alarms = 0
    for seed in range(seeds):
        with Session(numpy_trainer, profile=profile, seed=seed, claims=["null-law"]) as session:
            session.ledger = Ledger(level / claim.decisions, level)
            alarms += session.verdict(claim).status is Status.FAILED
    # Two tests at level/2 each: at most `level` in all; exact binomial test at 1e-6.
    assert binom.sf(alarms - 1, seeds, level) > 1e-6, f"{alarms} alarms in {seeds}"


@pytest.mark.slow
@pytest.mark.parametrize("level", [0.1, 0.01])
def test_the_null_law_at_inflated_levels_over_hundreds_of_seeds(level: float) -> None:
    profile = replace(PROFILES["quick"], seconds=1e6)
    claim = load_claims()["null-law"]
    alarms, seeds = 0, 300
    for seed in range(seeds):
        with Session(numpy_trainer, profile=profile, seed=seed, claims=["null-law"]) as session:
            session.ledger = Ledger(level / claim.decisions, level)
            alarms += session.verdict(claim).status is Status.FAILED
    print(f"{alarms} alarms in {seeds} at level {level}")
    assert binom.sf(alarms - 1, seeds, level) > 1e-6


@pytest.mark.slow
def test_the_quick_profile_raises_no_alarm_over_many_master_seeds() -> None:
    """The whole quick profile at its own budget: 50 seeds, 5e-5 false alarms expected."""
    profile = replace(PROFILES["quick"], seconds=1e6)
    for seed in range(1, 51):
        with Session(numpy_trainer, profile=profile, seed=seed) as session:
            for claim in session.claims.values():
                verdict = session.verdict(claim)
                assert verdict.status is Status.PASSED, verdict


def test_power_between_the_two_hypotheses_is_what_the_test_promises() -> None:
    """An event of probability HALF is passed as usual at most as often as stated."""
    trial = CountingTrial("span-recovery", numpy_trainer, 1, 1, seed=0)
    decided = Counter()  # type: Counter[str]
    for seed in range(400):
        plain = Trial(
            trial.claim, trial.trainer, profile=trial.profile, ledger=Ledger(0.05, 0.05), seed=seed
        )
        plain.profile = replace(plain.profile, false_pass=0.05)
        try:
            plain.decide("a fair coin", lambda s: bool(s & 1))
            decided["pass"] += 1
        except Exception as error:
            decided[type(error).__name__] += 1
    assert HALF == 0.5  # what the coin stands for
    assert binom.sf(decided["pass"] - 1, 400, 0.05) > 1e-6, decided
