"""One claim on trial against one trainer."""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import hypothesis
import numpy as np
from hypothesis.strategies import SearchStrategy
from numpy.typing import NDArray

from mimverify.statistics import SequentialBinomial
from mimverify.trial.adapter import TrainerUnderTrial
from mimverify.trial.calls import RecordedTrainer
from mimverify.trial.claim import CAPABILITIES, Claim
from mimverify.trial.ledger import Ledger
from mimverify.trial.profile import Profile
from mimverify.trial.verdict import ClaimFailed, Inconclusive, NotApplicable

__all__ = ["Replayed", "Trial", "settings_text"]

Case = TypeVar("Case")

#: An event that should happen "nearly always" and one that happens "at most half the time":
#: the two hypotheses of the binomial decisions. The claims choose events whose probability,
#: for a correct trainer, is far above `USUALLY` (tests/test_calibration.py measures it).
HALF, USUALLY = 0.5, 0.9
#: With this probability a verdict's smallest detectable deviation would have been caught.
POWER = 0.95


@dataclass(frozen=True)
class Replayed:
    """The one example that a replay tries: the `index`-th `for_each` of the claim, with `case`.

    `turn` is the example's number among all of the claim's, as in `Trial.turn`.
    """

    index: int
    case: Any
    turn: int


class Trial:
    """What a claim's procedure works with.

    **Arguments**

    - `claim`, `trainer`, `profile`, `ledger`: who, what, how thoroughly, at which risk.
    - `seed`: the run's seed; every example's seed derives from it, the claim and the example.
    - `deadline`: `time.monotonic()` after which the rest is inconclusive, or None.
    - `record`: of the calls of `trainer`, where they are recorded.
    - `replayed`: try this example instead of those that Hypothesis draws.

    `statistic` and `evidence` collect what the verdict reports.
    """

    def __init__(
        self,
        claim: Claim,
        trainer: TrainerUnderTrial,
        *,
        profile: Profile,
        ledger: Ledger,
        seed: int = 0,
        deadline: float | None = None,
        record: RecordedTrainer | None = None,
        replayed: Replayed | None = None,
    ) -> None:
        self.claim, self.trainer, self.profile, self.ledger = claim, trainer, profile, ledger
        self.seed, self.deadline = seed, deadline
        self.record, self._replayed = record, replayed
        self.statistic: float | None = None
        self.evidence: dict[str, Any] = {}
        self.case: Any = None
        #: Number of the claim's `for_each` that is under way or was last.
        self.example = -1
        #: Number of the example that is under way or was last, over all `for_each`, from 0.
        self.turn = -1 if replayed is None else replayed.turn - 1

    # -- running ---------------------------------------------------------------------------

    def run(self) -> None:
        """Try the claim. Returns if it passed.

        **Raises** `ClaimFailed`, `Inconclusive`, `NotApplicable`, or the `TrainerError` of a
        trainer that cannot be used.
        """
        if self.claim.needs not in self.trainer.capabilities:
            raise NotApplicable(f"needs {CAPABILITIES[self.claim.needs]}")
        if not self.claim.exact:
            self.evidence["false_alarm_share"] = self.ledger.share
            self.evidence["false_alarm_budget"] = self.ledger.budget
        self.claim.procedure(self)

    def for_each(
        self,
        cases: SearchStrategy[Case] | Sequence[SearchStrategy[Case]],
        check: Callable[[Case], None],
    ) -> None:
        """Call `check` with configurations that Hypothesis draws, a fresh trainer for each.

        Several strategies are strata: the profile's number of examples is shared among them,
        and each has at least one. The draws depend on the claim, the run's seed and the
        profile alone. The first failure ends the claim; it is not shrunk, so that seeds cannot
        be hunted for.
        """
        self.example += 1
        if self._replayed is not None:
            if self._replayed.index == self.example:
                self._try(self._replayed.case, check)
                self.evidence["examples"] = 1
            return
        exact = self.claim.exact
        examples = self.profile.exact_examples if exact else self.profile.statistical_examples
        strata = [cases] if isinstance(cases, SearchStrategy) else list(cases)
        seen: list[Case] = []
        failure: Exception | None = None

        def body(case: Case) -> None:
            nonlocal failure
            if failure is not None:  # Hypothesis repeats a failing example; we know the outcome
                raise failure
            if case in seen:  # other Booleans, the same configuration, hence the same seeds
                hypothesis.reject()
            if not self.claim.admits(case):  # outside the claim's assumptions
                hypothesis.reject()
            seen.append(case)
            try:
                self._try(case, check)
            except Exception as error:
                failure = error
                raise
            self.evidence["examples"] = len(seen)

        settings = hypothesis.settings(
            max_examples=math.ceil(examples / len(strata)),
            database=None,
            deadline=None,
            derandomize=False,
            phases=[hypothesis.Phase.generate],
            suppress_health_check=list(hypothesis.HealthCheck),
            report_multiple_bugs=False,
            print_blob=False,
            verbosity=hypothesis.Verbosity.quiet,
        )
        for index, stratum in enumerate(strata):
            seeded = hypothesis.seed(self.seed_of("hypothesis", index))
            seeded(settings(hypothesis.given(stratum)(body)))()
        self.case = None

    def _try(self, case: Case, check: Callable[[Case], None]) -> None:
        self.case = case
        self.turn += 1
        self.check_time()
        if self.record is not None:
            self.record.begin()
        self.trainer.fresh(self.seed_of(case))
        check(case)

    def combinations(
        self, activations: Sequence[str], losses: Sequence[str], dtypes: Sequence[str]
    ) -> list[tuple[str, str, str]]:
        """Combinations that the trainer has: in each example one in `Profile.rotation`.

        **Raises** `NotApplicable` where it has none.
        """
        supported = list(self.trainer.supported(activations, losses, dtypes))
        every = min(self.profile.rotation, len(supported))
        return supported[self.turn % every :: every]

    def check_time(self) -> None:
        """**Raises** `Inconclusive` once the claim's share of the profile's time is spent."""
        if self.deadline is not None and time.monotonic() > self.deadline:
            raise Inconclusive("its share of the profile's time was spent before a decision")

    def seed_of(self, *what: Any) -> int:
        """A 32-bit seed from the run's seed, the claim and `what` (a case, an index, …)."""
        text = repr((self.seed, self.claim.id, *what))
        return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=4).digest(), "big")

    # -- deciding --------------------------------------------------------------------------

    def fail(self, message: str) -> None:
        """The trainer contradicts the claim."""
        raise ClaimFailed(message)

    def within(
        self,
        what: str,
        got: NDArray[Any],
        expected: NDArray[Any],
        bound: NDArray[Any] | float,
        **context: Any,
    ) -> None:
        """Exact decision: |got − expected| ≤ bound, entry by entry.

        The verdict's statistic is the largest error as a fraction of its bound. **Raises**
        `ClaimFailed` naming the worst entry; its index stands where `what` has `{}`, or
        behind it.
        """
        error = np.abs(np.asarray(got, dtype=np.float64) - expected)
        ratio = error / np.maximum(bound, np.finfo(np.float64).tiny)
        worst = float(np.max(ratio)) if np.size(ratio) else 0.0
        self.statistic = worst if self.statistic is None else max(self.statistic, worst)
        comparisons = self.evidence.get("comparisons", 0) + 1
        self.evidence |= {
            "statistic": "largest error as a fraction of the rounding envelope",
            "comparisons": comparisons,
            "threshold": 1.0,
            "margin": 1.0 - self.statistic,
            "summary": f"{self.statistic:.2g} of rounding bound, {comparisons} ×",
        }
        if worst <= 1:
            if self.record is not None:
                self.record.settle()
            return
        index = np.unravel_index(int(np.argmax(ratio)), np.shape(ratio))
        place = ", ".join(str(int(k)) for k in index)
        where = what.replace("{}", place) if "{}" in what else f"{what}[{place}]" if place else what
        self.evidence["first_divergence"] = {"tensor": what, "index": [int(k) for k in index]}
        self.evidence["configuration"] = {**context, "case": repr(self.case)}
        allowed = float(np.broadcast_to(bound, np.shape(ratio))[index])
        self.fail(
            f"{where}: off by {float(error[index]):.3g} where rounding allows {allowed:.3g} "
            f"({settings_text(context)}){_precision_hint(worst, context.get('dtype'))}"
        )

    def rejects(self, p_value: float) -> bool:
        """Statistical decision: whether a test with this p-value fails at the ledger's share."""
        return p_value <= self.ledger.share

    def decide(self, what: str, event: Callable[[int], bool]) -> None:
        """Statistical decision: `event(seed)` happens for nearly all independent seeds.

        A sequential test between P ≥ 0.9 (claimed) and P ≤ 0.5. A trainer for which
        P ≥ 0.9 fails with probability at most the ledger's share; one for which P ≤ 0.5
        passes with probability at most the profile's `false_pass`.

        **Raises** `ClaimFailed`, or `Inconclusive` after the profile's number of trials.
        """
        self.decide_all({what: True}, lambda seed: {what: event(seed)})

    def decide_all(
        self, events: dict[str, Any], outcomes: Callable[[int], dict[str, bool]]
    ) -> None:
        """Several decisions as in `decide` on the same runs; each key of `events` names one.

        All must be decided; the first that fails ends the claim.
        """
        tests = self._tests(events, self.ledger.share)
        case = self.case
        for index in range(self.profile.trials):
            self.check_time()
            seed = self.seed_of(case, index)
            self.trainer.fresh(seed)
            happened = outcomes(seed)
            for name, test in tests.items():
                test.observe(happened[name])
            self._tell(tests, case)
            for name, test in tests.items():
                if test.decision == "low":
                    self.fail(
                        f"{name}: happened in {test.successes} of {test.trials} runs "
                        f"(at most {test.alpha:.1g} false alarms; {case})"
                    )
            if all(test.decision == "high" for test in tests.values()):
                return
        open_ones = [name for name, test in tests.items() if test.decision is None]
        raise Inconclusive(f"{self.profile.trials} runs did not decide: {'; '.join(open_ones)}")

    def _tests(self, events: Iterable[str], share: float) -> dict[str, SequentialBinomial]:
        """The decision on each event, at this share of the budget."""
        beta = self.profile.false_pass
        return {name: SequentialBinomial(HALF, USUALLY, alpha=share, beta=beta) for name in events}

    def _trained_with(self) -> dict[str, Any]:
        """Activation and loss of the last call that had any: the trainer may lack the case's."""
        calls = [] if self.record is None else self.record.calls
        options = next((call.options for call in reversed(calls) if "loss" in call.options), {})
        return {key: options[key] for key in ("activation", "loss") if key in options}

    def _tell(self, tests: dict[str, SequentialBinomial], case: Any) -> None:
        rarest = min(tests.values(), key=lambda test: test.successes / test.trials)
        self.statistic = rarest.successes / rarest.trials
        limit = rarest.fails_at(rarest.trials)
        self.evidence |= {
            "statistic": "smallest fraction of runs in which the claimed event happened",
            "case": repr(case),
            "runs": max(test.trials for test in tests.values()),
            "threshold": None if limit is None else limit / rarest.trials,
            "summary": f"{rarest.successes} of {rarest.trials} runs",
            "events": {name: _event(test) for name, test in tests.items()},
            "trained_with": self._trained_with(),
            **self._power(rarest),
        }

    def _power(self, test: SequentialBinomial) -> dict[str, Any]:
        """What this decision would have caught, and with what probability."""
        caught = test.detectable(power=POWER, trials=self.profile.trials)
        text = f"an event of probability ≤ {HALF} passes with probability ≤ {test.beta:g}"
        if caught is not None:
            text += (
                f", and one of probability ≤ {caught:.2f} fails with probability ≥ {POWER} "
                f"within {self.profile.trials} runs"
            )
        return {
            "caught": text,
            "detectable": {
                "what": "probability of the event",
                "symbol": "P",
                "sign": "≤",
                "value": caught,
                "power": POWER,
            },
            "false_pass": {"probability": HALF, "risk": test.beta},
        }


def _event(test: SequentialBinomial) -> dict[str, Any]:
    return {
        "happened": test.successes,
        "of": test.trials,
        "fails_at": test.fails_at(test.trials),
        "log_likelihood_ratio": test.log_ratio,
        "decision": test.decision,
    }


def settings_text(settings: Mapping[str, Any]) -> str:
    """`name=value, …` with numbers at a readable length."""
    return ", ".join(
        f"{name}={value:.6g}" if isinstance(value, float) else f"{name}={value}"
        for name, value in settings.items()
    )


def _precision_hint(worst: float, dtype: str | None) -> str:
    """Advice where a float64 comparison fails by no more than float32 arithmetic would."""
    if dtype == "float64" and worst < np.finfo(np.float32).eps / np.finfo(np.float64).eps:
        return "; float32 arithmetic would explain it: then declare dtypes = ('float32',)"
    return ""
