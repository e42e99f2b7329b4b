"""A decision on how often an event of one independent run happens.

Wald's sequential test between P ≥ `USUALLY` (claimed) and P ≤ `HALF`: a trainer for which the
event has P ≥ 0.9 fails with probability at most the level; one for which P ≤ 0.5 passes with
probability at most the profile's `false_pass`.
"""

from __future__ import annotations

import math
from dataclasses import KW_ONLY, dataclass, field, replace
from typing import Any, ClassVar

from mimverify.statistics import SequentialBinomial
from mimverify.trial.decisions.base import (
    POWER,
    DecisionEvidence,
    StatisticalDecision,
    StatisticalState,
)
from mimverify.trial.profile import Profile

__all__ = [
    "HALF",
    "USUALLY",
    "Event",
    "EventEvidence",
    "Observed",
    "above",
    "below",
    "between",
    "near",
]

#: An event that should happen "nearly always" and one that happens "at most half the time":
#: the two hypotheses of the test. The claims choose events whose probability, for a correct
#: trainer, is far above `USUALLY` (tests/test_calibration.py measures it).
HALF, USUALLY = 0.5, 0.9


@dataclass(frozen=True)
class Observed:
    """One run's event, and the number that it is about.

    **Arguments**

    - `happened`: whether the event happened.
    - `value`: what was measured, in the units of the decision's `quantity`.
    - `low`, `high`: what the value has to exceed, or to stay below; None: no such bound.
    - `expected`: what the theory says it is.
    """

    happened: bool
    value: float
    low: float | None = None
    high: float | None = None
    expected: float | None = None

    def and_also(self, condition: Any) -> Observed:
        """The same number; the event happens only where `condition` holds as well."""
        return replace(self, happened=self.happened and bool(condition))


def above(value: Any, low: float) -> Observed:
    """The event that `value` exceeds `low`; NaN does not."""
    return Observed(bool(value > low), float(value), low=float(low))


def below(value: Any, high: float) -> Observed:
    """The event that `value` stays below `high`; NaN does not."""
    return Observed(bool(value < high), float(value), high=float(high))


def between(value: Any, low: float, high: float) -> Observed:
    """The event that `value` lies strictly between `low` and `high`."""
    return Observed(bool(low < value < high), float(value), low=float(low), high=float(high))


def near(value: Any, expected: float, allowed: float) -> Observed:
    """The event that `value` is within `allowed` of what is expected."""
    happened = bool(abs(value - expected) <= allowed)
    return Observed(happened, float(value), expected=float(expected))


@dataclass(frozen=True)
class Event(StatisticalDecision):
    """The claim that an event of one run happens nearly always.

    A run is observed as an `Observed` (`above`, `below`, `between`, `near` make them), or as
    a bare truth value.

    **Arguments**

    - `name`: the event.
    - `quantity`: what its number is, for the table: "alignment after T1 steps".
    """

    kind: ClassVar[str] = "event probability"

    _: KW_ONLY
    quantity: str = ""

    def open(self, alpha: float, profile: Profile) -> EventState:
        return EventState(self, alpha, profile)

    def happened(self, observation: Any) -> bool:
        return _observed(observation).happened


def _observed(observation: Any) -> Observed:
    if isinstance(observation, Observed):
        return observation
    return Observed(bool(observation), math.nan)


class _Mean:
    """Of the finite ones among some numbers; None of none."""

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

    @property
    def most(self) -> int:
        return self.profile.trials

    @property
    def fewest(self) -> int:
        return self.test.fewest

    def observe(self, observation: Any) -> None:
        if self.fallen:
            return
        seen = _observed(observation)
        for name, mean in self._means.items():
            mean.add(getattr(seen, name))
        decision = self.test.observe(seen.happened)
        self.runs = self.test.trials
        self.passed, self.failed = decision == "high", decision == "low"

    def complaint(self, case: str) -> str:
        measured = self.evidence("").measurement
        return (
            f"{self.event.name}: happened in {self.test.successes} of {self.test.trials} runs"
            + (f"; {measured}" if measured else "")
            + f" (at most {self.alpha:.1g} false alarms; {case})"
        )

    def evidence(self, case: str) -> EventEvidence:
        test = self.test
        return EventEvidence(
            decision=self.event.name,
            case=case,
            quantity=self.event.quantity,
            **{name: mean.value for name, mean in self._means.items()},
            happened=test.successes,
            of=test.trials,
            fails_at=test.fails_at(test.trials) if test.trials else None,
            log_likelihood_ratio=test.log_ratio,
            outcome="passed" if self.passed else "failed" if self.failed else None,
            false_alarms=self.alpha,
            false_pass=self.profile.false_pass,
            detectable=test.detectable(power=POWER, trials=self.most),
            most=self.most,
        )


@dataclass(frozen=True)
class EventEvidence(DecisionEvidence):
    """How often an event happened, and what was measured.

    **Arguments**

    - `quantity`: what its number is.
    - `value`, `low`, `high`, `expected`: as in `Observed`, means over the runs.
    - `happened`, `of`: runs with the event, all runs.
    - `fails_at`: the largest number of events that would have failed; None: no number yet.
    - `log_likelihood_ratio`: of P = `USUALLY` against P = `HALF`.
    - `outcome`: "passed", "failed", or None: undecided.
    - `false_alarms`: probability of failing although P ≥ `USUALLY`, at most.
    - `false_pass`: probability of passing although P ≤ `HALF`, at most.
    - `detectable`: the largest P that fails with probability at least `POWER` within `most`
      runs; None: not even P = 0.
    """

    kind: ClassVar[str] = Event.kind

    quantity: str
    value: float | None
    low: float | None
    high: float | None
    expected: float | None
    happened: int
    of: int
    fails_at: int | None
    log_likelihood_ratio: float
    outcome: str | None
    false_alarms: float
    false_pass: float
    detectable: float | None
    most: int

    @property
    def statistic(self) -> float | None:
        """Fraction of runs in which the event happened."""
        return self.happened / self.of if self.of else None

    @property
    def used_up(self) -> float | None:
        """1 and the fraction of runs in which it did not happen: never near 0 by luck."""
        return None if self.statistic is None else 2.0 - self.statistic

    @property
    def failed(self) -> bool:
        return self.outcome == "failed"

    @property
    def measurement(self) -> str:
        """The number beside what it is compared with; empty for a bare truth value."""
        if self.value is None:
            return ""
        text = f"{self.quantity or self.decision} {self.value:.3g}"
        if self.expected is not None:
            return f"{text}, predicted {self.expected:.3g}"
        if self.low is not None and self.high is not None:
            return f"{text} ({self.low:.3g}…{self.high:.3g})"
        if self.low is not None:
            return f"{text} (>{self.low:.3g})"
        return text if self.high is None else f"{text} (<{self.high:.3g})"

    @property
    def summary(self) -> str:
        runs = f"{self.happened} of {self.of} runs"
        if not self.measurement:
            return f"{self.quantity or self.decision}: {runs}"
        return self.measurement if self.happened == self.of else f"{self.measurement} in {runs}"

    @property
    def details(self) -> str:
        text = f"{self.happened} of {self.of} runs, risk {self.false_alarms:.1g}"
        if self.detectable is not None:
            text += f", catches P ≤ {self.detectable:.2f}"
        return text

    @property
    def legend(self) -> str:
        return (
            f"Of an event: the risk that it fails where its probability P is ≥ {USUALLY}, and the "
            f"largest P that fails with probability ≥ {POWER} within {self.most} runs; P ≤ {HALF} "
            f"passes with probability ≤ {self.false_pass:g}."
        )
