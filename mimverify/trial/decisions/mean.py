"""A decision on the mean of a bounded number of independent runs, by betting.

Where a number varies so much between runs that a threshold for each run says little, its mean
still tells: `SequentialMean`. A trainer whose mean keeps the bound fails with probability at most
the level; one whose mean is beyond the bound by the gap passes with probability at most the
profile's `false_pass`. No law is assumed, only the range.
"""

from __future__ import annotations

import math
from dataclasses import KW_ONLY, dataclass, field
from typing import ClassVar

import numpy as np

from mimverify.statistics import SequentialMean
from mimverify.support.errors import InputError
from mimverify.support.validation import number
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

__all__ = ["Mean", "MeanEvidence", "Shown"]


@dataclass(frozen=True)
class Shown:
    """One run's number of a `Mean`, and what the table shows beside it.

    **Arguments**

    - `number`: the one that is decided on.
    - `value`, `expected`: what was measured, and what the theory predicts: the decision's
      `quantity`.
    """

    number: float
    value: float
    expected: float


@dataclass(frozen=True)
class Mean(StatisticalDecision):
    """The claim that a number of one run has a mean of at most, or at least, a bound.

    A run is observed as the number, or as a `Shown`. The number is clipped to [low, high], and the
    claim is on the mean of what that leaves; NaN counts as the end beyond the bound.

    **Arguments**

    - `name`: the number.
    - `at_most`, `at_least`: the bound on the mean; one of them is given.
    - `gap`: a mean that is beyond the bound by this much hardly ever passes. The smaller, the
      more runs a correct trainer needs.
    - `low`, `high`: ends of the range, known beforehand; bound and bound ± gap lie inside.
    - `quantity`: for the table, what the number is, or the value of a `Shown`: "test error".
    - `number`: what the number is beside such a value: "squared deviation".

    **Raises** `InputError` for other numbers.
    """

    kind: ClassVar[str] = "mean"

    _: KW_ONLY
    at_most: float | None = None
    at_least: float | None = None
    gap: float
    low: float = 0.0
    high: float = 1.0
    quantity: str = ""
    number: str = ""

    def __post_init__(self) -> None:
        super().__post_init__()
        if (self.at_most is None) == (self.at_least is None):
            raise InputError(
                f"at_most={self.at_most!r}, at_least={self.at_least!r}: expected one of them"
            )
        gap = number("gap", self.gap, minimum=0, exclusive=True)
        low, high, bound = number("low", self.low), number("high", self.high), self.bound
        beyond = bound + gap if self.at_least is None else bound - gap
        if not (low < bound < high and low < beyond < high):
            raise InputError(
                f"low={low!r}, high={high!r}: expected the bound {bound:g}, and {beyond:g} beyond "
                "it, between them"
            )

    @property
    def bound(self) -> float:
        """The claimed bound."""
        if self.at_least is None:
            return number("at_most", self.at_most)
        return number("at_least", self.at_least)

    def open(self, alpha: float, profile: Profile) -> MeanState:
        return MeanState(self, alpha, profile)

    def unit(self, value: float) -> float:
        """The value's place in the range: 0 at the end that keeps the bound, 1 at the other."""
        if math.isnan(value):
            return 1.0
        fraction = (min(max(value, self.low), self.high) - self.low) / (self.high - self.low)
        return fraction if self.at_least is None else 1 - fraction

    def value(self, unit: float) -> float:
        """The inverse of `unit`."""
        fraction = unit if self.at_least is None else 1 - unit
        return self.low + fraction * (self.high - self.low)


