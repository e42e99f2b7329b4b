"""The ledger: the false-alarm budget of a run, divided among its decisions."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from mimverify.trial.claims.claim import Claim
from mimverify.trial.profile import FALSE_ALARM_BUDGET, Profile

__all__ = ["Ledger"]


@dataclass(frozen=True)
class Ledger:
    """The false-alarm level of each decision (Bonferroni: their sum is the budget).

    The declared statistical decisions of *all* claims count, selected or not, so that a claim's
    verdict does not depend on the selection. `DeclaredDecisions` enforces that a claim decides
    these and no others.
    """

    level: float
    budget: float

    @classmethod
    def split(
        cls, claims: Iterable[Claim], profile: Profile, budget: float = FALSE_ALARM_BUDGET
    ) -> Ledger:
        """Equal levels for every statistical decision of a whole run under `profile`."""
        decisions = sum(len(claim.statistical) for claim in claims)
        return cls(budget / max(1, decisions * profile.statistical_examples), budget)
