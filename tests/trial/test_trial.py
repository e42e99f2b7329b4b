"""The running of a trial: statuses, seeds, time and levels, the claims' records."""

from __future__ import annotations

import ast
import contextlib
import json
import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

import mimverify
from mimverify import InputError, numpy_trainer
from mimverify.statistics import SequentialBinomial
from mimverify.support.errors import MimverifyError, TrainerError
from mimverify.support.strict_json import jsonable
from mimverify.trial import (
    KINDS,
    PROFILES,
    STANDARD_ACTIVATIONS,
    STANDARD_LOSSES,
    Claim,
    ClaimFailed,
    Decision,
    Event,
    Evidence,
    ExactCase,
    Inconclusive,
    InProcessTrainer,
    Ledger,
    NotApplicable,
    Rounding,
    Session,
    Status,
    TrainerUnderTrial,
    Trial,
    TrialSettings,
    Verdict,
    above,
    choices,
    claim,
    exact_cases,
    exact_trajectory,
    load_claims,
    select_claims,
    suite_path,
)
from mimverify.trial.claims.selection import matching
from mimverify.trial.decisions.event import EventEvidence
from mimverify.trial.running.expectations import read_expected_failures
from mimverify.trial.running.report import Report, TrainerReport, print_verdicts
from mimverify.trial.running.runner import _balanced_parts
from mimverify.trial.trainer.time_share import TimeShare

QUICK = PROFILES["quick"]


ALWAYS, NEVER, BETWEEN = Event("always"), Event("never"), Event("between")


def make_claim(
    procedure,
    *,
    decisions: Decision = Rounding("nothing"),  # noqa: B008 - frozen
    cases=None,
    needs="first layer",
):
    """A claim that omits what its procedure leaves undecided."""

    @claim(id="stub", statement="s", source="here", measures="m", needs=needs,
           decisions=decisions, cases=choices(("case",)) if cases is None else cases)  # fmt: skip
    def decorated(trial, case):
        procedure(trial, case)
        for decision in trial._declared.waiting():
            trial.omit(decision, "a stub")

    return decorated


def make_trial(procedure=lambda trial, case: None, *, seed=0, share=None, profile=QUICK, **options):
    return Trial(
        make_claim(procedure, **options),
        TrainerUnderTrial(InProcessTrainer(numpy_trainer)),
        profile=profile,
        ledger=Ledger.split(load_claims().values(), profile),
        seed=seed,
        share=share,
    )


def passing(trial, case):
    trial.within("W", np.zeros(1), np.zeros(1), 1.0)


def failing(trial, case):
    trial.within("off by", np.ones(1), np.zeros(1), 0.25)


def raiser(error):
    def procedure(trial, case):
        raise error

    return procedure


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (ClaimFailed("off by 3"), Status.ERROR),  # of no declared decision
        (NotApplicable("needs fit"), Status.NOT_APPLICABLE),
        (Inconclusive("time"), Status.INCONCLUSIVE),
        (TrainerError("raised", "step() raised"), Status.ERROR),
        (TrainerError("deadline", "time was spent"), Status.INCONCLUSIVE),
        (MimverifyError("W is zero"), Status.ERROR),
        (ZeroDivisionError("oops"), Status.ERROR),
    ],
)
def test_every_outcome_has_its_status(error, status):
    with Session(numpy_trainer) as session:
        verdict = session.verdict(make_claim(raiser(error)))
        assert verdict.status is status
        assert verdict.message
        assert session.verdict(make_claim(passing)).status is Status.PASSED
        assert session.verdict(make_claim(failing)).status is Status.FAILED


