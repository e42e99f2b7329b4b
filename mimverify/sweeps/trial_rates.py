"""Seconds by cost: how long trials will take, by those that are done."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping

from mimverify.sweeps.agenda import cost_of, kind_of
from mimverify.sweeps.store import Store
from mimverify.sweeps.sweep import SweepTrial
from mimverify.sweeps.trial_kind import get_trial_kind

__all__ = ["TrialRates"]

# Trials of each kind that are looked at in a store: the latest.
_LATEST = 200


class TrialRates:
    """The seconds that trials took, and their costs, by kind and version."""

    def __init__(self) -> None:
        self._cost: dict[tuple[str, str], float] = defaultdict(float)
        self._seconds: dict[tuple[str, str], float] = defaultdict(float)
        #: Trials behind them.
        self.trials = 0

    @classmethod
    def of_store(cls, store: Store, kinds: Iterable[tuple[str, str]]) -> TrialRates:
        """Those of a store's latest trials of these kinds, whatever sweep they are of."""
        rates = cls()
        for name, version in kinds:
            cost = get_trial_kind(name).cost
            for row in store.latest(name, version, _LATEST):
                if row.seconds is not None:
                    rates._add((name, version), cost(row.parameters), row.seconds)
        return rates

    def add(self, trial: SweepTrial, seconds: float) -> None:
        """One more trial that is done."""
        self._add(kind_of(trial), cost_of(trial), seconds)

    def seconds_for(self, costs: Mapping[tuple[str, str], float]) -> float | None:
        """The seconds of one worker for costs by kind; None where a kind has no trial yet."""
        total = 0.0
        for kind, cost in costs.items():
            if self._cost[kind] <= 0:
                return None
            total += cost * self._seconds[kind] / self._cost[kind]
        return total

    def _add(self, kind: tuple[str, str], cost: float, seconds: float) -> None:
        self._cost[kind] += cost
        self._seconds[kind] += seconds
        self.trials += 1
