"""A claim's trial at several false-alarm levels at once, on the very same runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from mimverify.statistics import SequentialBinomial
from mimverify.trial.adapter import TrainerUnderTrial
from mimverify.trial.claim import Claim
from mimverify.trial.ledger import Ledger
from mimverify.trial.profile import Profile
from mimverify.trial.session import outcome_of
from mimverify.trial.trial import Trial
from mimverify.trial.verdict import Inconclusive, Status

__all__ = ["CountingTrial", "EventCount", "Tried"]


@dataclass(frozen=True)
class EventCount:
    """How often an event happened in a configuration, in a number of runs fixed beforehand."""

    name: str
    case: str
    happened: int
    of: int


@dataclass(frozen=True)
class Tried:
    """A claim tried from one master seed.

    **Arguments**

    - `claim`, `seed`: which, from which.
    - `statuses`: what a trial with each of the ledgers would have come to, in their order.
    - `counts`: of the events of its binomial decisions.
    - `message`: why, where the trainer could not be used or the claim not be tried.
    """

    claim: str
    seed: int
    statuses: tuple[Status, ...]
    counts: tuple[EventCount, ...] = ()
    message: str = ""


class CountingTrial(Trial):
    """Decides with several ledgers what `Trial` decides with one, and counts the events.

    Seeds and runs are those of a `Trial` from the same master seed. A ledger is done with the
    claim where its own trial would have ended; the others go on.

    **Arguments**

    - `ledgers`: the shares to decide at.
    - `counted`: the first runs of a decision, in which events are counted. These are made
      whatever is decided, so that the counts do not depend on what they are of. By default
      as many as a pass takes at least.
    """

    def __init__(
        self,
        claim: Claim,
        trainer: TrainerUnderTrial,
        *,
        profile: Profile,
        ledgers: Sequence[Ledger],
        seed: int = 0,
        counted: int | None = None,
    ) -> None:
        strictest = min(ledgers, key=lambda ledger: ledger.share)
        super().__init__(claim, trainer, profile=profile, ledger=strictest, seed=seed)
        self._ledgers = tuple(ledgers)
        self._counted = counted
        self._ended: dict[int, Status] = {}  # by the ledger's place
        self._counts: dict[tuple[str, str], EventCount] = {}

    def tried(self) -> Tried:
        """Try the claim; never raises for the trainer's sake."""
        status, message = outcome_of(self)
        return Tried(
            claim=self.claim.id,
            seed=self.seed,
            statuses=tuple(self._ended.get(k, status) for k in range(len(self._ledgers))),
            counts=() if status is Status.ERROR else tuple(self._counts.values()),
            message=message if status in (Status.ERROR, Status.NOT_APPLICABLE) else "",
        )

    def rejects(self, p_value: float) -> bool:
        """True, which ends the claim, once every ledger has rejected or is done otherwise."""
        for k in self._open():
            if p_value <= self._ledgers[k].share:
                self._ended[k] = Status.FAILED
        return not self._open()

    def decide_all(
        self, events: dict[str, Any], outcomes: Callable[[int], dict[str, bool]]
    ) -> None:
        """As `Trial.decide_all`, until the last ledger has decided."""
        under_way = {k: self._tests(events, self._ledgers[k].share) for k in self._open()}
        counted = self._counted
        if counted is None:
            some = next(iter(under_way.values()))
            counted = max(test.fewest for test in some.values())
        case = self.case
        for index in range(max(counted, self.profile.trials)):
            if index >= counted and not under_way:
                break
            seed = self.seed_of(case, index)
            self.trainer.fresh(seed)
            happened = outcomes(seed)
            if index < counted:
                self._count(repr(case), {name: bool(happened[name]) for name in events})
            if index >= self.profile.trials:
                continue  # a trial would have given up before
            for k, tests in list(under_way.items()):
                if self._decided(k, tests, happened):
                    del under_way[k]
        self._ended |= dict.fromkeys(under_way, Status.INCONCLUSIVE)
        if not self._open():
            raise Inconclusive("no ledger goes on with this claim")

    def _open(self) -> list[int]:
        return [k for k in range(len(self._ledgers)) if k not in self._ended]

    def _decided(
        self, k: int, tests: dict[str, SequentialBinomial], happened: dict[str, bool]
    ) -> bool:
        decisions = {test.observe(happened[name]) for name, test in tests.items()}
        if "low" in decisions:
            self._ended[k] = Status.FAILED
        return "low" in decisions or decisions == {"high"}

    def _count(self, case: str, happened: dict[str, bool]) -> None:
        for name, did in happened.items():
            before = self._counts.get((name, case), EventCount(name, case, 0, 0))
            self._counts[name, case] = replace(
                before, happened=before.happened + did, of=before.of + 1
            )