def test_expected_failures_are_told_from_failures_and_from_passes():
    procedures = (failing, passing, raiser(TrainerError("raised", "boom")))
    claims = [replace(make_claim(procedure), id="null-law") for procedure in procedures]
    with Session(numpy_trainer, expected_failures={"null-law": "known"}) as session:
        failed, passed, error = map(session.verdict, claims)
    assert failed.status is Status.EXPECTED_FAILURE
    assert "known" in failed.message
    assert "off by 1" in failed.message
    assert passed.status is Status.UNEXPECTED_PASS
    assert "listed as an expected failure, and passed: known" in passed.message
    assert error.status is Status.ERROR  # an expected failure is no licence to crash


def test_a_missing_capability_is_not_applicable_never_a_pass():
    class OnlyFits:
        def fit(self, X, y): ...

        def predict(self, X):
            return np.zeros(len(X))

    with Session(OnlyFits) as session:
        verdict = session.verdict(load_claims()["trajectory"])
    assert verdict.status is Status.NOT_APPLICABLE
    assert "trajectory() or step()" in verdict.message


def test_undeclared_names_are_not_applicable():
    class OnlyTanh:
        activations = ("tanh",)

        def step(self, W, a, b, X, y, **options):
            raise AssertionError("must not be called")

    with Session(OnlyTanh) as session:
        verdict = session.verdict(load_claims()["power-iteration"])
    assert verdict.status is Status.NOT_APPLICABLE
    assert "quadratic" in verdict.message
    assert "tanh" in verdict.message


def test_a_trainer_is_called_with_its_own_spelling():
    class Spells:
        activations = ("LogCosh", "quadratic")
        losses = ("Squared",)

        def step(self, W, a, b, X, y, *, eta, beta, activation, loss):
            assert (activation, loss) in {("LogCosh", "Squared"), ("quadratic", "Squared")}
            name = {"LogCosh": "log-cosh"}.get(activation, activation)
            return numpy_trainer().step(
                W, a, b, X, y, eta=eta, beta=beta, activation=name, loss="squared"
            )

    with Session(Spells) as session:
        for name in ("gradient-step", "power-iteration"):
            verdict = session.verdict(load_claims()[name])
            assert verdict.status is Status.PASSED, verdict


def test_configurations_do_not_diverge_by_themselves():
    def check(trial, case):
        seed = trial.seed_of(case)
        network, data = case.general_network(seed, "float64"), case.data(seed, "float64")
        for activation in STANDARD_ACTIVATIONS:
            for loss in STANDARD_LOSSES:
                options = case.options(network, data, activation, loss)
                weights = exact_trajectory(*network, *data, steps=case.steps, **options)
                assert np.abs(weights).max() <= 4 * np.abs(weights[0]).max()

    trial = make_trial(
        check, cases=exact_cases(steps=(4, 6)), profile=replace(QUICK, exact_examples=30)
    )
    undecided(trial)


def undecided(trial):
    """Runs a trial whose stub decides nothing."""
    with pytest.raises(Inconclusive, match="a stub"):
        trial.run()


def test_levels_sum_to_the_budget():
    claims = load_claims().values()
    for profile in PROFILES.values():
        ledger = Ledger.split(claims, profile, 1e-4)
        total = (
            ledger.level * profile.statistical_examples * sum(len(c.statistical) for c in claims)
        )
        assert total == pytest.approx(1e-4)


def test_shares_of_time_are_generous_and_never_more_than_is_left():
    with Session(numpy_trainer) as session:
        costs = [claim.cost for claim in session.claims.values()]
        shares = [session._share(claim, 10.0) for claim in session.claims.values()]
    assert shares[0] == pytest.approx(3 * 10 * costs[0] / sum(costs))
    assert shares[-1] == pytest.approx(10.0)
    assert max(shares) <= 10.0


def test_a_spent_share_is_inconclusive():
    trial = make_trial(cases=exact_cases(), share=TimeShare(0.0))
    with pytest.raises(Inconclusive, match="was spent before the first configuration"):
        trial.run()
    assert trial.evidence.examples == 0


def drawn(**options):
    cases: list[ExactCase] = []
    undecided(make_trial(lambda trial, case: cases.append(case), cases=exact_cases(), **options))
    return cases


