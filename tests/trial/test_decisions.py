"""Decisions are counted: a claim decides what it declares, for which the budget is divided."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mimverify import numpy_trainer
from mimverify.support.arrays import ArrayLike
from mimverify.support.errors import InputError
from mimverify.trial import (
    PROFILES,
    Claim,
    ClaimError,
    ClaimFailed,
    CountedOperations,
    Decision,
    DecisionEvidence,
    Event,
    Evidence,
    Inconclusive,
    InProcessTrainer,
    Law,
    Ledger,
    LimitOrder,
    Mean,
    MissingDecisionError,
    Profile,
    RepeatedDecisionError,
    Rounding,
    Session,
    Shown,
    Status,
    TrainerUnderTrial,
    Trial,
    TwoSamples,
    UnbudgetedExampleError,
    UndeclaredDecisionError,
    above,
    below,
    between,
    choices,
    claim,
    deviation_of_odds,
    load_claims,
    near,
    squared_deviation,
)
from mimverify.trial.claims.claim import Cases, Procedure
from mimverify.trial.decisions import Observed, StatisticalDecision, risk_text
from mimverify.trial.decisions.loop import DecidingLoop
from mimverify.trial.running.session import try_claim
from p_values import PValue

QUICK = PROFILES["quick"]
STATISTICAL = [name for name, one in load_claims().items() if not one.exact]
HAPPENS = Event("it happens")


@pytest.fixture(scope="module")
def trainer() -> TrainerUnderTrial:
    return TrainerUnderTrial(InProcessTrainer(numpy_trainer))


def trial_of(record: Claim, trainer: TrainerUnderTrial, profile: Profile = QUICK) -> Trial:
    return Trial(record, trainer, profile=profile, ledger=Ledger(1e-3, 1e-3))


def stub(procedure: Procedure, *decisions: Decision, cases: Cases | None = None) -> Claim:
    return claim(
        id="stub", statement="s", source="here", measures="m", needs="first layer",
        decisions=decisions, cases=choices(range(8)) if cases is None else cases,
    )(procedure)  # fmt: skip


def seen(decision: Decision, trial: Trial) -> object:
    """A valid observation for a decision of any kind in the suite."""
    if isinstance(decision, TwoSamples):
        return 0.5, 0.5
    return 0.5 if isinstance(decision, (Law, Mean)) else True


# -- every statistical claim, with one decision too many, twice, or too few ---------------------


@pytest.mark.parametrize("claim_id", STATISTICAL)
def test_a_decision_that_is_not_declared_is_refused(
    claim_id: str, trainer: TrainerUnderTrial
) -> None:
    record = load_claims()[claim_id]
    extra = Event("one more")

    def asks_more(trial: Trial, case: object) -> None:
        trial.decide(lambda seed: True, extra)

    def sees_more(trial: Trial, case: object) -> None:
        trial.decide(lambda seed: {d: seen(d, trial) for d in (*record.statistical, extra)})

    for procedure in (asks_more, sees_more):
        trial = trial_of(replace(record, procedure=procedure), trainer)
        with pytest.raises(UndeclaredDecisionError, match=f"{claim_id}.*'one more'"):
            trial.run()


@pytest.mark.parametrize("claim_id", STATISTICAL)
def test_a_decision_that_is_made_twice_is_refused(
    claim_id: str, trainer: TrainerUnderTrial
) -> None:
    record = load_claims()[claim_id]

    def before_the_claim_itself(trial: Trial, case: object) -> None:
        trial.decide(lambda seed: {d: seen(d, trial) for d in record.statistical})
        record.procedure(trial, case)

    profile = replace(QUICK, null_samples=4)
    tried = replace(record, procedure=before_the_claim_itself)
    with pytest.raises(RepeatedDecisionError, match=f"{claim_id}.*twice"):
        trial_of(tried, trainer, profile=profile).run()


@pytest.mark.parametrize("claim_id", STATISTICAL)
def test_a_decision_that_is_left_out_is_refused(claim_id: str, trainer: TrainerUnderTrial) -> None:
    record = load_claims()[claim_id]
    *some, last = record.statistical

    def all_but_the_last(trial: Trial, case: object) -> None:
        if some:
            trial.decide(lambda seed: {d: seen(d, trial) for d in some}, *some)

    profile = replace(QUICK, null_samples=4)
    tried = replace(record, procedure=all_but_the_last)
    with pytest.raises(MissingDecisionError, match="undecided"):
        trial_of(tried, trainer, profile=profile).run()

    def silent_about_it(trial: Trial, case: object) -> None:
        trial.decide(lambda seed: {d: seen(d, trial) for d in some})

    with pytest.raises(MissingDecisionError, match="a run says nothing"):
        trial_of(replace(record, procedure=silent_about_it), trainer, profile=profile).run()
    assert last in record.statistical


@pytest.mark.parametrize("claim_id", [name for name, one in load_claims().items() if one.exact])
def test_exact_claims_decide_what_they_declare(claim_id: str, trainer: TrainerUnderTrial) -> None:
    record = load_claims()[claim_id]
    nothing = replace(record, procedure=lambda trial, case: None)
    with pytest.raises(MissingDecisionError):
        trial_of(nothing, trainer).run()

    def other(trial: Trial, case: object) -> None:
        trial.on(Rounding("another")).within("W", np.zeros(1), np.zeros(1), 1.0)

    with pytest.raises(UndeclaredDecisionError, match="another"):
        trial_of(replace(record, procedure=other), trainer).run()


def test_more_configurations_than_were_budgeted_are_refused(
    trainer: TrainerUnderTrial,
) -> None:
    tried = trial_of(stub(lambda t, case: t.decide(lambda seed: True), HAPPENS), trainer)
    tried._try(0)
    with pytest.raises(UnbudgetedExampleError, match="counted for 1"):
        tried._try(1)


def test_a_failure_of_no_declared_decision_is_the_claims_fault(trainer: TrainerUnderTrial) -> None:
    def by_itself(trial: Trial, case: object) -> None:
        raise ClaimFailed("by a test of its own")

    verdict = try_claim(trial_of(stub(by_itself, HAPPENS), trainer))
    assert verdict.status is Status.ERROR
    assert "the claim itself is at fault" in verdict.message
    assert "by a test of its own" in verdict.message


def test_a_statistical_claim_has_one_strategy(trainer: TrainerUnderTrial) -> None:
    several = (choices((1,)), choices((2,)))
    with pytest.raises(InputError, match="one strategy"):
        stub(lambda t, case: None, HAPPENS, cases=several)
    late = stub(lambda t, case: None, HAPPENS, cases=lambda trainer: several)
    with pytest.raises(ClaimError, match="one for a statistical claim"):
        trial_of(late, trainer).run()


@pytest.mark.parametrize("decisions", [(), (Event("a"), Event("a")), (Event("a"), Rounding("a"))])
def test_decisions_are_distinguished_by_name(decisions: tuple[Decision, ...]) -> None:
    with pytest.raises(InputError, match="name of its own"):
        stub(lambda t, case: None, *decisions)


# -- omissions ----------------------------------------------------------------------------------


@pytest.mark.parametrize("observation", [None, 0.001, np.nan, "no", 1, {}])
def test_an_invalid_observation_is_the_claims_fault(
    observation: object, trainer: TrainerUnderTrial
) -> None:
    for decision in (HAPPENS, Law("law")):
        if isinstance(decision, Law) and observation == 0.001:
            continue

        def observes(trial: Trial, case: object, decision: StatisticalDecision = decision) -> None:
            trial.decide(lambda seed: {decision: observation})

        tried = stub(observes, decision)
        with pytest.raises(ClaimError, match="a run was observed as"):
            trial_of(tried, trainer).run()


def test_a_failure_cannot_be_swallowed(trainer: TrainerUnderTrial) -> None:
    def swallows(trial: Trial, case: object) -> None:
        with contextlib.suppress(ClaimFailed):
            trial.decide(lambda seed: False)

    def swallows_rounding(trial: Trial, case: object) -> None:
        with contextlib.suppress(ClaimFailed):
            trial.within("W", np.ones(1), np.zeros(1), 0.0)

    def swallows_exhaustion(trial: Trial, case: object) -> None:
        flips = iter(range(1000))
        with contextlib.suppress(Inconclusive):
            trial.decide(lambda seed: next(flips) % 4 != 0)

    for procedure, decision in [
        (swallows, HAPPENS),
        (swallows_rounding, Rounding("exact")),
        (swallows_exhaustion, HAPPENS),
    ]:
        with pytest.raises(ClaimError, match="goes on after a decision"):
            trial_of(stub(procedure, decision), trainer).run()


def test_each_class_of_decision_has_its_own_method(trainer: TrainerUnderTrial) -> None:
    exact = Rounding("exact")

    def decides_exact(trial: Trial, case: object) -> None:
        trial.decide(lambda seed: True, exact)  # type: ignore[arg-type]

    def decides_nothing_declared(trial: Trial, case: object) -> None:
        trial.decide(lambda seed: True)

    def looks_without_comparing(trial: Trial, case: object) -> None:
        trial.on(exact)

    for procedure, match in [
        (decides_exact, "no StatisticalDecision"),
        (decides_nothing_declared, "declares no such decision"),
        (looks_without_comparing, "leaves 'exact' undecided"),
    ]:
        with pytest.raises(ClaimError, match=match):
            trial_of(stub(procedure, exact), trainer).run()

    def compares_event(trial: Trial, case: object) -> None:
        trial.on(HAPPENS)  # type: ignore[call-overload]

    with pytest.raises(ClaimError, match="no ExactDecision"):
        trial_of(stub(compares_event, HAPPENS), trainer).run()


def test_several_configurations_are_distinguished(trainer: TrainerUnderTrial) -> None:
    def noted(trial: Trial, case: int) -> None:
        trial.note(case=case)
        trial.decide(lambda seed: above(case, -1))

    profile = replace(QUICK, statistical_examples=3)
    evidence = try_claim(trial_of(stub(noted, HAPPENS), trainer, profile=profile)).evidence
    assert len(evidence.records) == evidence.examples == 3
    assert len({record.case for record in evidence.records}) == 3
    assert len(evidence.notes) == 3
    names = [name for name, _ in evidence.junit()]
    assert len(set(names)) == len(names)
    assert {"it happens.0.value", "it happens.2.value", "notes.1.case"} <= set(names)


def test_a_further_condition_is_named_where_it_does_not_hold(trainer: TrainerUnderTrial) -> None:
    event = Event("both", quantity="the first number")

    def first_alone(trial: Trial, case: object) -> None:
        trial.decide(lambda seed: above(1, 0).and_also(False, "the second below 3"))

    failed = try_claim(trial_of(stub(first_alone, event), trainer))
    assert "the first number 1 (>0); not the second below 3 in" in failed.message
    assert "not the second below 3" in failed.evidence.summary


def test_an_omission_is_no_decision_and_is_reported(trainer: TrainerUnderTrial) -> None:
    other = Event("the other")

    def one_of_two(trial: Trial, case: object) -> None:
        trial.omit(other, "nothing to see here")
        trial.decide(lambda seed: True)

    verdict = try_claim(trial_of(stub(one_of_two, HAPPENS, other), trainer))
    assert verdict.status is Status.PASSED
    assert verdict.to_json()["evidence"]["omitted"] == [
        {"decision": "the other", "reason": "nothing to see here", "times": 1}
    ]
    assert "the other: omitted" in verdict.evidence.summary
    assert Evidence.from_json(verdict.evidence.to_json()) == verdict.evidence


def test_an_omitted_decision_is_not_made_after_all(trainer: TrainerUnderTrial) -> None:
    def both(trial: Trial, case: object) -> None:
        trial.omit(HAPPENS, "no")
        trial.decide(lambda seed: True, HAPPENS)

    def the_other_way_round(trial: Trial, case: object) -> None:
        trial.decide(lambda seed: True)
        trial.omit(HAPPENS, "no")

    for procedure in (both, the_other_way_round):
        with pytest.raises(RepeatedDecisionError):
            trial_of(stub(procedure, HAPPENS), trainer).run()


def test_a_claim_that_omits_all_it_decides_passes_nothing(trainer: TrainerUnderTrial) -> None:
    for decision in (HAPPENS, Rounding("exact")):

        def omits(trial: Trial, case: object, decision: Decision = decision) -> None:
            trial.omit(decision, "no")

        verdict = try_claim(trial_of(stub(omits, decision), trainer))
        assert verdict.status is Status.INCONCLUSIVE
        assert "no" in verdict.message


# -- one loop -----------------------------------------------------------------------------------


@pytest.mark.parametrize("probability", [0.3, 0.7, 0.85, 0.97])
def test_one_level_decides_alone_as_among_others(probability: float) -> None:
    levels = (0.3, 0.05, 1e-4)
    profile = replace(QUICK, maximum_runs=40, null_samples=30, false_pass=0.05)
    decisions: list[StatisticalDecision] = [
        Event("a"),
        Event("b"),
        Law("law"),
        PValue("p"),
        TwoSamples("pairs"),
        Mean("mean", at_least=0.5, gap=0.3),
    ]

    def drawn(index: int) -> Mapping[StatisticalDecision, object]:
        rng = np.random.default_rng([int(100 * probability), index])
        a, b, u, x, y = rng.random(5)
        observations = (a < probability, b < 0.95, u**probability, u, (x, y * probability), x**0.5)
        return dict(zip(decisions, observations, strict=True))

    def decided(levels: tuple[float, ...], counted: int) -> dict[float, Status | None]:
        loop = DecidingLoop(levels, profile, counted=counted)
        for case in range(2):  # a level that ended in the first takes no part
            if loop.open_levels:
                try:
                    loop.run(decisions, lambda k, case=case: drawn(100 * case + k), case)  # type: ignore[misc]
                except Exception:
                    break
        return {level: loop.ended.get(k) for k, level in enumerate(levels)}

    together = decided(levels, counted=60)
    assert together == {
        level: result for one in levels for level, result in decided((one,), counted=0).items()
    }


# -- kinds --------------------------------------------------------------------------------------


def states() -> list[DecisionEvidence]:
    """One record of each kind, after a few observations."""
    rng = np.random.default_rng(1)
    found: list[DecisionEvidence | None] = []
    observed: list[tuple[StatisticalDecision, list[object]]] = [
        (Event("event", quantity="x"), [above(1, 0), below(0, 1), between(1, 0, 2), near(1, 2, 3)]),
        (Event("bare"), [True, False]),
        (Law("law"), list(rng.random(4))),
        (Mean("mean", at_most=1.5, gap=1, low=-1, high=3), list(rng.random(4, dtype=np.float32))),
        (
            Mean("shown", at_least=0.2, gap=0.1, quantity="alignment", number="cosine"),
            [Shown(0.3, 0.6, 0.7), Shown(0.4, 0.6, 0.7)],
        ),
        (TwoSamples("pairs", statistics=2, names=("a", "b")), list(rng.random((4, 2, 2)))),
    ]
    for decision, observations in observed:
        state = decision.open(1e-3, replace(QUICK, null_samples=4))
        for observation in observations:
            state.observe(observation)
        found.append(state.evidence("case"))
    rounding, order = Rounding("rounding").open(), LimitOrder("order").open()
    counts = CountedOperations("counts").open()
    rounding.within("W", np.ones((2, 3)), np.zeros((2, 3)), 2.0, dtype="float64")
    order.slope("gap", [0.01, 0.0025], [0.5, 0.25], 2)
    counts.grows("multiply_adds", (10, 40), "d", 2)
    counts.report(passes=2.0)
    found += [rounding.evidence(), order.evidence(), counts.evidence()]
    return [record for record in found if record is not None]


@pytest.mark.parametrize("record", states(), ids=lambda record: record.decision)
def test_records_survive_json_and_say_what_was_measured(record: DecisionEvidence) -> None:
    text = json.dumps(record.to_json(), allow_nan=False)
    assert DecisionEvidence.from_json(json.loads(text)) == record
    assert record.summary
    assert record.statistic is not None
    assert record.fraction_used is not None
    assert not record.failed
    assert bool(record.details) == bool(record.legend)
    assert all(name.startswith("x.") for name, _ in record.junit("x"))


def test_a_record_of_an_unknown_kind_is_kept_as_it_is() -> None:
    text = {"kind": "of another package", "decision": "d", "case": "c", "summary": "s", "more": 1}
    record = DecisionEvidence.from_json(text)
    assert record.to_json() == text
    assert record.summary == "s"
    assert not record.failed
    assert DecisionEvidence.from_json(text | {"failed": True}).failed


def test_two_kinds_do_not_share_a_name() -> None:
    with pytest.raises(InputError, match="LawEvidence already"):

        class Mine(DecisionEvidence):
            kind = "law"


@pytest.mark.parametrize("error", [np.inf, np.nan, np.float32(3.5)])
def test_infinite_errors_are_failures_in_every_process(error: float) -> None:
    """A bound of 0 makes any ratio infinite, and JSON has no infinity."""
    rounding, order = Rounding("rounding").open(), LimitOrder("order").open()
    with pytest.raises(ClaimFailed):
        rounding.within("W", np.full(2, error), np.zeros(2), 0.0, rate=error, sizes=(1, 2))
    with pytest.raises(ClaimFailed):
        order.slope("gap", [error, 1e-3], [0.5, 0.25], 40)
    for record in (rounding.evidence(), order.evidence()):
        assert record is not None
        back = DecisionEvidence.from_json(json.loads(json.dumps(record.to_json())))
        assert back.failed
        assert back.summary
        assert back.to_json() == record.to_json()
        evidence = Evidence(records=(back,))
        assert evidence.decisive is back
        assert evidence.summary


def test_counts_that_are_too_small_are_on_record() -> None:
    counts = CountedOperations("counts").open()
    counts.case = "first"
    counts.grows("passes", (1, 1), "d", 0)
    counts.report(passes=1.0)
    counts.case = "second"
    with pytest.raises(ClaimFailed, match="expected 8 or more"):
        counts.at_least("passes", 0, 8, "8 steps")
    record = counts.evidence()
    assert record is not None
    assert record.failed
    assert record.case == "'second'"
    assert record.summary == "passes 0, needed 8"


@pytest.mark.parametrize(
    ("probability", "text"),
    [(1e-6, "1e-06"), (2.94e-8, "3e-08"), (2.45e-9, "3e-09"), (2.0001e-9, "3e-09"), (0.05, "0.05")],
)
def test_risks_are_rounded_up(probability: float, text: str) -> None:
    assert risk_text(probability) == text
    assert float(text) >= probability


@pytest.mark.parametrize(
    ("observed", "happened"),
    [
        (above(np.nan, 0), False),
        (below(np.nan, 0), False),
        (between(np.nan, 0, 1), False),
        (near(np.nan, 0, 1), False),
        (between(0, 0, 1), False),
        (near(1, 0, 1), True),
        (above(1, 0).and_also(False, "so"), False),
        (above(1, 0).and_also(np.True_, "so"), True),
    ],
)
def test_events_of_numbers(observed: Observed, happened: bool) -> None:
    assert observed.happened is happened


def test_two_laws_are_distinguished_and_one_law_is_not(trainer: TrainerUnderTrial) -> None:
    pairs = TwoSamples("the trainer's numbers", names=("alignment",))

    def differs(trial: Trial, case: object) -> None:
        def pair(seed: int) -> tuple[ArrayLike, ArrayLike]:
            x, y = np.random.default_rng(seed).random(2)
            return x * shrunk, y

        trial.decide(pair)

    profile = replace(QUICK, maximum_runs=150)
    shrunk = 1.0
    passed = try_claim(trial_of(stub(differs, pairs), trainer, profile=profile))
    assert passed.status is Status.PASSED
    shrunk = 0.5
    failed = try_claim(trial_of(stub(differs, pairs), trainer, profile=profile))
    assert failed.status is Status.FAILED
    assert "location of alignment" in failed.message or "spread of alignment" in failed.message


# -- means --------------------------------------------------------------------------------------


def mean_of(decision: Mean, number: float, trainer: TrainerUnderTrial) -> Status:
    """What becomes of a claim whose every run is observed as this number."""

    def observed(trial: Trial, case: object) -> None:
        trial.decide(lambda seed: number)

    return try_claim(trial_of(stub(observed, decision), trainer)).status


AT_MOST = Mean("x", at_most=0.0, gap=0.5, low=-1)
AT_LEAST = Mean("x", at_least=0.0, gap=0.5, low=-1)


@pytest.mark.parametrize(
    ("decision", "number", "status"),
    [
        (AT_MOST, -0.4, Status.PASSED),
        (AT_MOST, 0.9, Status.FAILED),
        (Mean("x", at_most=0.0, gap=0.1, low=-1), 0.05, Status.INCONCLUSIVE),
        (AT_MOST, np.nan, Status.FAILED),
        (AT_MOST, np.inf, Status.FAILED),
        (AT_MOST, -np.inf, Status.PASSED),
        (AT_LEAST, 0.4, Status.PASSED),
        (AT_LEAST, -0.9, Status.FAILED),
        (AT_LEAST, np.nan, Status.FAILED),
        (AT_LEAST, np.float32(np.inf), Status.PASSED),
    ],
)
def test_a_mean_is_kept_or_not(
    decision: Mean, number: float, status: Status, trainer: TrainerUnderTrial
) -> None:
    assert mean_of(decision, number, trainer) is status


def test_a_mean_says_what_was_measured_and_what_is_caught() -> None:
    state = Mean("test error", at_most=0.2, gap=0.3, quantity="test error").open(1e-3, QUICK)
    while not state.decided:
        state.observe(0.9)
    assert state.failed
    message = state.failure_message("case")
    assert message.startswith("test error: test error mean 0.9 (≤0.2) over ")
    assert "at most 0.001 false alarms; case" in message
    record = state.evidence("case")
    assert record.details.startswith(f"{state.runs} runs, risk 0.001, catches a mean ≥ 0.")
    assert f"{QUICK.maximum_runs} runs" in record.legend
    assert record.fraction_used is not None
    assert record.fraction_used >= 2
    mirrored = Mean("cosine", at_least=0.8, gap=0.3).open(1e-3, QUICK)
    assert "catches a mean ≤ 0." in mirrored.evidence("case").details


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"gap": 0.1}, "expected one of them"),
        ({"at_most": 0.5, "at_least": 0.5, "gap": 0.1}, "expected one of them"),
        ({"at_most": 0.5, "gap": 0.5}, "high=1.0"),
        ({"at_least": 0.5, "gap": 0.6}, "low=0.0"),
        ({"at_most": 0.5, "gap": 0.0}, "gap=0.0"),
        ({"at_most": "much", "gap": 0.1}, "at_most='much'"),
        ({"at_least": "much", "gap": 0.1}, "at_least='much'"),
        ({"at_most": 0.5, "gap": 0.1, "high": float("inf")}, "high=inf"),
    ],
)
def test_a_mean_that_cannot_be_tested_is_refused(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        Mean("x", **settings)


@pytest.mark.parametrize("observation", [True, "0.5", None, above(1, 0), (0.5,)])
def test_a_mean_is_of_numbers(observation: object) -> None:
    with pytest.raises(ClaimError, match="expected a number"):
        AT_MOST.open(0.1, QUICK).observe(observation)


def test_squared_deviations_have_mean_one_under_the_prediction() -> None:
    odds = np.array([1.0, -2.0])
    assert squared_deviation(odds + 3, odds, 3.0) == pytest.approx(1)
    assert squared_deviation(odds + 5, odds, 3.0, 4.0) == pytest.approx(1)
    assert squared_deviation(odds + 100, odds, 3.0) == 9
    assert squared_deviation([4.0, -2.0], odds, [3.0, 1.0]) == pytest.approx(0.5)
    shown = deviation_of_odds([0.0, 2.0], [0.0, 0.0], 1.0)
    assert shown.number == pytest.approx(2)
    assert shown.value == pytest.approx(1 / (1 + np.exp(-2)))
    assert shown.expected == 0.5


def test_the_reference_trainer_notes_the_links_it_learned() -> None:
    with Session(numpy_trainer, claims=["agnostic"]) as session:
        verdict = session.verdict(load_claims()["agnostic"])
    (note,) = verdict.to_json()["evidence"]["notes"]
    assert len(note["links"]) == 3
    assert "prediction" in verdict.evidence.summary


def test_the_page_on_verdicts_names_every_kind() -> None:
    page = (Path(__file__).parents[2] / "docs" / "verdicts.md").read_text(encoding="utf-8")
    decisions = sum(len(one.statistical) for one in load_claims().values())
    assert Ledger.split(load_claims().values(), QUICK).level == pytest.approx(1e-6 / decisions)
    kinds = {decision.kind for one in load_claims().values() for decision in one.decisions}
    assert all(f"*{kind}*" in page for kind in kinds | {TwoSamples.kind})
