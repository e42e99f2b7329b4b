"""`mimverify calibrate`: the counting on claims of known probability, and the command."""

from __future__ import annotations

import itertools
import json
import multiprocessing
import signal
from dataclasses import replace

import click
import pytest
from scipy.stats import binom

from mimverify.calibration import (
    TOTAL_RISK,
    WHOLE_RUN,
    Calibration,
    EventCount,
    Plan,
    Tried,
    Unit,
    detectable_rate,
    exceedance,
    fewest_alarms,
    lower_bound,
    tries,
    try_at_levels,
    try_unit,
    upper_bound,
)
from mimverify.cli.app import app
from mimverify.support.errors import InputError, TrainerError
from mimverify.trial import (
    PROFILES,
    Claim,
    Event,
    InProcessTrainer,
    NotApplicable,
    Status,
    TrainerUnderTrial,
    Trial,
    choices,
    claim,
    load_claims,
    select_claims,
)
from mimverify.trial.decisions import StatisticalDecision
from mimverify.trial.running.session import try_claim
from p_values import PValue

OPEN_TRAINER = "mimverify.trial.running.session.open_trainer"
QUICK, STANDARD = PROFILES["quick"], PROFILES["standard"]


class Idle:
    """A trainer that no claim of this file calls."""

    def step(self, W, a, b, X, y, *, eta, beta, activation, loss):
        return W


def trainer() -> TrainerUnderTrial:
    return TrainerUnderTrial(InProcessTrainer(Idle))


def synthetic(procedure, *decisions: StatisticalDecision) -> Claim:
    return claim(
        id="coin", statement="", source="", measures="", needs="first layer",
        decisions=decisions, cases=choices(range(64)),
    )(procedure)  # fmt: skip


def coins(*probabilities: float) -> Claim:
    """A claim whose k-th event has exactly the k-th probability: seeds are uniform hashes."""

    events = [Event(f"coin {k}") for k in range(len(probabilities))]

    def procedure(trial, case):
        def tosses(seed):
            return {
                event: trial.seed_of(seed, "toss", k) < p * 2**32
                for k, (event, p) in enumerate(zip(events, probabilities, strict=True))
            }

        trial.decide(tosses)

    return synthetic(procedure, *events)


def uniform_p_values(count: int) -> Claim:
    """A claim with p-values that are exactly uniform."""

    values = [PValue(f"p {k}") for k in range(count)]

    def procedure(trial, case):
        trial.decide(
            lambda seed: {p: trial.seed_of(seed, "p", k) / 2**32 for k, p in enumerate(values)}
        )

    return synthetic(procedure, *values)


def plan_for(*, seeds=300, levels=(0.1, 0.01), profile=QUICK, claims=("coin",), **options) -> Plan:
    return Plan(("idle",), claims, levels, range(seeds), profile, **options)


def calibrated(tossed: Claim, plan: Plan) -> Calibration:
    calibration, idle = Calibration(plan), trainer()
    for seed in plan.seeds:
        calibration.add("idle", try_unit(plan, tossed, idle, seed))
    return calibration


# -- counting -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "tossed",
    [coins(0.75), coins(0.98, 0.8), uniform_p_values(2)],
    ids=["one coin", "two coins", "p-values"],
)
def test_each_level_decides_as_a_trial_of_its_own_would(tossed):
    profile = replace(STANDARD, statistical_examples=2, maximum_runs=20, false_pass=0.05)
    plan = plan_for(levels=(0.5, 0.1, 0.01), profile=profile)
    idle, seen = trainer(), set()
    for seed in range(25):
        tried = try_unit(plan, tossed, idle, seed)
        alone = [
            try_claim(Trial(tossed, idle, profile=profile, ledger=ledger, seed=seed)).status
            for ledger in plan.ledgers(tossed)
        ]
        assert tried.statuses == tuple(alone)
        seen |= set(alone)
    assert {Status.PASSED, Status.FAILED} <= seen


@pytest.mark.parametrize("tossed", [coins(0.9, 0.9), uniform_p_values(2)])
def test_the_level_is_kept_where_the_assumption_just_holds(tossed):
    calibration = calibrated(tossed, plan_for(seeds=200))
    for row in calibration.rows:
        assert row.seeds == 200
        assert binom.sf(len(row.alarms) - 1, 200, row.level) > 1e-6
    assert calibration.exit_code == 0


def test_an_event_of_probability_one_half_is_detected():
    calibration = calibrated(coins(0.5), plan_for(seeds=40))
    assert all(row.exceeds for row in calibration.rows)
    assert calibration.exit_code == 1
    (event,) = calibration.events
    assert event.upper_bound < 0.9
    assert event.to_json()["usual"] is False


