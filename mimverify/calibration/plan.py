"""The plan of a calibration: trainers × claims × seeds, and the levels."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

from mimverify.trial.claims.claim import Claim
from mimverify.trial.claims.claim_set import ClaimSet, PackOrigin
from mimverify.trial.claims.ledger import Ledger
from mimverify.trial.claims.loading import load_claim_set
from mimverify.trial.profile import Profile

__all__ = ["Plan", "Unit"]


@dataclass(frozen=True)
class Unit:
    """A claim to be tried on a trainer from one master seed."""

    trainer: str
    claim: str
    seed: int


@dataclass(frozen=True)
class Plan:
    """The trials of a calibration.

    **Arguments**

    - `trainers`: `"module:attribute"`, or names of backends.
    - `claims`: ids of statistical claims, in the suite's order.
    - `levels`: false-alarm probabilities to calibrate at.
    - `seeds`: master seeds.
    - `profile`: how thoroughly each claim is tried.
    - `whole`: a level is the budget of a whole run, split over all claims of the suite as
      in any run, and a run is counted for an alarm of any of `claims`. Otherwise a level is
      a claim's own, split over its decisions alone.
    - `pack`: whose claims they are; None for mimverify's own.
    """

    trainers: tuple[str, ...]
    claims: tuple[str, ...]
    levels: tuple[float, ...]
    seeds: range
    profile: Profile
    whole: bool = False
    pack: PackOrigin | None = None

    @property
    def claim_set(self) -> ClaimSet:
        """The claims of the pack, or mimverify's own."""
        return load_claim_set(self.pack)

    def ledgers(self, claim: Claim) -> tuple[Ledger, ...]:
        """One for each level."""
        budget = self.claim_set.claims.values() if self.whole else (claim,)
        return tuple(Ledger.split(budget, self.profile, level) for level in self.levels)

    def units(self) -> Iterator[Unit]:
        """All units, claim after claim or whole run after whole run."""
        for trainer in self.trainers:
            if self.whole:
                for seed, claim in product(self.seeds, self.claims):
                    yield Unit(trainer, claim, seed)
            else:
                for claim, seed in product(self.claims, self.seeds):
                    yield Unit(trainer, claim, seed)

    @property
    def size(self) -> int:
        """Number of units."""
        return len(self.trainers) * len(self.claims) * len(self.seeds)