def test_configurations_depend_on_seed_and_profile_alone():
    assert drawn() == drawn()
    # One of each kind, since a stratum has at least one.
    assert [case.kind for case in drawn()] == list(KINDS)
    standard = PROFILES["standard"]
    assert drawn(seed=1, profile=standard) != drawn(profile=standard)


def test_configurations_are_those_of_another_process_under_ci_settings(tmp_path):
    code = (
        "from mimverify import numpy_trainer\n"
        "from mimverify.trial import *\n"
        "CONSTANT = 77777; OTHER = 3.25  # what Hypothesis would mine from local code\n"
        "from dataclasses import replace\n"
        "found = []\n"
        "def procedure(trial, case):\n"
        "    found.append(case)\n"
        "    trial.omit(trial.claim.decisions[0], 'only drawn')\n"
        "c = replace(load_claims()['trajectory'], procedure=procedure, cases=exact_cases())\n"
        "t = Trial(c, TrainerUnderTrial(InProcessTrainer(numpy_trainer)),"
        " profile=PROFILES['quick'], ledger=Ledger.split([c], PROFILES['quick']))\n"
        "try:\n"
        "    t.run()\n"
        "except Inconclusive:\n"
        "    print(repr([found, t.seed_of(found[0], 3)]))\n"
    )
    here: list[ExactCase] = []

    def procedure(trial, case):
        here.append(case)
        trial.omit(trial.claim.decisions[0], "only drawn")

    trial = Trial(
        replace(load_claims()["trajectory"], procedure=procedure, cases=exact_cases()),
        TrainerUnderTrial(InProcessTrainer(numpy_trainer)),
        profile=QUICK,
        ledger=Ledger.split(load_claims().values(), QUICK),
    )
    with pytest.raises(Inconclusive, match="only drawn"):
        trial.run()
    root = str(Path(mimverify.__file__).parents[1])
    environment = os.environ | {"CI": "1", "PYTHONPATH": root, "PYTHONHASHSEED": "7"}
    (tmp_path / "local.py").write_text(code)
    done = subprocess.run(
        [sys.executable, "local.py"], cwd=tmp_path, env=environment, capture_output=True, text=True,
        check=True,
    )  # fmt: skip
    assert done.stdout.strip() == repr([here, trial.seed_of(here[0], 3)])


def test_a_failing_example_is_not_run_again_and_not_shrunk():
    calls = []

    def check(trial, case):
        calls.append(case)
        if len(calls) == 2:
            trial.within("second", np.ones(1), np.zeros(1), 0.0)

    with pytest.raises(ClaimFailed, match="second"):
        make_trial(check, cases=exact_cases()).run()
    assert len(calls) == 2


def test_every_configuration_is_tried_once():
    seen: list[int] = []
    undecided(
        make_trial(
            lambda trial, case: seen.append(case),
            cases=choices(range(5)),
            profile=replace(QUICK, exact_examples=400),
        )
    )
    assert sorted(seen) == list(range(5))


def test_within_names_the_worst_entry_and_no_cause():
    trial = make_trial()
    expected = np.zeros((2, 3))
    got = expected.copy()
    got[1, 2] = 1e-8
    trial.within("W", expected, expected, 1e-16, dtype="float64")
    with pytest.raises(ClaimFailed, match=r"W\[1, 2\]: off by 1e-08 "):
        trial.within("W", got, expected, 1e-16, dtype="float64")
    got[1, 2] = 1.0
    with pytest.raises(ClaimFailed) as failure:
        trial.within("W", got, expected, 1e-16, dtype="float64")
    assert "declare" not in str(failure.value)
    assert trial.evidence.statistic == pytest.approx(1e16)


def only_event(trial) -> EventEvidence:
    (record,) = trial.evidence.records
    assert isinstance(record, EventEvidence)
    return record


