"""Which trials sweeps still want: those of their grids, and those that searches come to."""

from __future__ import annotations

import heapq
import itertools
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from statistics import fmean
from typing import Protocol

from mimverify.support.strict_json import Json
from mimverify.sweeps.sweep import Sweep, SweepTrial
from mimverify.sweeps.threshold_search import Threshold
from mimverify.sweeps.trial_kind import get_trial_kind

__all__ = ["Agenda", "cost_of", "kind_of", "sweep_trials"]

DONE, FAILED, MISSING = "done", "failed", "missing"


class States(Protocol):
    """What is known of trials that have finished: a `Store`."""

    def states(self, keys: Iterable[str]) -> Mapping[str, tuple[str, Json | None]]:
        """Status and result of the finished trials among these, by key."""
        ...


def sweep_trials(sweep: Sweep, store: States) -> tuple[SweepTrial, ...]:
    """The trials of a sweep in its order; of a search, those that it has come to in the store."""
    if sweep.search is None:
        return sweep.trials()
    return tuple(Agenda([sweep], store).trials.values())


class Agenda:
    """The trials of sweeps, what has become of them, and which are next.

    The first seed of every point is first, the dearest trials of a seed before the others: a sweep
    that is cut short has something everywhere, and its end is not one long trial.

    **Arguments**

    - `store`: what is known already.
    - `retry_failed`: trials that failed before are wanted again.
    """

    def __init__(
        self, sweeps: Sequence[Sweep], store: States, *, retry_failed: bool = False
    ) -> None:
        self.trials: dict[str, SweepTrial] = {}
        #: By key: done, failed or missing.
        self.status: dict[str, str] = {}
        #: Trials that failed before and are wanted again.
        self.again: set[str] = set()
        self._store, self._retry_failed = store, retry_failed
        self._counts: Counter[str] = Counter()
        self._cost: dict[str, float] = {}
        self._missing_costs: dict[tuple[str, str], float] = defaultdict(float)
        self._queue: list[tuple[int, float, int, str]] = []
        self._numbers = itertools.count()
        self._searches = [
            _PointSearch(sweep, point)
            for sweep in sweeps
            if sweep.search is not None
            for point in sweep.grid()
        ]
        self._waiting_for: dict[str, list[_PointSearch]] = {}
        grids = [sweep.trials() for sweep in sweeps if sweep.search is None]
        self._admit([trial for trials in grids for trial in trials])
        self._advance(self._searches)

    # -- what is next --------------------------------------------------------------------------

    def take(self, most: int) -> list[SweepTrial]:
        """The next trials to run, `most` of them at most; they are not handed out again."""
        count = min(most, len(self._queue))
        return [self.trials[heapq.heappop(self._queue)[-1]] for _ in range(count)]

    @property
    def has_more(self) -> bool:
        """Whether `take` has a trial to hand out."""
        return bool(self._queue)

    def missing(self) -> list[SweepTrial]:
        """Trials that are not finished, as far as they are known."""
        return [self.trials[key] for key, status in self.status.items() if status == MISSING]

    def finish(self, key: str, status: str, result: Json | None) -> None:
        """A trial has ended; searches that waited for it go on."""
        self._set(key, status)
        waiting = self._waiting_for.pop(key, [])
        for search in waiting:
            search.note(key, status, result)
        self._advance(waiting)

    # -- numbers -------------------------------------------------------------------------------

    @property
    def done(self) -> int:
        """Trials that are done."""
        return self._counts[DONE]

    @property
    def failed(self) -> int:
        """Trials that failed, and are not wanted again."""
        return self._counts[FAILED]

    @property
    def total(self) -> int:
        """All trials, those included that searches may still come to."""
        return len(self.trials) + self.foreseen

    @property
    def foreseen(self) -> int:
        """Trials that searches may come to, besides those that are known."""
        return sum(search.foreseen for search in self._searches)

    def missing_costs(self) -> dict[tuple[str, str], float]:
        """The cost of what is missing by kind and version, in the kind's units; what a search may
        come to is taken to cost what its trials so far cost on average."""
        costs = {kind: cost for kind, cost in self._missing_costs.items() if cost > 0}
        for search in self._searches:
            known = [self._cost[key] for key in search.keys]
            if search.foreseen and known:
                kind = kind_of(self.trials[search.keys[0]])
                costs[kind] = costs.get(kind, 0.0) + search.foreseen * fmean(known)
        return costs

    def thresholds(self, sweep: Sweep) -> list[Threshold]:
        """The outcomes of a sweep's searches, point by point."""
        return [search.threshold() for search in self._searches if search.sweep is sweep]

    # -- bookkeeping ---------------------------------------------------------------------------

    def _advance(self, searches: Iterable[_PointSearch]) -> None:
        """Let searches go on, through all that is known already."""
        searches = list(searches)
        while searches:
            wanted = []
            for search in searches:
                for trial in search.next_trials():
                    wanted.append(trial)
                    self._waiting_for.setdefault(trial.key, []).append(search)
            self._admit(wanted)
            moved: dict[int, _PointSearch] = {}
            for trial in wanted:
                if self.status[trial.key] != MISSING:
                    for search in self._waiting_for.pop(trial.key, []):
                        search.note(trial.key, self.status[trial.key], self._known.get(trial.key))
                        moved[id(search)] = search
            searches = list(moved.values())

    def _admit(self, trials: Sequence[SweepTrial]) -> None:
        new = {trial.key: trial for trial in trials if trial.key not in self.trials}
        states = self._store.states(new)
        #: Results that the latest look into the store found.
        self._known = {key: result for key, (_, result) in states.items()}
        again = [trial.key for trial in trials if trial.key not in new]
        if again:  # of another sweep, which may have finished them
            self._known.update(
                (key, result) for key, (_, result) in self._store.states(again).items()
            )
        for key, trial in new.items():
            self.trials[key] = trial
            status = states[key][0] if key in states else MISSING
            if status == FAILED and self._retry_failed:
                status = MISSING
                self.again.add(key)
            self._cost[key] = cost_of(trial)
            self._set(key, status)
            if status == MISSING:
                order = (int(trial.given.get("seed", 0)), -self._cost[key], next(self._numbers))
                heapq.heappush(self._queue, (*order, key))

    def _set(self, key: str, status: str) -> None:
        before = self.status.get(key)
        self.status[key] = status
        self._counts[status] += 1
        if before is not None:
            self._counts[before] -= 1
        change = (status == MISSING) - (before == MISSING)
        self._missing_costs[kind_of(self.trials[key])] += change * self._cost[key]


