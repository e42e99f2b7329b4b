"""The trial of one claim against one trainer."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, overload

import hypothesis

from mimverify.support.arrays import NumpyArray
from mimverify.support.errors import TrainerError
from mimverify.support.validation import choice
from mimverify.trial.claims.claim import Claim
from mimverify.trial.claims.covering import covering_blocks, extended_blocks
from mimverify.trial.claims.ledger import Ledger
from mimverify.trial.decisions import (
    CountedOperations,
    Decision,
    DecisionEvidence,
    ExactDecision,
    ExactState,
    LimitOrder,
    MemoryUse,
    Rounding,
    StatisticalDecision,
)
from mimverify.trial.decisions.counted_operations import CountedOperationsState
from mimverify.trial.decisions.declared import DeclaredDecisions, UndeclaredDecisionError
from mimverify.trial.decisions.limit_order import LimitOrderState
from mimverify.trial.decisions.loop import DecidingLoop, Observations
from mimverify.trial.decisions.memory_use import MemoryUseState
from mimverify.trial.decisions.rounding import RoundingState
from mimverify.trial.diagnosis.seen import seen
from mimverify.trial.outcomes import (
    ClaimError,
    ClaimFailed,
    Inconclusive,
    NotApplicable,
    Status,
)
from mimverify.trial.profile import Profile
from mimverify.trial.running.evidence import Evidence
from mimverify.trial.running.out_of_time import Progress, out_of_time
from mimverify.trial.running.tried import Tried
from mimverify.trial.trainer.adapter import (
    FIRST_LAYER_METHODS,
    Combination,
    TrainerUnderTrial,
)
from mimverify.trial.trainer.calls import RecordedTrainer, TriedCombination
from mimverify.trial.trainer.time_share import TimeShare, TimeSpent

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy
    from jaxtyping import Num

__all__ = ["Replayed", "Trial"]


@dataclass(frozen=True)
class Replayed:
    """The one example that a replay tries: `case`, and its number among the claim's examples."""

    case: object
    turn: int


