"""Measure a pack: how often each event happens, calibration, and which claims catch which mutants.

    python measure.py one_giant_step            (or batch_reuse, from its folder on the path)
    python measure.py one_giant_step verdicts | events 300 | calibration 200

Until `mimverify check`, `calibrate` and `power` take packs themselves.
"""

from __future__ import annotations

import importlib
import sys
import time
from pathlib import Path
from typing import Any

from scipy.stats import beta

from mimverify import numpy_trainer
from mimverify.calibration.counting import try_at_levels
from mimverify.trial import PROFILES, Claim, InProcessTrainer, Ledger, TrainerUnderTrial, Trial
from mimverify.trial.running.session import try_claim

QUICK = PROFILES["quick"]
LEVELS = (0.1, 0.01)


def load(pack: str) -> tuple[dict[str, Claim], tuple[Any, ...]]:
    """The claims of a pack by id, and its mutants."""
    records = vars(importlib.import_module(f"{pack}.claims")).values()
    claims = {record.id: record for record in records if isinstance(record, Claim)}
    return claims, importlib.import_module(f"{pack}.mutants").MUTANTS


def opened(trainer: object) -> TrainerUnderTrial:
    return TrainerUnderTrial(InProcessTrainer(trainer))


def verdicts(claims: dict[str, Claim], mutants: tuple[Any, ...]) -> None:
    """Each trainer against each claim, at the pack's own ledger."""
    ledger = Ledger.split(claims.values(), QUICK)
    for trainer in (numpy_trainer, *mutants):
        row = []
        for name, claim in claims.items():
            verdict = try_claim(Trial(claim, opened(trainer), profile=QUICK, ledger=ledger))
            row.append(f"{name} {verdict.status.value}")
        print(f"{trainer.__name__}: {'; '.join(row)}", flush=True)


def events(claims: dict[str, Claim], runs: int) -> None:
    """P of each event for the reference trainer, with its 99 % lower bound; CPU time of a run."""
    ledger = Ledger.split(claims.values(), QUICK)
    for claim in claims.values():
        if claim.exact:
            continue
        started = time.process_time()
        tried = try_at_levels(
            claim, opened(numpy_trainer), profile=QUICK, ledgers=[ledger], seed=11, counted=runs
        )
        seconds = (time.process_time() - started) / runs
        for count in tried.counts:
            k, n = count.happened, count.of
            lower = beta.ppf(0.01, k, n - k + 1) if k else 0.0
            print(
                f"{claim.id} | {count.name} | {k}/{n}, P ≥ {lower:.3f} | {seconds:.3f} s",
                flush=True,
            )


def calibration(claims: dict[str, Claim], seeds: int) -> None:
    """How often the reference trainer fails at inflated levels."""
    ledgers = [Ledger(level, level) for level in LEVELS]
    for claim in claims.values():
        if claim.exact:
            continue
        trainer, failed = opened(numpy_trainer), [0] * len(LEVELS)
        for seed in range(seeds):
            tried = try_at_levels(claim, trainer, profile=QUICK, ledgers=ledgers, seed=seed)
            for k, status in enumerate(tried.statuses):
                failed[k] += status.value == "failed"
        found = ", ".join(f"{level}: {k}/{seeds}" for level, k in zip(LEVELS, failed, strict=True))
        print(f"{claim.id} | failures at level {found}", flush=True)


def main(pack: str, what: str = "verdicts", count: str = "300", *only: str) -> None:
    claims, mutants = load(pack)
    claims = {name: claim for name, claim in claims.items() if not only or name in only}
    if what == "verdicts":
        verdicts(claims, mutants)
    else:
        {"events": events, "calibration": calibration}[what](claims, int(count))


if __name__ == "__main__":
    here = Path(__file__).parent
    sys.path[:0] = [str(here), str(here.parent / "batch-reuse")]
    main(*(sys.argv[1:] or ["one_giant_step"]))