def test_events_are_counted_in_a_number_of_runs_that_does_not_depend_on_them():
    calibration = calibrated(coins(0.3, 1.0), plan_for(seeds=25))
    # The quick profile passes after twelve successes at the earliest.
    assert [event.of for event in calibration.events] == [12 * 25, 12 * 25]
    rare, sure = calibration.events
    assert abs(rare.happened - 90) < 40
    assert sure.happened == 300
    assert sure.lower_bound == pytest.approx(1e-3 ** (1 / 300))
    assert sum(case["of"] for case in sure.to_json()["configurations"]) == 300


def test_more_runs_than_a_trial_may_take_count_without_deciding():
    tried = try_at_levels(
        coins(0.99), trainer(), profile=replace(QUICK, maximum_runs=5),
        ledgers=plan_for().ledgers(coins(0.99)), counted=200,
    )  # fmt: skip
    assert tried.statuses == (Status.INCONCLUSIVE, Status.INCONCLUSIVE)
    (count,) = tried.counts
    assert count.of == 200


def test_the_undecided_are_counted_and_are_no_alarms():
    calibration = calibrated(
        coins(0.72), plan_for(seeds=20, profile=replace(QUICK, maximum_runs=11))
    )
    for row in calibration.rows:
        assert row.undecided + len(row.alarms) == row.seeds == 20
        assert row.undecided > 0


def test_what_does_not_apply_or_breaks_is_not_counted():
    def missing(trial, case):
        raise NotApplicable("needs a biscuit")

    def broken(trial, case):
        raise TrainerError("raised", "it broke")

    quiet = calibrated(synthetic(missing, Event("it happens")), plan_for(seeds=3))
    assert quiet.exit_code == 3  # nothing failed, and nothing was counted
    assert quiet.rows[0].to_json()["p_value"] is None
    assert quiet.to_json()["problems"][0]["message"] == "needs a biscuit"
    loud = calibrated(synthetic(broken, Event("it happens")), plan_for(seeds=3))
    assert loud.exit_code == 1
    assert loud.rows[0].seeds == 0
    assert loud.to_json()["problems"][0]["status"] == "error"


# -- rates ----------------------------------------------------------------------------------


def test_rates_are_exact():
    assert exceedance(0, 50, 0.1) == 1
    assert exceedance(1, 50, 1e-6) == pytest.approx(1 - (1 - 1e-6) ** 50, rel=1e-9)
    most = fewest_alarms(300, 0.1, 1e-3)
    assert most is not None
    assert exceedance(most, 300, 0.1) < 1e-3 <= exceedance(most - 1, 300, 0.1)
    rate = detectable_rate(300, 0.1, 1e-3, power=0.95)
    assert rate is not None
    assert binom.sf(most - 1, 300, rate) == pytest.approx(0.95)
    assert detectable_rate(2, 0.1, 1e-3, power=0.95) is None
    assert lower_bound(0, 9) == 0
    assert upper_bound(9, 9) == 1
    assert binom.sf(6, 9, lower_bound(7, 9)) == pytest.approx(1e-3)
    assert binom.cdf(7, 9, upper_bound(7, 9)) == pytest.approx(1e-3)


# -- whole runs -----------------------------------------------------------------------------


def result(name: str, seed: int, *statuses: Status) -> Tried:
    return Tried(name, seed, statuses)


def test_a_whole_run_is_counted_once_all_its_claims_are_tried():
    plan = plan_for(seeds=50, levels=(1e-6,), claims=("a", "b"), whole=True)
    calibration = Calibration(plan)
    for seed in plan.seeds:
        calibration.add("idle", result("a", seed, Status.PASSED))
    assert calibration.rows[0].seeds == 0
    for seed in plan.seeds:
        calibration.add("idle", result("b", seed, Status.PASSED if seed else Status.INCONCLUSIVE))
    (row,) = calibration.rows
    assert (row.claim, row.seeds, row.undecided) == (WHOLE_RUN, 50, 1)
    assert calibration.exit_code == 0


def test_one_alarm_in_fifty_runs_at_a_millionth_is_too_many():
    plan = plan_for(seeds=50, levels=(1e-6,), claims=("a", "b"), whole=True)
    calibration = Calibration(plan)
    for seed in plan.seeds:
        calibration.add("idle", result("a", seed, Status.FAILED if seed == 7 else Status.PASSED))
        calibration.add("idle", result("b", seed, Status.NOT_APPLICABLE))
    (row,) = calibration.rows
    assert row.alarms == [(7, ("a",))]
    assert row.p_value < 1e-4
    assert calibration.exit_code == 1