def kind_of(trial: SweepTrial) -> tuple[str, str]:
    """The name and the version of a trial's kind: what has costs in one unit."""
    return trial.kind, trial.version


def cost_of(trial: SweepTrial) -> float:
    """The time of a trial in the units of its kind."""
    return float(get_trial_kind(trial.kind).cost(trial.parameters))


class _PointSearch:
    """One search under way: the values that were tried, and their results by seed."""

    def __init__(self, sweep: Sweep, point: Json) -> None:
        self.sweep, self._point = sweep, point
        assert sweep.search is not None
        self._search = sweep.search
        self._values: dict[float, list[str]] = {}  # the keys of each value's trials
        self._results: dict[str, float] = {}
        self._reason = ""  # why it cannot go on

    def next_trials(self) -> Iterator[SweepTrial]:
        """Trials of the values that are next, once those of the values so far have ended."""
        if self._reason or not self._is_complete():
            return
        means = {x: fmean(values) for x, values in self._by_value().items()}
        for value in self._search.wanted(means):
            trials = [
                self.sweep.trial(self._point, seed, value) for seed in range(self.sweep.seeds)
            ]
            self._values[value] = [trial.key for trial in trials]
            yield from trials

    def note(self, key: str, status: str, result: Json | None) -> None:
        """The end of one of its trials."""
        name = self._search.result
        value = (result or {}).get(name)
        if status != DONE:
            self._reason = "trials failed"
        elif isinstance(value, bool) or not isinstance(value, int | float):
            self._reason = f"the result {name!r} is {value!r}, no number"
        else:
            self._results[key] = float(value)

    @property
    def foreseen(self) -> int:
        """Trials that it may still come to."""
        if self._reason or (self._is_complete() and self._is_over()):
            return 0
        return (self._search.most_values() - len(self._values)) * self.sweep.seeds

    @property
    def keys(self) -> list[str]:
        """Its trials so far."""
        return [key for keys in self._values.values() for key in keys]

    def threshold(self) -> Threshold:
        """What it has found."""
        value: float | None = None
        evidence: Json = {}
        reason = self._reason
        if not reason and not (self._values and self._is_complete() and self._is_over()):
            reason = "not finished"
        elif not reason:
            value, evidence = self._search.outcome(self._by_value())
            if value is None:
                reason = (
                    f"{self._search.result} does not cross {self._search.level:g} between "
                    f"{self._search.low:g} and {self._search.high:g}"
                )
        return Threshold(self._point, self._search.parameter, value, reason, evidence)

    def _is_complete(self) -> bool:
        return all(key in self._results for keys in self._values.values() for key in keys)

    def _is_over(self) -> bool:
        means = {x: fmean(values) for x, values in self._by_value().items()}
        return not self._search.wanted(means)

    def _by_value(self) -> dict[float, list[float]]:
        return {x: [self._results[key] for key in keys] for x, keys in self._values.items()}
