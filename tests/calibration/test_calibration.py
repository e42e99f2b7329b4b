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
from scipy.stats import binom

from mimverify import numpy_trainer, torch_trainer
from mimverify.calibration import Calibration, Plan, lower_bound, try_at_levels, try_unit
from mimverify.trial import (
    PROFILES,
    Event,
    InProcessTrainer,
    Ledger,
    Mean,
    Profile,
    Session,
    Status,
    TrainerUnderTrial,
    Trial,
    load_claims,
)
from mimverify.trial.decisions import HALF, USUALLY

TRAINERS = {"numpy": numpy_trainer, "torch": torch_trainer}
BINOMIAL = [
    name
    for name, one in load_claims().items()
    if one.statistical and all(isinstance(decision, Event) for decision in one.statistical)
]
#: Statistical claims with a law instead of events, calibrated at inflated levels below.
LAWS = ["null-law", "rotated-inputs"]
#: With means, of which only the level is promised: calibrated likewise.
MEANS = [
    name
    for name, one in load_claims().items()
    if any(isinstance(decision, Mean) for decision in one.statistical)
]


def measure(claim_id: str, source: Any, runs: int, examples: int) -> None:
    profile = replace(PROFILES["quick"], statistical_examples=examples)
    tried = try_at_levels(
        load_claims()[claim_id],
        TrainerUnderTrial(InProcessTrainer(source)),
        profile=profile,
        ledgers=[Ledger.split(load_claims().values(), profile)],
        seed=20,
        counted=runs,
    )
    assert tried.statuses == (Status.PASSED,), tried
    assert tried.counts
    for count in tried.counts:
        bound = lower_bound(count.happened, count.of)
        print(f"{claim_id}: {count}, P ≥ {bound:.3f}")
        assert count.of == runs
        assert bound >= USUALLY, (claim_id, count)


@pytest.mark.parametrize("claim_id", ["span-recovery", "one-step-odds", "heavy-label", "staircase"])
def test_events_are_usual_for_the_reference_trainer(claim_id: str) -> None:
    # 66 of 66 or 98 of 99 … reach the bound; the events' true probability is above 0.99.
    measure(claim_id, numpy_trainer, runs=140, examples=1)


def test_every_statistical_claim_is_calibrated() -> None:
    statistical = {name for name, claim in load_claims().items() if not claim.exact}
    assert statistical == {*BINOMIAL, *LAWS, *MEANS}


@pytest.mark.slow
@pytest.mark.parametrize("backend", list(TRAINERS))
@pytest.mark.parametrize("claim_id", BINOMIAL)
def test_events_are_usual_for_both_backends_in_every_configuration(
    claim_id: str, backend: str
) -> None:
    measure(claim_id, TRAINERS[backend], runs=300, examples=3)


def at_inflated_levels(claim_id: str, seeds: int, profile: Profile) -> None:
    """Tests that divide the level: at most `level` in all; exact binomial test at 1e-6."""
    plan = Plan(("numpy",), (claim_id,), (0.1, 0.01), range(seeds), profile)
    calibration = Calibration(plan)
    trainer = TrainerUnderTrial(InProcessTrainer(numpy_trainer))
    for seed in plan.seeds:
        tried = try_unit(plan, load_claims()[claim_id], trainer, seed)
        calibration.add("numpy", tried)
    for row in calibration.rows:
        print(f"{claim_id}: {len(row.alarms)} alarms in {row.seeds} at level {row.level}")
        assert row.seeds == seeds, calibration.problems
        assert row.p_value > 1e-6, row


def test_the_null_law_at_inflated_levels() -> None:
    at_inflated_levels("null-law", 60, replace(PROFILES["quick"], null_samples=32))


def test_a_mean_at_inflated_levels() -> None:
    at_inflated_levels("error-floor", 12, PROFILES["quick"])


@pytest.mark.slow
@pytest.mark.parametrize("claim_id", [*LAWS, *MEANS])
def test_laws_and_means_at_inflated_levels_over_hundreds_of_seeds(claim_id: str) -> None:
    at_inflated_levels(claim_id, 300, PROFILES["quick"])


@pytest.mark.slow
def test_the_quick_profile_raises_no_alarm_over_many_master_seeds() -> None:
    """The whole quick profile at its own budget: 50 seeds, 5e-5 false alarms expected."""
    profile = replace(PROFILES["quick"], seconds=1e6)
    for seed in range(1, 51):
        with Session(numpy_trainer, profile=profile, seed=seed) as session:
            for claim in session.claims.values():
                verdict = session.verdict(claim)
                assert verdict.status is Status.PASSED, verdict


def test_power_between_the_two_hypotheses_is_as_stated() -> None:
    """An event of probability HALF is passed as usual at most as often as stated."""
    trainer = TrainerUnderTrial(InProcessTrainer(numpy_trainer))
    profile = replace(PROFILES["quick"], false_pass=0.05)
    decided = Counter()  # type: Counter[str]
    coin = replace(
        load_claims()["span-recovery"],
        procedure=lambda trial, case: trial.decide(lambda seed: bool(seed & 1)),
    )
    for seed in range(400):
        plain = Trial(
            coin,
            trainer,
            profile=profile,
            ledger=Ledger(0.05, 0.05),
            seed=seed,
        )
        try:
            plain.run()
            decided["pass"] += 1
        except Exception as error:
            decided[type(error).__name__] += 1
    assert HALF == 0.5  # what the coin stands for
    assert binom.sf(decided["pass"] - 1, 400, 0.05) > 1e-6, decided