def test_a_level_is_split_over_the_claim_or_over_the_whole_run():
    heavy = load_claims()["heavy-label"]
    own, whole = (
        plan_for(levels=(0.06,), profile=STANDARD, whole=whole).ledgers(heavy)[0]
        for whole in (False, True)
    )
    assert own.level == pytest.approx(0.06 / (len(heavy.statistical) * 3))
    everyone = sum(len(other.statistical) for other in load_claims().values())
    assert whole.level == pytest.approx(0.06 / (everyone * 3))


# -- processes ------------------------------------------------------------------------------


def test_units_are_tried_in_processes_that_end_with_the_caller(user_module):
    module = user_module(
        "class Broken:\n"
        "    def step(self, *arrays, **options):\n"
        "        raise ValueError('out of order')\n"
    )
    plan = Plan((f"{module}:Broken", "numpy"), ("staircase",), (0.1, 0.01), range(9999), QUICK)
    begun: list[Unit] = []
    finished = tries(plan, 1, on_start=begun.append)
    for _ in range(3):  # of ten thousand
        unit, broken = next(finished)
        assert (unit.trainer, broken.statuses) == (plan.trainers[0], (Status.ERROR,) * 2)
        assert "out of order" in broken.message
    unit, passed = next(finished)
    finished.close()
    assert not multiprocessing.active_children()
    assert unit == begun[-1] == Unit("numpy", "staircase", 0)
    assert passed.statuses == (Status.PASSED, Status.PASSED)
    assert passed.counts[0].of == 12


def test_units_that_are_done_are_left_out():
    plan = replace(plan_for(seeds=4, claims=("staircase",)), trainers=("numpy",))
    done = frozenset({Unit("numpy", "staircase", 0), Unit("numpy", "staircase", 2)})
    tried = [unit.seed for unit, _ in tries(plan, 1, done=done)]
    assert tried == [1, 3]


# -- the command ----------------------------------------------------------------------------


def invoke(*arguments):
    """The command in this process; raises what the entry point would turn into a message."""
    return app.main(args=["calibrate", *arguments], prog_name="mimverify", standalone_mode=False)


def always(*statuses):
    """Stands for `tries`."""

    def tries(plan, workers, *, on_start, done=frozenset()):
        for unit in plan.units():
            if unit in done:
                continue
            on_start(unit)
            counts = (EventCount("it happens", "a case", 12, 12),)
            yield unit, Tried(unit.claim, unit.seed, statuses, counts)

    return tries


@pytest.fixture(autouse=True)
def _no_worker_to_greet(monkeypatch):
    """The command opens each trainer once before the work; here nothing is to be started."""
    monkeypatch.setattr(OPEN_TRAINER, lambda *_, **__: InProcessTrainer(Idle))