def test_decide_stops_early_both_ways_and_gives_up():
    sure = make_trial(lambda t, case: t.decide(lambda seed: True), decisions=ALWAYS)
    sure.run()
    # ln(1000)/ln(0.9/0.5) = 11.75: the twelfth success decides.
    assert only_event(sure).of == 12
    never = make_trial(lambda t, case: t.decide(lambda seed: False), decisions=NEVER)
    with pytest.raises(ClaimFailed, match="never: happened in 0 of"):
        never.run()
    flips = iter(range(10_000))
    between = make_trial(
        lambda t, case: t.decide(lambda seed: next(flips) % 4 != 0), decisions=BETWEEN
    )
    with pytest.raises(Inconclusive, match="100 runs did not decide: between"):
        between.run()
    assert only_event(between).of == QUICK.maximum_runs


def test_a_statistical_verdict_carries_its_risk_runs_and_power_as_numbers():
    trial = make_trial(lambda t, case: t.decide(lambda seed: above(2.0, 1.5)), decisions=ALWAYS)
    trial.run()
    evidence = json.loads(json.dumps(trial.evidence.to_json(), allow_nan=False))
    assert evidence["false_alarm_level"] == trial.ledger.level
    assert evidence["false_alarm_budget"] == trial.ledger.budget
    test = SequentialBinomial(0.5, 0.9, trial.ledger.level, QUICK.false_pass)
    caught = test.detectable(power=0.95, runs=QUICK.maximum_runs)
    assert caught is not None
    assert 0.5 < caught < 0.9  # more than what is promised to fail by design
    (record,) = evidence["decisions"]
    assert record == {
        "kind": "event probability",
        "decision": "always",
        "case": "'case'",
        "quantity": "",
        "value": 2.0,
        "low": 1.5,
        "high": None,
        "expected": None,
        "unmet": {},
        "happened": 12,
        "of": 12,
        "fails_at": test.fails_at(12),
        "log_likelihood_ratio": pytest.approx(12 * np.log(0.9 / 0.5)),
        "failed": False,
        "passed": True,
        "false_alarms": trial.ledger.level,
        "false_pass": 1e-3,
        "detectable": caught,
        "maximum_runs": 100,
        "statistic": 1.0,
        "summary": "always 2 (>1.5)",
    }
    assert Evidence.from_json(evidence) == trial.evidence


def test_too_few_runs_to_catch_anything_say_so():
    trial = make_trial(
        lambda t, case: t.decide(lambda seed: False),
        decisions=NEVER,
        profile=replace(QUICK, maximum_runs=3),
    )
    with pytest.raises(Inconclusive):
        trial.run()
    assert only_event(trial).detectable is None
    assert only_event(trial).fails_at is None
    assert "catches" not in only_event(trial).details


def test_an_exact_verdict_carries_its_worst_comparison():
    trial = make_trial()
    trial.within("W", np.full(3, 0.25), np.zeros(3), 1.0, dtype="float64")
    trial.within("W", np.full(3, 0.125), np.zeros(3), 1.0)
    assert trial.evidence.statistic == 0.25
    (record,) = trial.evidence.records
    assert record.to_json() == {
        "kind": "bound on rounding",
        "decision": "nothing",
        "case": "None",
        "failed": False,
        "bound": "rounding bound",
        "ratio": 0.25,
        "comparisons": 2,
        "tensor": "W",
        "index": [0],
        "error": 0.25,
        "allowed": 1.0,
        "settings": {"dtype": "float64"},
        "statistic": 0.25,
        "summary": "0.25 of rounding bound, 2 ×",
    }
    assert Evidence.from_json(trial.evidence.to_json()) == trial.evidence


def event_evidence(trial_or_value: float) -> Evidence:
    trial = make_trial(
        lambda t, case: t.decide(lambda seed: above(trial_or_value, 1.5)),
        decisions=Event("large", quantity="the number"),
    )
    with contextlib.suppress(ClaimFailed):
        trial.run()
    return trial.evidence


