"""A decision on whether one number of independent runs follows a known continuous law."""

from __future__ import annotations

import math
from dataclasses import KW_ONLY, dataclass, field
from typing import ClassVar

import numpy as np

from mimverify.statistics import UniformityTest, uniformity_test
from mimverify.trial.decisions.base import (
    POWER,
    DecisionEvidence,
    StatisticalDecision,
    StatisticalState,
    risk_text,
)
from mimverify.trial.outcomes import ClaimError
from mimverify.trial.profile import Profile

__all__ = ["Law", "LawEvidence"]


@dataclass(frozen=True)
class Law(StatisticalDecision):
    """The claim that a number has a known law, by the exact two-sided Kolmogorov–Smirnov test.

    A run is observed as the law's distribution function at its number, in [0, 1]. The test is
    made after the profile's `null_samples` runs; a correct trainer fails with probability at
    most the level.

    **Arguments**

    - `name`: the number.
    - `law`: the law, in a few words.
    """

    kind: ClassVar[str] = "law"

    _: KW_ONLY
    law: str = "the law"

    def open(self, alpha: float, profile: Profile) -> LawState:
        return LawState(self, alpha, profile)


@dataclass
class LawState(StatisticalState):
    """The values so far; the test after the last."""

    decision: Law
    alpha: float
    profile: Profile
    values: list[float] = field(default_factory=list)
    test: UniformityTest | None = None

    @property
    def maximum_runs(self) -> int:
        return self.profile.null_samples

    @property
    def minimum_runs(self) -> int:
        return self.maximum_runs

    def observe(self, observation: object) -> None:
        if self.decided:
            return
        if not isinstance(observation, (float, np.floating)) or not -1e-9 < observation < 1 + 1e-9:
            raise ClaimError(
                f"{self.decision.name}: a run was observed as {observation!r}, expected the law's "
                "distribution function at its number, in [0, 1]"
            )
        self.values.append(float(np.clip(observation, 0, 1)))
        self.runs = len(self.values)
        if self.runs == self.maximum_runs:
            self.test = uniformity_test(self.values, alpha=self.alpha)
            self.failed = self.test.rejected
            self.passed = not self.failed

    def failure_message(self, case: str) -> str:
        assert self.test is not None
        return (
            f"{self.decision.name}: at distance {self.test.distance:.3f} from "
            f"{self.decision.law} over {self.runs} runs, p = {self.test.p_value:.2g} (at most "
            f"{risk_text(self.alpha)} false alarms; {case})"
        )

    def evidence(self, case: str) -> LawEvidence:
        test = self.test
        return LawEvidence(
            decision=self.decision.name,
            case=case,
            failed=self.failed,
            law=self.decision.law,
            distance=None if test is None else test.distance,
            p_value=None if test is None else test.p_value,
            runs=self.runs,
            false_alarms=self.alpha,
            detectable=None if test is None else min(test.detectable, 1.0),
        )


@dataclass(frozen=True)
class LawEvidence(DecisionEvidence):
    """The distance of a sample from a law.

    **Arguments**

    - `law`: in a few words.
    - `distance`, `p_value`: of the Kolmogorov–Smirnov test; None before its last run.
    - `runs`: the size of the sample.
    - `false_alarms`: probability of failing under the law, at most.
    - `detectable`: the distance between laws that fails with probability at least `POWER`.
    """

    kind: ClassVar[str] = Law.kind

    law: str
    distance: float | None
    p_value: float | None
    runs: int
    false_alarms: float
    detectable: float | None

    @property
    def statistic(self) -> float | None:
        return self.distance

    @property
    def fraction_used(self) -> float | None:
        """The distance as a fraction of the detectable one."""
        if self.distance is None or self.detectable is None:
            return None
        return self.distance / self.detectable

    @property
    def against_bound(self) -> float | None:
        """The level over the p-value: it fails where p is at most the level."""
        if self.p_value is None:
            return None
        return self.false_alarms / self.p_value if self.p_value else math.inf

    @property
    def summary(self) -> str:
        if self.distance is None:
            return f"{self.decision}: {self.runs} runs"
        return f"{self.decision}: D {self.distance:.2g} to {self.law}"

    @property
    def details(self) -> str:
        text = f"{self.runs} runs, risk {risk_text(self.false_alarms)}"
        if self.p_value is None or self.detectable is None:
            return text
        return f"{text}, p {self.p_value:.2g}, catches D ≥ {self.detectable:.2g}"

    @property
    def legend(self) -> str:
        return (
            "Of a law: the risk that it fails where it holds, and the distance D to it that fails "
            f"with probability ≥ {POWER}."
        )