def test_levels_that_are_kept_exit_with_zero_and_a_record(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("mimverify.calibration.running.tries", always(Status.PASSED, Status.PASSED))
    path = tmp_path / "calibration.json"
    code = invoke("--claim", "staircase", "--claim", "null-law", "--seeds", "30", "--seed", "5",
                  "--level", "0.01", "--level", "0.1", "--json", str(path))  # fmt: skip
    assert code == 0
    record = json.loads(path.read_text())
    assert record["interrupted"] is False
    assert record["profile"] == "quick"
    assert record["seeds"] == {"first": 5, "count": 30}
    assert record["levels"] == [0.1, 0.01]
    assert record["total_risk"] == TOTAL_RISK
    assert record["versions"]["mimverify"]
    assert [(row["claim"], row["level"]) for row in record["rows"]] == [
        ("staircase", 0.1), ("staircase", 0.01), ("null-law", 0.1), ("null-law", 0.01)
    ]  # fmt: skip
    row = record["rows"][0]
    assert (row["trainer"], row["seeds"], row["alarms"], row["p_value"]) == ("numpy", 30, 0, 1)
    assert row["fails_below"] == TOTAL_RISK / 4
    assert row["detectable"]["power"] == 0.95
    event = record["events"][0]
    assert (event["event"], event["happened"], event["of"]) == ("it happens", 360, 360)
    assert event["usual"] is True
    printed = capsys.readouterr().out
    assert "0/30" in printed
    assert "kept" in printed
    assert all(len(line.rstrip()) <= 80 for line in printed.splitlines())


def test_a_level_that_is_exceeded_exits_with_one(capsys, monkeypatch):
    monkeypatch.setattr("mimverify.calibration.running.tries", always(Status.FAILED, Status.PASSED))
    assert invoke("--claim", "staircase", "--seeds", "9", "--json", "-") == 1
    printed = capsys.readouterr()
    record = json.loads(printed.out)
    assert [row["exceeds"] for row in record["rows"]] == [True, False]
    assert [alarm["seed"] for alarm in record["rows"][0]["alarm_seeds"]] == list(range(9))
    assert "exceeded" in printed.err


def test_all_statistical_claims_are_calibrated_by_default(capsys, monkeypatch):
    monkeypatch.setattr("mimverify.calibration.running.tries", always(Status.PASSED))
    assert invoke("--seeds", "2", "--level", "1e-6", "--json", "-") == 0
    rows = json.loads(capsys.readouterr().out)["rows"]
    statistical = [name for name, one in select_claims(None, "quick").items() if not one.exact]
    assert [row["claim"] for row in rows] == statistical


def test_so_few_seeds_that_nothing_could_exceed_the_level_are_not_green(capsys, monkeypatch):
    monkeypatch.setattr("mimverify.calibration.running.tries", always(Status.PASSED))
    assert invoke("--seeds", "2", "--level", "0.1") == 3
    assert "So few seeds" in capsys.readouterr().out


def test_an_alarm_in_the_smoke_test_is_named(capsys, monkeypatch):
    monkeypatch.setattr("mimverify.calibration.running.tries", always(Status.FAILED))
    code = invoke("--whole", "--level", "1e-6", "--seeds", "2", "-k", "staircase or null")
    assert code == 1
    printed = capsys.readouterr().out
    assert WHOLE_RUN in printed
    assert "alarm at 1e-06, seed 1: staircase, null-law" in printed


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--claim", "nosuchclaim"), "nosuchclaim"),
        (("--claim", "gradient-step"), "--claim gradient-step: is exact"),
        (("-k", "nosuchclaim"), "holds for no claim"),
        (("-k", "gradient"), "holds for no statistical claim"),
        (("--level", "0"), "--level=0.0"),
        (("--level", "1"), "--level=1.0"),
        (("--level", "nan"), "--level=nan"),
        (("--level", "often"), "often"),
        (("--seeds", "0"), "--seeds"),
        (("--seed", "-1"), "--seed"),
        (("--profile", "hasty"), "hasty"),
        (("-n", "0"), "-n"),
        (("--json", "nosuchfolder/calibration.json"), "nosuchfolder"),
        (("--nosuchoption",), "nosuchoption"),
    ],
)
def test_wrong_input_is_refused_by_name(arguments, words):
    with pytest.raises((click.ClickException, InputError)) as caught:
        invoke(*arguments)
    error = caught.value
    text = error.format_message() if isinstance(error, click.ClickException) else str(error)
    assert words in text


def test_an_interrupt_leaves_what_was_finished(tmp_path, capsys, monkeypatch):
    path = tmp_path / "calibration.json"

    def interrupted_in_the_third(plan, workers, *, on_start, done):
        going = always(Status.PASSED)(plan, 1, on_start=on_start, done=done)
        for count, (unit, found) in enumerate(going):
            if count == 2:
                signal.raise_signal(signal.SIGINT)
            yield unit, found

    monkeypatch.setattr("mimverify.calibration.running.tries", interrupted_in_the_third)
    with pytest.raises((KeyboardInterrupt, click.Abort)):
        invoke("--claim", "staircase", "--level", "0.1", "--json", str(path))
    record = json.loads(path.read_text())
    assert record["interrupted"] is True
    assert record["rows"][0]["seeds"] == 2
    assert "0/2" in capsys.readouterr().out


# -- checkpoints and pages ------------------------------------------------------------------