def test_reports_show_what_was_measured_and_how_to_get_a_capsule(capsys):
    failed = Verdict(
        "a", Status.FAILED, "off", event_evidence(1.0), 0.0, "mimverify check x --claim a"
    )
    passed = Verdict("b", Status.PASSED, evidence=event_evidence(2.0))
    print_verdicts("x", [passed, failed])
    shown = " ".join(capsys.readouterr().out.split())
    assert "the number 2 (>1.5)" in shown
    assert "the number 1 (>1.5); held in 0 of" in shown
    assert "12 of 12" not in shown
    assert "have probability ≥ 0.9, and the laws and means hold, fails any" in shown
    assert "≤ 1e-06" in shown
    assert "With --capsules FOLDER" in shown
    print_verdicts("x", [passed], verbose=True)
    shown = " ".join(capsys.readouterr().out.split())
    assert "12 of 12 runs, risk 3e-08, catches P ≤ 0.58" in shown
    assert "P ≤ 0.5 passes with probability ≤ 0.001" in shown
    print_verdicts("x", [replace(failed, capsule="kept/a b.npz")])
    shown = capsys.readouterr().out
    assert "replay: mimverify replay 'kept/a b.npz'" in shown
    assert "With --capsules" not in shown


def test_junit_names_each_number():
    verdict = Verdict("a", Status.FAILED, "off", event_evidence(1.0), 0.0, "again", "kept.npz")
    report = Report(TrialSettings(), [TrainerReport("x", [verdict])])
    root = ElementTree.fromstring(report.to_junit())
    values = {p.get("name"): p.get("value") for p in root.iter("property")}
    assert values["status"] == "failed"
    assert values["value"] == "0.0"
    assert values["large.happened"] == "0"
    assert values["large.of"] == values["large.maximum_runs"] or int(values["large.of"] or 0) < 100
    assert float(values["large.detectable"] or "nan") == pytest.approx(0.58, abs=0.01)
    assert float(values["false_alarm_budget"] or "nan") == 1e-6
    assert not any("None" in str(name) for name in values)
    failure = root.find("testsuite/testcase/failure")
    assert failure is not None
    assert failure.text == "again\nmimverify replay kept.npz"


IDS = ("gradient-step", "one-step-odds", "one-step-error", "null-law", "trajectory")


@pytest.mark.parametrize(
    ("expression", "chosen"),
    [
        ("step", "gradient-step one-step-odds one-step-error"),
        ("step and not error", "gradient-step one-step-odds"),
        ("null or traj", "null-law trajectory"),
        ("null or step and odds", "one-step-odds null-law"),
        ("(null or step) and o", "one-step-odds one-step-error"),
        ("not (step or null)", "trajectory"),
        ("not not NULL-LAW", "null-law"),
    ],
)
def test_expressions_choose_claims(expression, chosen):
    assert matching(expression, IDS) == chosen.split()


@pytest.mark.parametrize(
    ("expression", "complaint"),
    [
        ("nothing", "holds for no claim"),
        ("", "ends too early"),
        ("a and", "ends too early"),
        ("(a", "ends too early"),
        ("a b", "unexpected 'b'"),
        ("a )", r"unexpected '\)'"),
        ("or a", "unexpected 'or'"),
        ("a & b", "'&' is not understood"),
    ],
)
def test_expressions_that_are_none_are_refused(expression, complaint):
    with pytest.raises(InputError, match=complaint):
        matching(expression, IDS)


@pytest.mark.parametrize("workers", [1, 2, 3, 5, 1000])
def test_claims_are_divided_among_workers_whole(workers):
    claims = load_claims()
    parts = _balanced_parts(claims, workers)
    assert len(parts) == min(workers, len(claims))
    assert sorted(name for part in parts for name in part) == sorted(claims)
    assert all(part == [name for name in claims if name in part] for part in parts)
    # Longest first: no part is above the mean by more than one claim.
    costs = [sum(claims[name].cost for name in part) for part in parts]
    largest = max(claim.cost for claim in claims.values())
    assert max(costs) <= sum(costs) / len(parts) + largest