class Trial:
    """The trial of one claim: its procedure is called with it, and decides through it.

    **Arguments**

    - `claim`, `trainer`: the claim, and the trainer that it is tested on.
    - `profile`, `ledger`: sample sizes and time limits; the level of each decision.
    - `seed`: the run's seed; every example's seed derives from it, the claim and the example.
    - `share`: of the profile's time, after which the claim is inconclusive; None for no limit.
    - `record`: of the calls of `trainer`, if they are recorded.
    - `replayed`: try this example instead of those that Hypothesis draws.
    - `loop`: makes the statistical decisions; by default at the ledger's level.

    `case` is the configuration under way, `turn` its number from 0 (each stratum has the numbers
    of as many as it may draw), `run_index` the number of the run under way in `decide`.
    """

    def __init__(
        self,
        claim: Claim,
        trainer: TrainerUnderTrial,
        *,
        profile: Profile,
        ledger: Ledger,
        seed: int = 0,
        share: TimeShare | None = None,
        record: RecordedTrainer | None = None,
        replayed: Replayed | None = None,
        loop: DecidingLoop | None = None,
    ) -> None:
        self.claim, self.trainer, self.profile, self.ledger = claim, trainer, profile, ledger
        self.seed, self.share = seed, share
        trainer.begin(share)
        self.record, self._replayed = record, replayed
        self.loop = loop or DecidingLoop((ledger.level,), profile)
        self.case: object = None
        self.turn = -1 if replayed is None else replayed.turn - 1
        self.run_index = -1
        self._declared = DeclaredDecisions(
            claim.id,
            claim.decisions,
            examples=None if claim.exact else profile.statistical_examples,
        )
        self._strata = self._examples_of_stratum = 1
        self._combinations: tuple[int, int, int] | None = None  # activations, losses, dtypes
        self._combined = 0.0  # the part of the configuration's combinations that was tried
        self._exact: dict[ExactDecision, ExactState] = {}
        self._finished: list[DecisionEvidence] = []  # of statistical decisions
        self._under_way = False  # whether the loop's decisions are not in `_finished` yet
        self._examples = 0
        self._trained_with: dict[str, str] = {}
        self._notes: list[dict[str, object]] = []  # of each configuration
        self._passed: dict[TriedCombination, None] = {}  # in the configuration under way, in order
        self._planned_combinations = 0  # of the configuration under way, if it has asked for them
        self._earlier: list[object] = []  # configurations that were finished

    # -- running ---------------------------------------------------------------------------

    def run(self) -> None:
        """Try the claim; returns if it passed.

        **Raises** `ClaimFailed`, `Inconclusive`, `NotApplicable`, the `TrainerError` of a
        trainer that cannot be used, or the `ClaimError` of a claim that does not decide exactly
        what it declares.
        """
        if not self.claim.applies_to(self.trainer):
            raise NotApplicable(f"needs {self.claim.needed}")
        strata = self._planned()
        try:
            if self._replayed is not None:
                self._try(self._replayed.case)
            else:
                self._try_drawn(strata)
        except ClaimFailed as failure:
            if not self._has_failed():
                raise UndeclaredDecisionError(
                    f"claim {self.claim.id!r} fails by itself ({failure}): expected a failure of a "
                    "declared decision, by trial.decide or trial.on"
                ) from failure
            raise
        except TimeSpent as spent:
            raise Inconclusive(self._out_of_time()) from spent
        except TrainerError as error:
            if error.kind != "deadline" or self.share is None:
                raise
            raise TrainerError("deadline", f"{error}; {self._out_of_time()}") from error
        self.case = None
        if not self.evidence.records:  # omitted in every configuration
            reasons = "; ".join(omission.reason for omission in self._declared.omissions)
            raise Inconclusive(f"nothing was decided: {reasons or 'no configuration was tried'}")

    def _has_failed(self) -> bool:
        """Whether a declared decision has failed."""
        refuted = any(state.refuted for state in self._exact.values())
        return refuted or Status.FAILED in self.loop.ended.values()

    def _planned(self) -> list[SearchStrategy[object]]:
        """The strata, which share the profile's number of examples; each has its least number."""
        exact = self.claim.exact
        strata = self.claim.strata(self.trainer)
        if not exact and len(strata) > 1:
            raise ClaimError(
                f"claim {self.claim.id!r} has {len(strata)} strategies: expected one for a "
                "statistical claim"
            )
        self._strata = len(strata)
        self._examples_of_stratum = (
            self.profile.examples_of_stratum(len(strata))
            if exact
            else self.profile.statistical_examples
        )
        return strata

    def _try_drawn(self, strata: Sequence[SearchStrategy[object]]) -> None:
        """Configurations that Hypothesis draws, a fresh trainer for each.

        The draws depend on the claim, the run's seed and the profile alone. Exact claims draw
        from the same seeds, so that those that try one kind of case find it in the same shapes:
        a trainer that compiles for each shape does so once for all of them. The first failure
        ends the claim. It is not shrunk, since shrinking would select for unlucky seeds.
        """
        seen: list[object] = []
        failure: Exception | None = None

        def body(case: object) -> None:
            nonlocal failure
            if failure is not None:  # Hypothesis repeats a failing example: same outcome
                raise failure
            if case in seen:  # drawn from other Booleans; its seeds would be the same
                hypothesis.reject()
            if not self.claim.admits(case):  # outside the claim's assumptions
                hypothesis.reject()
            seen.append(case)
            try:
                self._try(case)
            except Exception as error:
                failure = error
                raise

        settings = hypothesis.settings(
            max_examples=self._examples_of_stratum,
            database=None,
            deadline=None,
            derandomize=False,
            phases=[hypothesis.Phase.generate],
            suppress_health_check=list(hypothesis.HealthCheck),
            report_multiple_bugs=False,
            print_blob=False,
            verbosity=hypothesis.Verbosity.quiet,
        )
        shared = () if self.claim.exact else (self.claim.id,)
        for index, stratum in enumerate(strata):
            self.turn = index * self._examples_of_stratum - 1
            seeded = hypothesis.seed(_seed(self.seed, *shared, "hypothesis", index))
            seeded(settings(hypothesis.given(stratum)(body)))()

    def _try(self, case: object) -> None:
        """Try one configuration."""
        self.case = case
        self.turn += 1
        self._combined = 0.0
        self.check_time()
        if self.record is not None:
            self.record.begin()
        self._declared.begin_example()
        self.trainer.train_by(self._method_of_example())
        self.trainer.fresh(self.seed_of(case))
        self._notes.append({})
        self._passed, self._planned_combinations = {}, 0
        self.claim.procedure(self, case)
        self._declared.end_example()
        if not self.loop.open_levels or any(state.refuted for state in self._exact.values()):
            raise ClaimError(
                f"claim {self.claim.id!r} goes on after a decision has ended it: expected "
                "ClaimFailed and Inconclusive to be let through"
            )
        self._examples, self._combined = self._examples + 1, 0.0
        self._earlier.append(case)

    def _method_of_example(self) -> str | None:
        """The method by which the first layer is trained in this example, unless combinations say.

        Of a trainer that offers both, about half of the claims call one, and the next example the
        other. An example keeps to one method, so that a trainer that compiles does so once.
        """
        methods = self._methods
        if not methods:
            return None
        return methods[(_seed(self.claim.id, "method") + self.turn) % len(methods)]

    @property
    def _methods(self) -> tuple[str, ...]:
        """The methods that the claim's calls of `step` and `trajectory` can be derived from."""
        about = self.claim.own is None and self.claim.needs != "regression"
        return self.trainer.first_layer_methods if about else ()

    def combinations(
        self,
        activations: Sequence[str],
        losses: Sequence[str],
        dtypes: Sequence[str],
        *,
        every_dtype: bool = False,
        method: str = "",
    ) -> Iterator[Combination]:
        """The combinations that the trainer supports and that this configuration tries.

        Over the strata of a claim they are a covering array of `Profile.strength`: see
        `covering_blocks`. Each round of examples has another one, and all claims the same. Of a
        trainer that offers both `step` and `trajectory`, the method is one more factor of the
        array: while a combination is under way, `trainer.step` and `trainer.trajectory` are both
        derived from its method.

        **Arguments**

        - `activations`, `losses`, `dtypes`: those that the claim is about.
        - `every_dtype`: try each of the combinations in all dtypes: where a mistake may need a
          certain dtype beside a certain activation or loss in this kind of configuration.
        - `method`: `"step"` or `"trajectory"`: try all combinations by this one, if the trainer
          offers it, in place of a factor.

        **Raises** `NotApplicable` if the trainer supports none, `InputError` for another method.
        """
        common = self.trainer.common(activations, losses, dtypes)
        self._combinations = len(common[0]), len(common[1]), len(common[2])
        turn, rounds = max(self.turn, 0), self._examples_of_stratum
        methods: tuple[str | None, ...] = self._methods or (None,)
        if method:
            wanted = choice("method", method, FIRST_LAYER_METHODS)
            methods = (wanted,) if wanted in methods else methods[:1]
        blocks = extended_blocks(
            self._combinations,
            self._strata,
            extra=len(methods),
            strength=self.profile.strength,
            seed=_seed(self.seed, "combinations", turn % rounds),
        )
        chosen = [
            ((common[0][i], common[1][j], dtype), methods[by])
            for i, j, k, by in blocks[min(turn // rounds, self._strata - 1)]
            for dtype in (common[2] if every_dtype else [common[2][k]])
        ]
        # float64 first: its envelope is the narrowest, so that the rule behind a failure shows.
        chosen.sort(key=lambda one: one[0][2] != "float64")
        return self._under_method(list(dict.fromkeys(chosen)))

    def _under_method(
        self, chosen: Sequence[tuple[Combination, str | None]]
    ) -> Iterator[Combination]:
        """The combinations one by one, each tried by its method; for `progress`."""
        self._planned_combinations = len({combination for combination, _ in chosen})
        for number, (combination, method) in enumerate(chosen):
            self._combined = number / len(chosen)
            self.trainer.train_by(method)
            yield combination
        self.trainer.train_by(self._method_of_example())

    def check_time(self) -> None:
        """**Raises** `TimeSpent` once the claim's share of the profile's time is spent."""
        self.trainer.check_time()

    def _out_of_time(self) -> str:
        """What was tried in the claim's share of the time, and what it needs."""
        assert self.share is not None
        if self.claim.exact:
            unit, done, bound = "configuration", self._examples + self._combined, ""
            planned = self._strata * self._examples_of_stratum
        else:
            unit, states = "run", self.loop.states.values()
            least = max((state.minimum_runs for state in states), default=1)
            most = max((state.maximum_runs for state in states), default=1)
            done = self._examples * least + max((state.runs for state in states), default=0)
            planned, bound = self._examples_of_stratum * least, "at least"
            if done >= planned:  # what happened leaves it open: the number may be the largest one
                planned, bound = self._examples_of_stratum * most, "at most"
        progress = Progress(
            min(done, planned), planned, unit, bound,
            self.share.elapsed, self.trainer.compiling, self.share.seconds,
        )  # fmt: skip
        return out_of_time(self.claim.id, self.profile, progress, self._work_in)

    def _work_in(self, profile: Profile) -> float:
        """How many times as much the claim tries in another profile, at least."""
        if not self.claim.exact:
            return profile.statistical_examples / self.profile.statistical_examples
        return self._rows_in(profile) / self._rows_in(self.profile)

    def _rows_in(self, profile: Profile) -> int:
        """Configurations of the exact claim times the combinations that each tries."""
        blocks = covering_blocks(
            self._combinations or (1, 1, 1), self._strata, strength=profile.strength
        )
        return profile.examples_of_stratum(self._strata) * sum(map(len, blocks))

    def seed_of(self, *what: object) -> int:
        """A 32-bit seed: a hash of the run's seed, the claim and `what` (a case, an index, …)."""
        return _seed(self.seed, self.claim.id, *what)

    # -- deciding --------------------------------------------------------------------------

    def decide(self, draw: Callable[[int], object], *decisions: StatisticalDecision) -> None:
        """Make statistical decisions on the same independent runs.

        **Arguments**

        - `draw`: called with a seed, after the trainer was constructed anew, until all are
          decided or their runs are spent. Returns a mapping from decisions to observations of
          their kinds, or, for a single decision, the observation.
        - `decisions`: by default all that were neither made nor omitted yet.

        **Raises** `ClaimFailed`, `Inconclusive`, and `ClaimError` for a decision that was not
        declared, is made twice, or is missing from a run's observations.
        """
        waiting = [d for d in self._declared.waiting() if isinstance(d, StatisticalDecision)]
        chosen = list(decisions) or waiting or list(self.claim.statistical)
        if not chosen:
            raise UndeclaredDecisionError(
                f"claim {self.claim.id!r} decides on random data and declares no such decision"
            )
        for decision in chosen:
            self._check_class(decision, StatisticalDecision, "trial.on(decision)")
            self._declared.make(decision)
        self._under_way = True
        self.loop.run(chosen, lambda index: self._draw(index, draw, chosen), self.case)
        self._finished += self._records_under_way()
        self._under_way = False

    def _draw(
        self, index: int, draw: Callable[[int], object], chosen: Sequence[StatisticalDecision]
    ) -> Observations:
        self.check_time()
        self.run_index = index
        seed = self.seed_of(self.case, index)
        self.trainer.fresh(seed)
        drawn = draw(seed)
        seen: Observations = drawn if isinstance(drawn, Mapping) else {chosen[0]: drawn}
        self._declared.check_observed(chosen, seen)
        self._trained_with = self._options_used()
        return seen

    @overload
    def on(self, decision: Rounding) -> RoundingState: ...
    @overload
    def on(self, decision: LimitOrder) -> LimitOrderState: ...
    @overload
    def on(self, decision: CountedOperations) -> CountedOperationsState: ...
    @overload
    def on(self, decision: MemoryUse) -> MemoryUseState: ...
    @overload
    def on(self, decision: ExactDecision) -> Any: ...  # another kind: a state with its own methods
    def on(self, decision: ExactDecision) -> ExactState:
        """The state of an exact decision, whose methods make comparisons.

        **Raises** `ClaimError` for a decision that was not declared.
        """
        self._declared.check(decision)
        self._check_class(decision, ExactDecision, "trial.decide(draw, decision)")
        state = self._exact.get(decision)
        if state is None:
            state = self._exact[decision] = decision.open()
            state.on_compared = partial(self._declared.make, decision)
            if self.record is not None:
                state.on_passed = partial(self._comparison_passed, self.record)
        state.case = self.case
        return state

    def _comparison_passed(self, record: RecordedTrainer) -> None:
        self._passed |= dict.fromkeys(call.combination for call in record.calls)
        record.mark_passed()

    def within(
        self,
        what: str,
        got: Num[NumpyArray, "*shape"],
        expected: Num[NumpyArray, "*shape"],
        bound: NumpyArray | float,
        **settings: object,
    ) -> None:
        """`RoundingState.within` of the claim's only decision on rounding.

        **Raises** `ClaimFailed`, and `ClaimError` if it has none, or several.
        """
        declared = [d for d in self.claim.decisions if isinstance(d, Rounding)]
        if len(declared) != 1:
            raise ClaimError(
                f"claim {self.claim.id!r} declares {len(declared)} bounds on rounding: expected "
                "one; name it with trial.on(decision).within(…)"
            )
        self.on(declared[0]).within(what, got, expected, bound, **settings)

    def _check_class(self, decision: object, kind: type[Decision], other: str) -> None:
        if not isinstance(decision, kind):
            name = getattr(decision, "name", decision)
            raise ClaimError(
                f"claim {self.claim.id!r}: {name!r} is no {kind.__name__}; expected {other}"
            )

    def omit(self, decision: Decision, reason: str) -> None:
        """Omit a declared decision in this configuration, for the reason that the report shows.

        **Raises** `ClaimError` for one that was not declared, or was made before.
        """
        self._declared.omit(decision, reason)

    def note(self, **facts: object) -> None:
        """Add facts about this configuration, as JSON values, to the report."""
        self._notes[-1] |= facts

    # -- evidence --------------------------------------------------------------------------

    @property
    def evidence(self) -> Evidence:
        """The evidence so far."""
        exact = [state.evidence() for state in self._exact.values()]
        return Evidence(
            records=(
                *(record for record in exact if record is not None),
                *self._finished,
                *(self._records_under_way() if self._under_way else ()),
            ),
            examples=self._examples,
            ledger=None if self.claim.exact else self.ledger,
            omitted=self._declared.omissions,
            seen=tuple(seen(*cause) for state in self._exact.values() for cause in state.seen),
            trained_with=dict(self._trained_with),
            notes=tuple(dict(note) for note in self._notes if note),
        )

    @property
    def tried(self) -> Tried | None:
        """The configuration and the call under way; None before and after all configurations."""
        if self.case is None:
            return None
        return Tried.of(
            self.case,
            None if self.record is None else self.record.latest,
            passed=self._passed,
            planned=self._planned_combinations,
            earlier=self._earlier,
        )

    def _records_under_way(self) -> list[DecisionEvidence]:
        text = repr(self.case)
        return [state.evidence(text) for state in self.loop.states.values() if state.runs]

    def _options_used(self) -> dict[str, str]:
        """Activation and loss of the last call that had any."""
        calls = [] if self.record is None else self.record.calls
        options = next((call.options for call in reversed(calls) if "loss" in call.options), {})
        return {key: str(options[key]) for key in ("activation", "loss") if key in options}


def _seed(*what: object) -> int:
    """A hash of `what`, 32 bits."""
    text = repr(what)
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=4).digest(), "big")
