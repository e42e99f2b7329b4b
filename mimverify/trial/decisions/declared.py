"""Checks that a claim decides exactly what it declares.

The false-alarm budget is divided by the number of declared decisions. In each configuration
every declared decision is therefore made once, or omitted with a reason.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from mimverify.support.strict_json import Json
from mimverify.trial.decisions import Decision, StatisticalDecision
from mimverify.trial.outcomes import ClaimError

__all__ = [
    "DeclaredDecisions",
    "MissingDecisionError",
    "Omission",
    "RepeatedDecisionError",
    "UnbudgetedExampleError",
    "UndeclaredDecisionError",
]


class UndeclaredDecisionError(ClaimError):
    """A claim decides something that it does not declare."""


class RepeatedDecisionError(ClaimError):
    """A claim makes a statistical decision twice in one configuration."""


class MissingDecisionError(ClaimError):
    """A claim neither makes nor omits (`trial.omit`) a declared decision."""


class UnbudgetedExampleError(ClaimError):
    """A claim tries more configurations than the false-alarm budget was divided by."""


@dataclass(frozen=True)
class Omission:
    """A declared decision that was not made, how often, and why."""

    decision: str
    reason: str
    times: int

    def to_json(self) -> Json:
        """Strict JSON values."""
        return {"decision": self.decision, "reason": self.reason, "times": self.times}


class DeclaredDecisions:
    """Counts the decisions of one claim.

    **Arguments**

    - `claim`: its id, for messages.
    - `declared`: its decisions.
    - `examples`: the largest number of configurations; None: any number.
    """

    def __init__(
        self, claim: str, declared: Sequence[Decision], *, examples: int | None = None
    ) -> None:
        self._claim, self._declared, self._most = claim, tuple(declared), examples
        self._examples = 0
        self._made: Counter[Decision] = Counter()
        self._omitted: Counter[Decision] = Counter()
        self._reasons: Counter[tuple[str, str]] = Counter()

    def begin_example(self) -> None:
        """Begin a configuration. **Raises** `UnbudgetedExampleError`."""
        self._examples += 1
        if self._most is not None and self._examples > self._most:
            raise UnbudgetedExampleError(
                f"claim {self._claim!r} tries configuration {self._examples}: its decisions were "
                f"counted for {self._most}"
            )
        self._made.clear()
        self._omitted.clear()

    def waiting(self) -> list[Decision]:
        """Declared decisions that were neither made nor omitted in this configuration."""
        return [d for d in self._declared if not self._made[d] and not self._omitted[d]]

    def make(self, decision: Decision) -> None:
        """Count a decision. The comparisons of an exact one are one decision.

        **Raises** `UndeclaredDecisionError`; `RepeatedDecisionError` for a statistical one that
        was made or omitted before.
        """
        self.check(decision)
        if isinstance(decision, StatisticalDecision):
            if self._omitted[decision]:
                raise RepeatedDecisionError(
                    f"claim {self._claim!r} decides {decision.name!r} after it was omitted"
                )
            if self._made[decision]:
                raise RepeatedDecisionError(
                    f"claim {self._claim!r} decides {decision.name!r} twice in one configuration: "
                    "its part of the false-alarm budget is for one decision"
                )
        self._made[decision] += 1

    def omit(self, decision: Decision, reason: str) -> None:
        """Record that a decision cannot be made here. **Raises** as `make`."""
        self.check(decision)
        if isinstance(decision, StatisticalDecision) and self._made[decision]:
            raise RepeatedDecisionError(
                f"claim {self._claim!r} omits {decision.name!r} after it was decided"
            )
        self._omitted[decision] += 1
        self._reasons[decision.name, reason] += 1

    def check(self, decision: object) -> None:
        """**Raises** `UndeclaredDecisionError` unless it is declared."""
        if decision not in self._declared:
            name = getattr(decision, "name", decision)
            declared = ", ".join(repr(d.name) for d in self._declared) or "nothing"
            raise UndeclaredDecisionError(
                f"claim {self._claim!r} decides {name!r}, which it does not declare: add it to "
                f"decisions= (declared: {declared})"
            )

    def check_observed(self, expected: Iterable[Decision], observed: Iterable[Decision]) -> None:
        """Check that one run has an observation for each decision being made, and for no other.

        **Raises** `UndeclaredDecisionError`, `MissingDecisionError`.
        """
        wanted, found = list(expected), list(observed)
        for decision in found:
            self.check(decision)
            if decision not in wanted:
                raise UndeclaredDecisionError(
                    f"claim {self._claim!r} observes {decision.name!r}, which is not among the "
                    "decisions being made: it was omitted, or left out of decide()"
                )
        for decision in wanted:
            if decision not in found:
                raise MissingDecisionError(
                    f"claim {self._claim!r}: a run says nothing of {decision.name!r}"
                )

    def end_example(self) -> None:
        """End a configuration. **Raises** `MissingDecisionError`."""
        left = self.waiting()
        if left:
            raise MissingDecisionError(
                f"claim {self._claim!r} leaves {left[0].name!r} undecided, which it declares: call "
                "trial.omit(decision, reason) where it cannot be decided"
            )

    @property
    def omissions(self) -> tuple[Omission, ...]:
        """The omissions in all configurations."""
        return tuple(
            Omission(name, reason, times) for (name, reason), times in self._reasons.items()
        )
