"""A kind of decision for tests: one run, observed as a p-value."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from mimverify.trial import DecisionEvidence, Profile, StatisticalDecision, StatisticalState


@dataclass(frozen=True)
class PValue(StatisticalDecision):
    """Fails where the one p-value is at most the level."""

    kind: ClassVar[str] = "p-value"

    def open(self, alpha: float, profile: Profile) -> PValueState:
        return PValueState(self, alpha)


@dataclass
class PValueState(StatisticalState):
    decision: PValue
    alpha: float
    maximum_runs: int = 1
    minimum_runs: int = 1
    value: float | None = None

    def observe(self, observation: Any) -> None:
        self.value, self.runs = float(observation), 1
        self.failed = self.value <= self.alpha
        self.passed = not self.failed

    def failure_message(self, case: str) -> str:
        return f"{self.decision.name}: p = {self.value} ({case})"

    def evidence(self, case: str) -> PValueEvidence:
        return PValueEvidence(self.decision.name, case, self.failed, self.value, self.alpha)


@dataclass(frozen=True)
class PValueEvidence(DecisionEvidence):
    kind: ClassVar[str] = PValue.kind

    value: float | None
    false_alarms: float

    @property
    def statistic(self) -> float | None:
        return self.value

    @property
    def fraction_used(self) -> float | None:
        return None if self.value is None else 1 - self.value

    @property
    def summary(self) -> str:
        return f"{self.decision}: p = {self.value}"