@dataclass
class MeanState(StatisticalState):
    """The test by betting, and the sum of what was measured."""

    decision: Mean
    alpha: float
    profile: Profile
    test: SequentialMean = field(init=False)

    def __post_init__(self) -> None:
        wanted = self.decision
        self.test = SequentialMean(
            wanted.unit(wanted.bound),
            wanted.gap / (wanted.high - wanted.low),
            alpha=self.alpha,
            beta=self.profile.false_pass,
        )
        self._total = 0.0  # of numbers clipped to the range, as the test sees them
        self._smallest, self._largest = math.inf, -math.inf
        self._shown = np.zeros(2)  # sums of values and of what was expected
        self._any_shown = False

    @property
    def maximum_runs(self) -> int:
        return self.profile.maximum_runs

    @property
    def minimum_runs(self) -> int:
        return self.test.fewest

    def observe(self, observation: object) -> None:
        if self.decided:
            return
        if isinstance(observation, Shown):
            self._shown += [observation.value, observation.expected]
            self._any_shown = True
            observation = observation.number
        real = isinstance(observation, (int, float, np.integer, np.floating))
        if not real or isinstance(observation, bool):
            raise ClaimError(
                f"{self.decision.name}: a run was observed as {observation!r}, expected a "
                "number, or Shown"
            )
        unit = self.decision.unit(float(observation))  # type: ignore[arg-type]
        seen = self.decision.value(unit)
        self._total += seen
        self._smallest, self._largest = min(self._smallest, seen), max(self._largest, seen)
        decision = self.test.observe(unit)
        self.runs = self.test.runs
        self.passed, self.failed = decision == "low", decision == "high"

    def failure_message(self, case: str) -> str:
        found = self.evidence(case)
        return (
            f"{self.decision.name}: {found.measurement} over {self.runs} runs of "
            f"{found.smallest:.3g} to {found.largest:.3g} (e-value {self._e_value:.3g}, at most "
            f"{risk_text(self.alpha)} false alarms; {case})"
        )

    @property
    def _e_value(self) -> float:
        return math.exp(min(self.test.log_e_value, 700.0))

    def evidence(self, case: str) -> MeanEvidence:
        wanted, test, runs = self.decision, self.test, self.runs
        detectable = test.detectable(power=POWER, runs=self.maximum_runs)
        value, expected = map(float, self._shown / max(runs, 1))
        return MeanEvidence(
            decision=wanted.name,
            case=case,
            failed=self.failed,
            quantity=wanted.quantity,
            number=wanted.number,
            value=value if self._any_shown else None,
            expected=expected if self._any_shown else None,
            mean=self._total / runs if runs else None,
            smallest=self._smallest if runs else None,
            largest=self._largest if runs else None,
            at_most=wanted.at_most,
            at_least=wanted.at_least,
            gap=wanted.gap,
            low=wanted.low,
            high=wanted.high,
            runs=runs,
            log_e_value=test.log_e_value,
            log_e_value_pass=test.log_e_value_below,
            passed=self.passed,
            false_alarms=self.alpha,
            false_pass=self.profile.false_pass,
            detectable=None if detectable is None else wanted.value(detectable),
            maximum_runs=self.maximum_runs,
        )


@dataclass(frozen=True)
class MeanEvidence(DecisionEvidence):
    """The mean of a number, and the evidence on either side of its bound.

    **Arguments**

    - `quantity`, `number`: what the value is, and the number.
    - `value`, `expected`: as in `Shown`, means over the runs.
    - `mean`, `smallest`, `largest`: over the runs, clipped to the range; None before the first.
    - `at_most`, `at_least`, `gap`, `low`, `high`: see `Mean`.
    - `runs`: how many were observed.
    - `log_e_value`: log of the evidence that the mean is beyond the bound; fails from
      −log(`false_alarms`) on.
    - `log_e_value_pass`: log of the evidence that it is not beyond the bound by the gap; passes
      from −log(`false_pass`) on.
    - `passed`: whether it passed; undecided if it neither passed nor failed.
    - `false_alarms`: probability of failing although the mean keeps the bound, at most.
    - `false_pass`: probability of passing although it is beyond the bound by the gap, at most.
    - `detectable`: the mean, of numbers at both ends of the range, that fails with probability at
      least `POWER` within `maximum_runs`; None: no mean.
    """

    kind: ClassVar[str] = Mean.kind

    quantity: str
    number: str
    value: float | None
    expected: float | None
    mean: float | None
    smallest: float | None
    largest: float | None
    at_most: float | None
    at_least: float | None
    gap: float
    low: float
    high: float
    runs: int
    log_e_value: float
    log_e_value_pass: float
    passed: bool
    false_alarms: float
    false_pass: float
    detectable: float | None
    maximum_runs: int

    @property
    def statistic(self) -> float | None:
        """The mean over the runs."""
        return self.mean

    @property
    def fraction_used(self) -> float | None:
        """1 + the log e-value as a fraction of the one that fails."""
        return 1.0 + self.log_e_value / -math.log(self.false_alarms) if self.runs else None

    @property
    def against_bound(self) -> float | None:
        """The e-value times the level."""
        return evidence_times_level(self.log_e_value, self.false_alarms) if self.runs else None

    @property
    def _sign(self) -> str:
        return "≤" if self.at_least is None else "≥"

    @property
    def _bound(self) -> str:
        bound = self.at_most if self.at_least is None else self.at_least
        return f"{self._sign}{bound:.3g}"

    @property
    def measurement(self) -> str:
        """The mean and its bound, after what is shown beside it."""
        if self.mean is None:
            return "no runs"
        text = f"mean {self.mean:.3g} ({self._bound})"
        if self.value is None:
            return f"{self.quantity} {text}".lstrip()
        shown = f"{self.quantity} {self.value:.3g}, predicted {self.expected:.3g}"
        return f"{shown.lstrip()}; {self.number or 'number'} {text}"

    @property
    def summary(self) -> str:
        alone = self.quantity and self.mean is not None
        return self.measurement if alone else f"{self.decision}: {self.measurement}"

    @property
    def details(self) -> str:
        text = f"{self.runs} runs, risk {risk_text(self.false_alarms)}"
        if self.detectable is not None:
            beyond = "≥" if self.at_least is None else "≤"
            text += f", catches a mean {beyond} {self.detectable:.3g}"
        return text

    @property
    def legend(self) -> str:
        return (
            "Of a mean: the risk that it fails where it keeps its bound, and the mean that fails "
            f"with probability ≥ {POWER} within {self.maximum_runs} runs, of a number that lies at "
            f"the ends of its range; one beyond the bound by the gap passes with probability ≤ "
            f"{self.false_pass:g}."
        )