def test_an_interrupted_calibration_goes_on_with_what_is_missing(tmp_path, capsys, monkeypatch):
    path = tmp_path / "trials.jsonl"
    begun: list[Unit] = []
    stop_at = 7

    def interrupted(plan, workers, *, on_start, done):
        going = always(Status.FAILED, Status.PASSED)(plan, 1, on_start=on_start, done=done)
        for count, (unit, found) in enumerate(going):
            if count == stop_at:
                signal.raise_signal(signal.SIGINT)
            begun.append(unit)
            yield unit, found

    monkeypatch.setattr("mimverify.calibration.running.tries", interrupted)
    claims = ("--claim", "staircase", "--claim", "null-law", "--seeds", "5")
    words = (*claims, "--checkpoint", str(path))
    with pytest.raises((KeyboardInterrupt, click.Abort)):
        invoke(*words)
    assert len(begun) == 7
    with path.open("ab") as file:  # as a kill in the middle of a write leaves it
        file.write(b'{"trainer": "num')
    stop_at = -1
    capsys.readouterr()
    assert invoke(*words, "--resume", "--json", "-") == 1
    printed = capsys.readouterr()
    assert "7 of 10 trials were finished before" in printed.err
    assert len(begun) == len(set(begun)) == 10
    whole = json.loads(printed.out)
    assert invoke(*claims, "--json", "-") == 1
    assert json.loads(capsys.readouterr().out)["rows"] == whole["rows"]
    # More seeds, and one claim alone, go on from the same file.
    begun.clear()
    more = ("--claim", "null-law", "--seeds", "6", "--checkpoint", str(path), "--resume")
    invoke(*more)
    assert begun == [Unit("numpy", "null-law", 5)]


def test_a_trial_with_an_error_is_tried_again(tmp_path, monkeypatch):
    path = tmp_path / "trials.jsonl"
    words = ("--claim", "staircase", "--seeds", "2", "--level", "0.1", "--checkpoint", str(path))
    monkeypatch.setattr("mimverify.calibration.running.tries", always(Status.ERROR))
    invoke(*words)
    monkeypatch.setattr("mimverify.calibration.running.tries", always(Status.PASSED))
    invoke(*words, "--resume")
    assert len(path.read_text().splitlines()) == 3


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "holds 2 finished trials: expected --resume"),
        (("--resume", "--level", "0.2"), "is of another run: levels was"),
        (("--resume", "--whole"), "whole was False and is True"),
        (("--resume", "--seed", "1"), "seed was 0 and is 1"),
        (("--resume", "--profile", "standard"), "profile was 'quick' and is 'standard'"),
    ],
)
def test_another_calibrations_checkpoint_is_refused(tmp_path, monkeypatch, arguments, words):
    path = tmp_path / "trials.jsonl"
    monkeypatch.setattr("mimverify.calibration.running.tries", always(Status.PASSED, Status.PASSED))
    invoke("--claim", "staircase", "--seeds", "2", "--checkpoint", str(path))
    before = path.read_bytes()
    with pytest.raises(InputError) as caught:
        invoke("--claim", "staircase", "--seeds", "2", "--checkpoint", str(path), *arguments)
    assert words in str(caught.value)
    assert path.read_bytes() == before


def test_a_changed_trainer_is_not_mixed_with_what_it_was(tmp_path, monkeypatch):
    path = tmp_path / "trials.jsonl"
    monkeypatch.setattr("mimverify.calibration.running.tries", always(Status.PASSED))
    words = ("mine:Trainer", "--claim", "staircase", "--seeds", "2", "--level", "0.1",
             "--checkpoint", str(path), "--resume")  # fmt: skip
    invoke(*words)

    class Changed(InProcessTrainer):
        def source_hashes(self):
            return {"mine": "another"}

    monkeypatch.setattr(OPEN_TRAINER, lambda *_, **__: Changed(Idle))
    with pytest.raises(InputError, match="line 2: the sources of mine:Trainer have changed"):
        invoke(*words)


def test_the_page_shows_alarms_events_and_what_is_missing(tmp_path, monkeypatch):
    page = tmp_path / "page"

    def partly(plan, workers, *, on_start, done):
        going = always(Status.FAILED, Status.PASSED)(plan, 1, on_start=on_start, done=done)
        yield from itertools.islice(going, 3)
        raise KeyboardInterrupt

    monkeypatch.setattr("mimverify.calibration.running.tries", partly)
    words = ("--claim", "staircase", "--claim", "null-law", "--seeds", "3", "--markdown", str(page))
    with pytest.raises((KeyboardInterrupt, click.Abort)):
        invoke(*words)
    text = page.read_text(encoding="utf-8")
    assert "| **unfinished** | 3 of 6 trials are missing |" in text
    assert "| numpy | `staircase` | 0.1 | 3/3 |" in text
    assert "| numpy | `null-law` | 0.1 | – |" in text
    assert "it happens | 36/36 |" in text
    assert f"mimverify calibrate {' '.join(words)}" in text
    for heading, columns in (
        ("| trainer | claim | level |", 10),
        ("| trainer | claim | event |", 7),
    ):
        lines = text[text.index(heading) :].split("\n\n")[0].splitlines()
        assert {line.count("|") for line in lines} == {columns + 1}
