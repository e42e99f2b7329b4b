"""A decision on how often an event of one independent run happens.

Wald's sequential test between P ≥ `USUALLY` (claimed) and P ≤ `HALF`: a trainer for which the
event has P ≥ 0.9 fails with probability at most the level; one for which P ≤ 0.5 passes with
probability at most the profile's `false_pass`.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass, field, replace
from typing import Any, ClassVar, TypeAlias

import numpy as np

from mimverify.statistics import SequentialBinomial
from mimverify.trial.decisions.base import (
    POWER,
    DecisionEvidence,
    StatisticalDecision,
    StatisticalState,
    evidence_times_level,
    risk_text,
)
from mimverify.trial.outcomes import ClaimError
from mimverify.trial.profile import Profile

__all__ = [
    "HALF",
    "USUALLY",
    "Event",
    "EventEvidence",
    "Number",
    "Observed",
    "above",
    "below",
    "between",
    "near",
]

#: The two hypotheses of the test: P ≤ `HALF` and P ≥ `USUALLY`. The claims choose events whose
#: probability, for a correct trainer, is far above `USUALLY` (tests/calibration measures it).
HALF, USUALLY = 0.5, 0.9

#: A number of Python or NumPy.
Number: TypeAlias = float | np.floating[Any]


@dataclass(frozen=True)
class Observed:
    """One run's event, and the number that it is about.

    **Arguments**

    - `happened`: whether the event happened.
    - `value`: what was measured: the decision's `quantity`.
    - `low`, `high`: bounds on the value; None: no such bound.
    - `expected`: the value that the theory predicts.
    - `unmet`: further conditions of the event that did not hold.
    """

    happened: bool
    value: float
    low: float | None = None
    high: float | None = None
    expected: float | None = None
    unmet: tuple[str, ...] = ()

    def and_also(self, condition: bool | np.bool_, what: str) -> Observed:
        """The same number; the event happens only if `condition` holds as well.

        **Arguments**

        - `what`: the condition, for messages.
        """
        if condition:
            return self
        return replace(self, happened=False, unmet=(*self.unmet, what))


def above(value: Number, low: float) -> Observed:
    """The event that `value` exceeds `low`; NaN does not."""
    return Observed(bool(value > low), float(value), low=float(low))


def below(value: Number, high: float) -> Observed:
    """The event that `value` stays below `high`; NaN does not."""
    return Observed(bool(value < high), float(value), high=float(high))


def between(value: Number, low: float, high: float) -> Observed:
    """The event that `value` lies strictly between `low` and `high`."""
    return Observed(bool(low < value < high), float(value), low=float(low), high=float(high))


def near(value: Number, expected: float, allowed: float) -> Observed:
    """The event that `value` is within `allowed` of what is expected."""
    return Observed(
        bool(np.abs(value - expected) <= allowed),
        float(value),
        low=float(expected - allowed),
        high=float(expected + allowed),
        expected=float(expected),
    )


@dataclass(frozen=True)
class Event(StatisticalDecision):
    """The claim that an event of one run happens nearly always.

    A run is observed as an `Observed` (from `above`, `below`, `between` or `near`), or as True
    or False.

    **Arguments**

    - `name`: the event.
    - `quantity`: what its number is, for the table: "alignment after T1 steps".
    """

    kind: ClassVar[str] = "event probability"

    _: KW_ONLY
    quantity: str = ""

    def open(self, alpha: float, profile: Profile) -> EventState:
        return EventState(self, alpha, profile)

    def happened(self, observation: object) -> bool:
        return _observed(self.name, observation).happened


def _observed(name: str, observation: object) -> Observed:
    if isinstance(observation, Observed):
        return observation
    if isinstance(observation, (bool, np.bool_)):
        return Observed(bool(observation), math.nan)
    raise ClaimError(
        f"{name}: a run was observed as {observation!r}, expected True, False, or what above, "
        "below, between or near return"
    )


class _Mean:
    """The mean of the finite numbers added; None before the first."""

    def __init__(self) -> None:
        self.total, self.count = 0.0, 0

    def add(self, number: float | None) -> None:
        if number is not None and math.isfinite(number):
            self.total += number
            self.count += 1

    @property
    def value(self) -> float | None:
        return self.total / self.count if self.count else None


_NUMBERS = ("value", "low", "high", "expected")


@dataclass
class EventState(StatisticalState):
    """The sequential test, and means of what was measured."""

    event: Event
    alpha: float
    profile: Profile
    test: SequentialBinomial = field(init=False)

    def __post_init__(self) -> None:
        self.test = SequentialBinomial(
            HALF, USUALLY, alpha=self.alpha, beta=self.profile.false_pass
        )
        self._means = {name: _Mean() for name in _NUMBERS}
        self._unmet: Counter[str] = Counter()

    @property
    def maximum_runs(self) -> int:
        return self.profile.maximum_runs

    @property
    def minimum_runs(self) -> int:
        return self.test.fewest

    def observe(self, observation: object) -> None:
        if self.decided:
            return
        seen = _observed(self.event.name, observation)
        self._unmet.update(seen.unmet)
        for name, mean in self._means.items():
            mean.add(getattr(seen, name))
        decision = self.test.observe(seen.happened)
        self.runs = self.test.runs
        self.passed, self.failed = decision == "high", decision == "low"

    def failure_message(self, case: str) -> str:
        found = self.evidence(case)
        parts = [
            f"{self.event.name}: happened in {found.happened} of {found.of} runs, "
            f"{USUALLY:.0%} expected",
            *([found.measurement] if found.measurement else []),
            *found.conditions,
        ]
        return f"{'; '.join(parts)} (at most {risk_text(self.alpha)} false alarms; {case})"

    def evidence(self, case: str) -> EventEvidence:
        test = self.test
        means = {name: mean.value for name, mean in self._means.items()}
        return EventEvidence(
            decision=self.event.name,
            case=case,
            failed=self.failed,
            quantity=self.event.quantity,
            value=means["value"],
            low=means["low"],
            high=means["high"],
            expected=means["expected"],
            unmet=dict(self._unmet),
            happened=test.successes,
            of=test.runs,
            fails_at=test.fails_at(test.runs) if test.runs else None,
            log_likelihood_ratio=test.log_ratio,
            passed=self.passed,
            false_alarms=self.alpha,
            false_pass=self.profile.false_pass,
            detectable=test.detectable(power=POWER, runs=self.maximum_runs),
            maximum_runs=self.maximum_runs,
        )


@dataclass(frozen=True)
class EventEvidence(DecisionEvidence):
    """How often an event happened, and what was measured.

    **Arguments**

    - `quantity`: what its number is.
    - `value`, `low`, `high`, `expected`: as in `Observed`, means over the runs.
    - `unmet`: further conditions of the event, and in how many runs they did not hold.
    - `happened`, `of`: numbers of runs with the event, and of all runs.
    - `fails_at`: the largest number of events with which it would have failed; None: none yet.
    - `log_likelihood_ratio`: of P = `USUALLY` against P = `HALF`.
    - `passed`: whether it passed; undecided if it neither passed nor failed.
    - `false_alarms`: probability of failing although P ≥ `USUALLY`, at most.
    - `false_pass`: probability of passing although P ≤ `HALF`, at most.
    - `detectable`: the largest P that fails with probability at least `POWER` within
      `maximum_runs`; None: not even P = 0.
    """

    kind: ClassVar[str] = Event.kind

    quantity: str
    value: float | None
    low: float | None
    high: float | None
    expected: float | None
    unmet: Mapping[str, int]
    happened: int
    of: int
    fails_at: int | None
    log_likelihood_ratio: float
    passed: bool
    false_alarms: float
    false_pass: float
    detectable: float | None
    maximum_runs: int

    @property
    def statistic(self) -> float | None:
        """Fraction of runs in which the event happened."""
        return self.happened / self.of if self.of else None

    @property
    def fraction_used(self) -> float | None:
        """1 + the fraction of runs without the event, which itself may be 0 by chance."""
        return None if self.statistic is None else 2.0 - self.statistic

    @property
    def against_bound(self) -> float | None:
        """The likelihood ratio against the claim times the level: it fails from 1/level on."""
        return (
            evidence_times_level(-self.log_likelihood_ratio, self.false_alarms) if self.of else None
        )

    @property
    def measurement(self) -> str:
        """The number and what it is compared with; empty for an event without a number."""
        if self.value is None:
            return ""
        text = f"{self.quantity or self.decision} {self.value:.3g}"
        if self.expected is not None:
            text += f", predicted {self.expected:.3g}"
            # Near its prediction in all runs: the bounds add nothing.
            return text if self.happened == self.of else text + self._bounds
        return text + self._bounds

    @property
    def _bounds(self) -> str:
        if self.low is not None and self.high is not None:
            return f" ({self.low:.3g}…{self.high:.3g})"
        if self.low is not None:
            return f" (>{self.low:.3g})"
        return "" if self.high is None else f" (<{self.high:.3g})"

    @property
    def conditions(self) -> list[str]:
        """The further conditions that did not hold, and in how many runs."""
        return [f"not {what} in {runs}" for what, runs in self.unmet.items()]

    @property
    def summary(self) -> str:
        runs = f"{self.happened} of {self.of} runs"
        if not self.measurement:
            return f"{self.quantity or self.decision}: {runs}"
        if self.happened == self.of:
            return self.measurement
        held = f"held in {runs}, {USUALLY:.0%} expected"
        return "; ".join([self.measurement, *self.conditions, held])

    @property
    def details(self) -> str:
        text = f"{self.happened} of {self.of} runs, risk {risk_text(self.false_alarms)}"
        if self.detectable is not None:
            text += f", catches P ≤ {self.detectable:.2f}"
        return text

    @property
    def legend(self) -> str:
        return (
            f"Of an event: the risk that it fails where its probability P is ≥ {USUALLY}, and the "
            f"largest P that fails with probability ≥ {POWER} within {self.maximum_runs} runs; "
            f"P ≤ {HALF} passes with probability ≤ {self.false_pass:g}."
        )
