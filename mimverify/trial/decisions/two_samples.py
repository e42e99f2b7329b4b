"""A decision on whether two samples of vectors, drawn in pairs, have one law."""

from __future__ import annotations

import math
from dataclasses import KW_ONLY, dataclass, field
from typing import ClassVar

import numpy as np

from mimverify.statistics import SequentialTwoSample
from mimverify.support.arrays import ArrayLike
from mimverify.trial.decisions.base import (
    DecisionEvidence,
    StatisticalDecision,
    StatisticalState,
    evidence_times_level,
    risk_text,
)
from mimverify.trial.profile import Profile

__all__ = ["TwoSamples", "TwoSamplesEvidence"]


@dataclass(frozen=True)
class TwoSamples(StatisticalDecision):
    """The claim that two sources of a vector have the same law: a test by betting on pairs.

    A run is observed as a pair (x, y) of vectors `(k,)`. Under one law it fails with
    probability at most the level, at any stopping time; it passes after the profile's
    `maximum_runs` pairs.

    **Arguments**

    - `statistics`: k.
    - `names`: of the vector's entries, for messages; numbers by default.
    """

    kind: ClassVar[str] = "two samples"

    _: KW_ONLY
    statistics: int = 1
    names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "names", tuple(self.names))  # a list could not be declared

    def open(self, alpha: float, profile: Profile) -> TwoSamplesState:
        return TwoSamplesState(self, alpha, profile)


@dataclass
class TwoSamplesState(StatisticalState):
    """The test by betting, and the means of both samples."""

    decision: TwoSamples
    alpha: float
    profile: Profile
    test: SequentialTwoSample = field(init=False)

    def __post_init__(self) -> None:
        self.test = SequentialTwoSample(self.decision.statistics, self.alpha)
        self._sums = np.zeros((2, self.decision.statistics))

    @property
    def maximum_runs(self) -> int:
        return self.profile.maximum_runs

    @property
    def minimum_runs(self) -> int:
        return self.maximum_runs

    def observe(self, observation: ArrayLike) -> None:
        if self.decided:
            return
        x, y = (np.atleast_1d(np.asarray(v, dtype=np.float64)) for v in observation)
        self.failed = self.test.update(x, y)
        self._sums += [x, y]
        self.runs = self.test.pairs
        self.passed = not self.failed and self.runs == self.maximum_runs

    def failure_message(self, case: str) -> str:
        kind, entries = self.test.strongest
        names = self.decision.names or tuple(map(str, range(self.decision.statistics)))
        return (
            f"{self.decision.name}: two laws after {self.runs} pairs, which differ in the {kind} "
            f"of {', '.join(names[k] for k in entries)} (e-value {self.test.e_value:.3g}, at most "
            f"{risk_text(self.alpha)} false alarms; {case})"
        )

    def evidence(self, case: str) -> TwoSamplesEvidence:
        means = self._sums / max(self.runs, 1)
        return TwoSamplesEvidence(
            decision=self.decision.name,
            case=case,
            failed=self.failed,
            names=self.decision.names,
            means=tuple(map(float, means[0])),
            expected=tuple(map(float, means[1])),
            pairs=self.runs,
            most=self.maximum_runs,
            log_e_value=self.test.log_e_value,
            false_alarms=self.alpha,
        )


@dataclass(frozen=True)
class TwoSamplesEvidence(DecisionEvidence):
    """The evidence that two laws differ.

    **Arguments**

    - `names`: of the entries.
    - `means`, `expected`: of the first and of the second sample, entry by entry.
    - `pairs`: how many were compared, of at most `most`.
    - `log_e_value`: log of the test's e-value; fails from −log(`false_alarms`) on.
    - `false_alarms`: probability of failing under one law, at most.
    """

    kind: ClassVar[str] = TwoSamples.kind

    names: tuple[str, ...]
    means: tuple[float, ...]
    expected: tuple[float, ...]
    pairs: int
    most: int
    log_e_value: float
    false_alarms: float

    @property
    def statistic(self) -> float | None:
        """log of the e-value."""
        return self.log_e_value

    @property
    def fraction_used(self) -> float | None:
        """1 + the log e-value as a fraction of the one that fails."""
        return 1.0 + self.log_e_value / -math.log(self.false_alarms)

    @property
    def against_bound(self) -> float | None:
        """The e-value times the level."""
        return evidence_times_level(self.log_e_value, self.false_alarms) if self.pairs else None

    @property
    def detectable(self) -> float:
        """A mean difference in the ranks of one entry that about `most` pairs detect.

        From the growth of a bet of the best stake, 2 v/δ² · log(30 b/α) pairs with b = k and the
        second moment v ≤ 1 of a difference (see `SequentialTwoSample`).
        """
        bets = 30 * max(len(self.means), 1)
        return math.sqrt(2 * math.log(bets / self.false_alarms) / self.most)

    @property
    def summary(self) -> str:
        names = self.names or (self.decision,)
        pairs = zip(names, self.means, self.expected, strict=False)
        return "; ".join(f"{name} {x:.3g}, expected {y:.3g}" for name, x, y in pairs)

    @property
    def details(self) -> str:
        return (
            f"{self.pairs} pairs, risk {risk_text(self.false_alarms)}, catches a mean difference "
            f"in ranks ≥ {min(self.detectable, 1):.2g}"
        )

    @property
    def legend(self) -> str:
        return (
            "Of two samples: the risk that they fail where they have one law, and about what is "
            f"caught within {self.most} pairs."
        )
