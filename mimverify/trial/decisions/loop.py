"""The loop that draws runs one by one for statistical decisions until all are decided.

A trial decides at one false-alarm level, a calibration at several on the same runs. Both use
this loop, so that the procedure that is calibrated is the one that decides.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

from mimverify.trial.decisions import StatisticalDecision, StatisticalState
from mimverify.trial.outcomes import ClaimFailed, Inconclusive, Status
from mimverify.trial.profile import Profile

__all__ = ["DecidingLoop", "EventCount"]

States: TypeAlias = dict[StatisticalDecision, StatisticalState]
Observations: TypeAlias = Mapping[StatisticalDecision, object]
#: The observations in the run of this number, from 0.
Draw: TypeAlias = Callable[[int], Observations]


@dataclass(frozen=True)
class EventCount:
    """How often an event happened in a configuration, in a number of runs fixed beforehand."""

    name: str
    case: str
    happened: int
    of: int


class DecidingLoop:
    """Makes statistical decisions at one false-alarm level, or at several on the same runs.

    A level has ended when a trial at this level alone would have, failed or undecided; the
    others continue with the next configuration.

    **Arguments**

    - `levels`: false-alarm probabilities of a single decision.
    - `profile`: how many runs a decision may take.
    - `counted`: number of first runs of a configuration in which events are counted. They are
      drawn even after the decisions, so that the counts are not biased by stopping. None: the
      fewest runs of a pass. 0: none, as in a trial.

    `ended` maps the index of each level that has ended to its status.
    """

    def __init__(
        self, levels: Sequence[float], profile: Profile, *, counted: int | None = 0
    ) -> None:
        self.levels, self.profile = tuple(levels), profile
        self.ended: dict[int, Status] = {}
        self.counts: dict[tuple[str, str], EventCount] = {}
        self._counted = counted
        self._states: dict[int, States] = {}

    @property
    def open_levels(self) -> list[int]:
        """Indices of the levels that have not ended."""
        return [k for k in range(len(self.levels)) if k not in self.ended]

    @property
    def states(self) -> States:
        """The latest states of the decisions, at the strictest of the levels that took part."""
        strictest = min(self._states, key=lambda k: self.levels[k], default=None)
        return {} if strictest is None else self._states[strictest]

    def run(self, decisions: Sequence[StatisticalDecision], draw: Draw, case: object) -> None:
        """Make all decisions in one configuration; returns if a level is still open.

        **Raises** `ClaimFailed` or `Inconclusive`: how the last open level ended.
        """
        text, profile = str(case), self.profile
        self._states = {
            k: {decision: decision.open(self.levels[k], profile) for decision in decisions}
            for k in self.open_levels
        }
        under_way = dict(self._states)
        every = [state for states in under_way.values() for state in states.values()]
        most = max(state.maximum_runs for state in every)
        counted = self._runs_to_count(decisions, every)
        end: Exception | None = None
        for index in range(max(counted, most)):
            if index >= counted and not under_way:
                break
            seen = draw(index)
            if index < counted:
                self._count(repr(case), decisions, seen)
            for k, states in list(under_way.items()):
                end = self._observe(k, states, seen, text) or end
                if k in self.ended or all(state.passed for state in states.values()):
                    del under_way[k]
        if not self.open_levels:
            assert end is not None
            raise end

    def _runs_to_count(
        self, decisions: Sequence[StatisticalDecision], states: Sequence[StatisticalState]
    ) -> int:
        if self._counted is not None:
            return self._counted
        return max(state.minimum_runs for state in states)

    def _observe(self, k: int, states: States, seen: Observations, case: str) -> Exception | None:
        """Observe a run at level k; how the level ended, if it did."""
        for decision, state in states.items():
            if not state.decided and state.runs < state.maximum_runs:
                state.observe(seen[decision])
        for state in states.values():
            if state.failed:
                self.ended[k] = Status.FAILED
                return ClaimFailed(state.failure_message(case))
        spent = [
            decision.name
            for decision, state in states.items()
            if not state.decided and state.runs >= state.maximum_runs
        ]
        waiting = [s for s in states.values() if not s.decided and s.runs < s.maximum_runs]
        if not spent or waiting:  # another decision may still fail
            return None
        self.ended[k] = Status.INCONCLUSIVE
        runs = max(state.runs for state in states.values())
        return Inconclusive(f"{runs} runs did not decide: {'; '.join(spent)}")

    def _count(
        self, case: str, decisions: Sequence[StatisticalDecision], seen: Observations
    ) -> None:
        for decision in decisions:
            happened = decision.happened(seen[decision])
            if happened is None:
                continue
            before = self.counts.get((decision.name, case), EventCount(decision.name, case, 0, 0))
            self.counts[decision.name, case] = replace(
                before, happened=before.happened + happened, of=before.of + 1
            )