def test_every_run_of_a_decision_has_its_own_seed():
    seeds: list[int] = []
    make_trial(
        lambda t, case: t.decide(lambda seed: seeds.append(seed) is None),  # type: ignore[func-returns-value]
        decisions=ALWAYS,
    ).run()
    assert len(set(seeds)) == len(seeds)


def test_verdicts_survive_json():
    evidence = replace(event_evidence(np.nan), notes=({"x": np.float64(np.nan), "k": np.int64(3)},))
    verdict = Verdict("a", Status.FAILED, "m", evidence)
    text = json.dumps(verdict.to_json(), allow_nan=False)
    back = Verdict.from_json(json.loads(text))
    assert back.status is Status.FAILED
    assert back == replace(verdict, evidence=replace(evidence, notes=({"x": None, "k": 3},)))
    assert back.to_json() == verdict.to_json()
    assert jsonable(float("inf")) is None


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("null-law\n", "expected 'claim-id: reason'"),
        (": reason\n", "expected 'claim-id: reason'"),
        ("null-law: b\n# c\n\nnull-law: d\n", ":4: claim 'null-law' is listed twice"),
        ("null-law: b\nnosuchclaim: d\n", ":2: claim='nosuchclaim': expected one of"),
        ("Null-Law: b\n", ":1: claim='Null-Law': ids are spelled exactly"),
    ],
)
def test_expectation_files_are_checked_line_by_line(tmp_path, text, complaint):
    path = tmp_path / "expected.txt"
    path.write_text(text)
    with pytest.raises(InputError, match=complaint):
        read_expected_failures(path)


def test_expectation_file(tmp_path):
    path = tmp_path / "expected.txt"
    path.write_text("# why\n\nnull-law: labels are shuffled: always\n")
    assert read_expected_failures(path) == {"null-law": "labels are shuffled: always"}
    with pytest.raises(InputError, match="cannot be read"):
        read_expected_failures(tmp_path / "missing.txt")


def test_claims_are_complete_records():
    claims = load_claims()
    assert {"gradient-step", "antisymmetry", "span-recovery", "null-law"} <= set(claims)
    for name, record in claims.items():
        assert isinstance(record, Claim)
        assert name == record.id
        for text in (record.statement, record.source, record.measures):
            assert text
        assert record.decisions
        assert all(place.startswith("docs/theory.md#") for place in record.read)
        assert json.dumps(record.to_json(), allow_nan=False)
    assert [c for c in claims.values() if c.exact]
    assert [c for c in claims.values() if not c.exact]


def test_a_claim_says_where_to_read():
    def cited(source):
        made = claim(id="stub", statement="s", source=source, measures="m", needs="first layer",
                     decisions=ALWAYS, cases=choices(("case",)))  # fmt: skip
        return made(lambda trial, case: None)

    assert cited("theory.md §4, D1; abstract: 'd'").read == [
        "docs/theory.md#s4",
        "docs/theory.md#D1",
    ]
    assert cited("here").to_json()["read"] == []
    with pytest.raises(InputError, match="expected sections and labels"):
        cited("theory" + ".md, at the end")


def test_selection_keeps_the_suites_order_and_refuses_unknown_ids():
    names = list(load_claims())
    assert list(select_claims([names[3], names[1]])) == [names[1], names[3]]
    assert list(select_claims(None)) == names
    assert list(select_claims(None, "deep")) == names
    quick = list(select_claims(None, "quick"))
    assert set(quick) < set(names)
    waiting = next(name for name in names if name not in quick)
    assert list(select_claims([waiting], "quick")) == [waiting]
    with pytest.raises(InputError, match="did you mean 'null-law'"):
        select_claims(["null-lw"])


