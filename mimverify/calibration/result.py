"""Alarms per claim and level, and events per claim, with exact inference on their rates."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from mimverify.calibration.counting import Tried
from mimverify.calibration.plan import Plan
from mimverify.calibration.rates import (
    detectable_rate,
    exceedance,
    fewest_alarms,
    lower_bound,
    upper_bound,
)
from mimverify.pages.notebook import ShownInNotebooks
from mimverify.support.exit_status import FAILED, NOTHING_VERIFIED, VERIFIED
from mimverify.support.strict_json import Json
from mimverify.trial.decisions import POWER, USUALLY
from mimverify.trial.outcomes import Status

__all__ = ["TOTAL_RISK", "WHOLE_RUN", "Calibration", "EventRate", "Row"]

#: Probability that a calibration fails although every claim keeps its level, at most.
TOTAL_RISK = 1e-3
#: Stands for a claim where whole runs are counted.
WHOLE_RUN = "whole run"

_COUNTED = (Status.PASSED, Status.FAILED, Status.INCONCLUSIVE)
# Of several claims' statuses, the first of these is the run's.
_PRECEDENCE = (
    Status.FAILED,
    Status.ERROR,
    Status.INCONCLUSIVE,
    Status.PASSED,
    Status.NOT_APPLICABLE,
)


@dataclass
class Row:
    """Alarms of one claim, or of whole runs, at one level.

    **Arguments**

    - `trainer`, `claim`, `level`: what the row counts.
    - `risk`: the level of the row's own test: the row fails if its p-value is below.
    - `statuses`: how often each occurred, over the master seeds.
    - `alarms`: (seed, claims that failed) of each alarm.
    """

    trainer: str
    claim: str
    level: float
    risk: float
    statuses: Counter[Status] = field(default_factory=Counter)
    alarms: list[tuple[int, tuple[str, ...]]] = field(default_factory=list)

    @property
    def seeds(self) -> int:
        """Master seeds that count: not those with an error, or where the claim does not apply."""
        return sum(self.statuses[status] for status in _COUNTED)

    @property
    def undecided(self) -> int:
        """Of these, trials that used all their runs without a decision: no alarms."""
        return self.statuses[Status.INCONCLUSIVE]

    @property
    def p_value(self) -> float:
        """Exact binomial test of "the false-alarm rate is at most the level"."""
        return exceedance(len(self.alarms), self.seeds, self.level)

    @property
    def exceeds(self) -> bool:
        """Whether alarms are more frequent than the level allows."""
        return self.p_value < self.risk

    @property
    def allowed(self) -> int:
        """Most alarms that do not exceed the level."""
        fewest = fewest_alarms(self.seeds, self.level, self.risk)
        return self.seeds if fewest is None else fewest - 1

    @property
    def upper_bound(self) -> float:
        """Of the false-alarm rate."""
        return upper_bound(len(self.alarms), self.seeds)

    @property
    def detectable(self) -> float | None:
        """The smallest false-alarm rate that would have been detected, with power `POWER`."""
        return detectable_rate(self.seeds, self.level, self.risk, power=POWER)

    def to_json(self) -> Json:
        """Counts and what follows from them; null where no seed counts."""
        some = bool(self.seeds)
        return {
            "trainer": self.trainer,
            "claim": self.claim,
            "level": self.level,
            "seeds": self.seeds,
            "alarms": len(self.alarms),
            "undecided": self.undecided,
            "errors": self.statuses[Status.ERROR],
            "not_applicable": self.statuses[Status.NOT_APPLICABLE],
            "allowed": self.allowed if some else None,
            "p_value": self.p_value if some else None,
            "fails_below": self.risk,
            "exceeds": self.exceeds,
            "upper_bound": self.upper_bound if some else None,
            "detectable": {"rate": self.detectable, "power": POWER} if some else None,
            "alarm_seeds": [{"seed": seed, "claims": claims} for seed, claims in self.alarms],
        }


@dataclass
class EventRate:
    """An event that a claim calls usual, in the configurations that were drawn.

    **Arguments**

    - `trainer`, `claim`, `name`: which event.
    - `cases`: configuration → (happened, runs).
    """

    trainer: str
    claim: str
    name: str
    cases: dict[str, tuple[int, int]] = field(default_factory=dict)

    @property
    def happened(self) -> int:
        return sum(happened for happened, _ in self.cases.values())

    @property
    def of(self) -> int:
        return sum(of for _, of in self.cases.values())

    @property
    def rarest(self) -> float:
        """Smallest fraction of runs in any one configuration."""
        return min(happened / of for happened, of in self.cases.values())

    @property
    def lower_bound(self) -> float:
        """Of the probability, averaged over the configurations as they were drawn.

        Unequal probabilities make the number of events less dispersed, not more (Hoeffding
        1956), so the binomial bound holds for their mean.
        """
        return lower_bound(self.happened, self.of)

    @property
    def upper_bound(self) -> float:
        """See `lower_bound`."""
        return upper_bound(self.happened, self.of)

    def to_json(self) -> Json:
        """Counts and bounds, together and in each configuration."""
        return {
            "trainer": self.trainer,
            "claim": self.claim,
            "event": self.name,
            **_bounds(self.happened, self.of),
            "configurations": [
                {"case": case, **_bounds(*counts)} for case, counts in self.cases.items()
            ],
        }


def _bounds(happened: int, of: int) -> Json:
    lower, upper = lower_bound(happened, of), upper_bound(happened, of)
    usual = True if lower >= USUALLY else False if upper < USUALLY else None
    return {
        "happened": happened,
        "of": of,
        "lower_bound": lower,
        "upper_bound": upper,
        "usual": usual,
    }


class Calibration(ShownInNotebooks):
    """Counts the outcomes of a plan's units.

    **Arguments**

    - `plan`: what is calibrated. Every row has the same part of `TOTAL_RISK`, whether
      or not all of them are finished.
    """

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        names = (WHOLE_RUN,) if plan.whole else plan.claims
        risk = TOTAL_RISK / (len(plan.trainers) * len(names) * len(plan.levels))
        self._rows = {
            (trainer, name): [Row(trainer, name, level, risk) for level in plan.levels]
            for trainer in plan.trainers
            for name in names
        }
        self._events: dict[tuple[str, str, str], EventRate] = {}
        self._runs: dict[tuple[str, int], list[Tried]] = {}  # whole ones that are not finished
        #: Of all trials, one after another.
        self.seconds = 0.0
        #: (trainer, claim) → status and message of the first trial without a verdict.
        self.problems: dict[tuple[str, str], tuple[Status, str]] = {}

    def add(self, trainer: str, tried: Tried) -> None:
        """Count a claim tried from one seed; a whole run once all its claims are there."""
        self.seconds += tried.seconds
        if tried.message:
            status = Status.ERROR if Status.ERROR in tried.statuses else Status.NOT_APPLICABLE
            before = self.problems.get((trainer, tried.claim), (None, ""))[0]
            if before is None or (before, status) == (Status.NOT_APPLICABLE, Status.ERROR):
                self.problems[trainer, tried.claim] = (status, tried.message)
        for count in tried.counts:
            key = (trainer, tried.claim, count.name)
            event = self._events.setdefault(key, EventRate(*key))
            happened, of = event.cases.get(count.case, (0, 0))
            event.cases[count.case] = (happened + count.happened, of + count.of)
        if not self.plan.whole:
            self._count(trainer, tried.claim, [tried])
            return
        run = self._runs.setdefault((trainer, tried.seed), [])
        run.append(tried)
        if len(run) == len(self.plan.claims):
            self._count(trainer, WHOLE_RUN, self._runs.pop((trainer, tried.seed)))

    def _count(self, trainer: str, name: str, run: Sequence[Tried]) -> None:
        for k, row in enumerate(self._rows[trainer, name]):
            found = {tried.claim: tried.statuses[k] for tried in run}
            status = next(status for status in _PRECEDENCE if status in found.values())
            row.statuses[status] += 1
            if status is Status.FAILED:
                failed = tuple(claim for claim, s in found.items() if s is Status.FAILED)
                row.alarms.append((run[0].seed, failed))

    @property
    def rows(self) -> list[Row]:
        """For every trainer, claim and level, or every trainer and level."""
        return [row for rows in self._rows.values() for row in rows]

    @property
    def events(self) -> list[EventRate]:
        """In the order of the plan."""
        trainers, claims = self.plan.trainers, self.plan.claims
        return sorted(
            self._events.values(),
            key=lambda event: (trainers.index(event.trainer), claims.index(event.claim)),
        )

    @property
    def exit_code(self) -> int:
        """1 if a level is exceeded or a claim could not be tried; 3 if no row has seeds enough
        to exceed its level, whatever the alarms."""
        errors = any(status is Status.ERROR for status, _ in self.problems.values())
        if errors or any(row.exceeds for row in self.rows):
            return FAILED
        shown = any(row.seeds and row.detectable is not None for row in self.rows)
        return VERIFIED if shown else NOTHING_VERIFIED

    def to_json(self) -> Json:
        """Everything, in strict JSON's terms."""
        return {
            "levels": self.plan.levels,
            "seeds": {"first": self.plan.seeds.start, "count": len(self.plan.seeds)},
            "whole": self.plan.whole,
            "total_risk": TOTAL_RISK,
            "exceeded": sum(row.exceeds for row in self.rows),
            "rows": [row.to_json() for row in self.rows],
            "events": [event.to_json() for event in self.events],
            "problems": [
                {"trainer": trainer, "claim": claim, "status": status, "message": message}
                for (trainer, claim), (status, message) in self.problems.items()
            ],
        }