def imports(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, path
            yield str(node.module)


def test_the_suite_imports_only_the_public_interface():
    allowed = {
        "math",
        "mimverify",
        "mimverify.backends",
        "mimverify.statistics",
        "mimverify.strategies",
        "mimverify.theory",
        "mimverify.training",
        "mimverify.trial",
        "numpy",
    }
    for path in suite_path().glob("*.py"):
        assert set(imports(path)) <= allowed, path


def test_the_package_imports_nothing_of_suite_tests_or_benchmarks():
    package = Path(mimverify.__file__).parent
    for path in package.rglob("*.py"):
        if "_properties" in path.parts:
            continue
        roots = {name.partition(".")[0] for name in imports(path)}
        assert not roots & {"properties", "tests", "asv_benchmarks"}, path


def test_nothing_is_pickled_but_a_trainer_on_trial():
    """Files are read without pickle; a trainer is copied with it in the process that runs it."""
    package = Path(mimverify.__file__).parent
    users = {path.relative_to(package).as_posix()
             for path in package.rglob("*.py") if "pickle" in imports(path)}  # fmt: skip
    assert users == {"handles/operations.py"}


def test_check_from_python_with_an_object():
    report = mimverify.check(numpy_trainer(), claims=["weak-feedback", "power-iteration"])
    assert report.exit_code == 0
    assert [v.id for v in report.trainers[0].verdicts] == ["power-iteration", "weak-feedback"]
    assert json.dumps(report.to_json(), allow_nan=False)
    with pytest.raises(InputError, match="profile"):
        mimverify.check(numpy_trainer, profile="hasty")
    with pytest.raises(TrainerError, match="no trainer"):
        mimverify.check(object())


def test_check_takes_one_id_and_refuses_expectations_about_nothing():
    report = mimverify.check(numpy_trainer, claims="weak-feedback")
    assert [v.id for v in report.trainers[0].verdicts] == ["weak-feedback"]
    with pytest.raises(InputError, match="expected_failures"):
        mimverify.check(numpy_trainer, expected_failures={"weak_feedback": "typo"})


def test_messages_that_are_no_unicode_reach_the_report():
    verdict = Verdict("a", Status.ERROR, "\ud800 bad")
    assert json.dumps(verdict.to_json(), ensure_ascii=False).encode()


def test_a_slow_trainer_is_stopped_between_calls():
    class Slow(mimverify.LayerwiseTrainer):
        calls = 0

        def trajectory(self, *args, **options):
            type(self).calls += 1
            time.sleep(0.2)
            return super().trajectory(*args, **options)

    with Session(Slow, profile=replace(QUICK, seconds=1.0), claims=["trajectory"]) as session:
        verdict = session.verdict(load_claims()["trajectory"])
    assert verdict.status is Status.INCONCLUSIVE
    assert Slow.calls < 70  # one example alone would take 70


def test_parametrize_with_claims_serves_a_users_suite(tmp_path):
    (tmp_path / "test_mine.py").write_text(
        "import mimverify\n"
        "from mimverify import numpy_trainer\n"
        "class Broken(mimverify.LayerwiseTrainer):\n"
        "    def trajectory(self, *args, **options):\n"
        "        return super().trajectory(*args, **{**options, 'beta': 0.0})\n"
        "@mimverify.parametrize_with_claims(numpy_trainer, claims=['power-iteration'])\n"
        "def test_good(claim):\n"
        "    claim()\n"
        "@mimverify.parametrize_with_claims(Broken, claims=['power-iteration', 'weak-feedback'],\n"
        "    expected_failures={'weak-feedback': 'no decay'})\n"
        "def test_broken(claim):\n"
        "    claim()\n"
    )
    root = str(Path(mimverify.__file__).parents[1])
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path)],
        cwd=tmp_path, env=os.environ | {"PYTHONPATH": root},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert "1 failed, 1 passed, 1 xfailed" in done.stdout, done.stdout
    assert "--claim power-iteration" in done.stdout
