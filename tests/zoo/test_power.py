"""`mimverify power`: the matrix, its exit codes and its JSON."""

from __future__ import annotations

import importlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import click
import pytest

import mimverify
from mimverify.cli.app import app
from mimverify.support.errors import InputError
from mimverify.trial.claims.claim import load_claims
from mimverify.trial.claims.selection import select_claims
from mimverify.trial.diagnosis.localisation import Divergence
from mimverify.trial.diagnosis.matching import Behaviour, Match
from mimverify.trial.outcomes import Status
from mimverify.trial.running.evidence import Evidence
from mimverify.trial.running.report import TrainerReport
from mimverify.trial.running.verdict import Verdict
from mimverify.zoo import JUSTIFIED, Mutant, zoo
from mimverify.zoo.matrix import PowerMatrix, Row

command = importlib.import_module("mimverify.cli.power")
ROOT = Path(mimverify.__file__).parents[1]
MOMENTUM = next(mutant for mutant in zoo() if mutant.name == "Momentum")


def run(*arguments, cwd, check=None):
    done = subprocess.run(
        [sys.executable, "-m", "mimverify", "power", *arguments],
        cwd=cwd, env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    if check is not None:
        assert done.returncode == check, done.stdout + done.stderr
    return done


def row(*statuses, mutant: Mutant = MOMENTUM, problem: str = "") -> Row:
    """A row of verdicts on claims a, b, …, each a second slower than the one before."""
    verdicts = [
        Verdict("abcdef"[k], status, seconds=float(k + 1)) for k, status in enumerate(statuses)
    ]
    return Row(mutant, TrainerReport(mutant.spec, verdicts, problem=problem))


# -- the matrix itself ------------------------------------------------------------------


def test_only_a_failure_is_a_detection():
    survived = row(Status.PASSED, Status.ERROR, Status.INCONCLUSIVE, Status.NOT_APPLICABLE)
    assert not survived.catches
    assert "1 error" in survived.problem
    assert PowerMatrix("abcd", False, [survived]).exit_code == 1


def test_the_fastest_detection_is_named():
    slow, fast = row(Status.FAILED, Status.FAILED).verdicts
    fast = replace(fast, seconds=0.5)
    record = Row(MOMENTUM, TrainerReport(MOMENTUM.spec, [slow, fast])).to_json()
    assert record["caught"] is True
    assert record["fastest"] == "b"
    assert record["seconds_to_detection"] == 0.5
    assert record["cells"]["a"]["status"] == "failed"


def test_a_trial_that_could_not_begin_is_a_survivor_with_a_reason():
    assert row(problem="it broke").problem == "it broke"
    assert Row(MOMENTUM).problem == "no claim is known to catch it"
    assert PowerMatrix("", False, [Row(MOMENTUM)]).exit_code == 3
    assert PowerMatrix("", False, [row(problem="it broke"), Row(MOMENTUM)]).exit_code == 1


def test_a_matrix_in_which_nothing_was_decided_shows_nothing():
    undecided = row(Status.INCONCLUSIVE, Status.NOT_APPLICABLE)
    assert PowerMatrix("ab", False, [undecided]).exit_code == 3
    assert PowerMatrix("ab", False, [undecided, row(Status.FAILED)]).exit_code == 1
    assert PowerMatrix("ab", False, [undecided, row(Status.PASSED)]).exit_code == 1


def test_a_claim_that_kills_nothing_fails_a_full_matrix_unless_justified(monkeypatch):
    rows = [row(Status.FAILED, Status.PASSED)]
    assert PowerMatrix("ab", False, rows).exit_code == 0
    full = PowerMatrix("ab", True, rows)
    assert full.idle == ["b"]
    assert full.exit_code == 1
    monkeypatch.setitem(JUSTIFIED, "b", "it is the theorem's conclusion")
    assert full.exit_code == 0
    assert full.to_json()["justified"] == {"b": "it is the theorem's conclusion"}


@pytest.mark.parametrize(
    ("rules", "named", "misnamed"),
    [
        (("weight decay missing",), True, []),
        (("biases ignored",), False, ["biases ignored"]),
        (("weight decay missing", "biases ignored"), False, []),  # the right one, and another
        ((), False, []),
    ],
)
def test_a_cause_counts_as_named_if_it_is_named_alone(rules, named, misnamed):
    behaviour = Behaviour(tuple(Match(rule, ("",), 0.1, 1) for rule in rules), 1e6, 1)
    found = Divergence(1, 0, 0, 1.0, 1e-12, 0.1, 2, 2, {}, behaviour)
    (verdict,) = row(Status.FAILED).verdicts
    report = TrainerReport("one", [replace(verdict, evidence=Evidence(divergence=found))])
    judged = Row(replace(MOMENTUM, causes=("weight decay missing",)), report)
    assert judged.named is named
    assert judged.misnamed == misnamed
    assert judged.to_json()["cells"]["a"]["named"] == list(rules)
    matrix = PowerMatrix("a", False, [judged])
    assert matrix.to_json()["misnamed"] == ({"Momentum": misnamed} if misnamed else {})
    assert len(matrix.named) == named


# -- the command ----------------------------------------------------------------------------


def test_caught_mutants_exit_with_zero_and_a_matrix(tmp_path):
    path = tmp_path / "power.json"
    done = run("--mutant", "Momentum", "--mutant", "biasedgradient", "--fastest", "-n", "2",
               "--json", str(path), cwd=tmp_path, check=0)  # fmt: skip
    assert "2 of 2 mutants caught" in done.stdout
    assert "2 of 2 causes named (100%)" in done.stdout
    record = json.loads(path.read_text())
    assert record["profile"] == "quick"
    assert record["seed"] == 0
    assert record["interrupted"] is False
    assert record["full"] is False
    assert record["versions"]["mimverify"]
    assert [line["name"] for line in record["matrix"]] == ["BiasedGradient", "Momentum"]
    momentum = record["matrix"][1]
    assert momentum["fastest"] == "trajectory"
    assert momentum["seconds_to_detection"] > 0
    assert momentum["cells"]["trajectory"]["status"] == "failed"
    assert momentum["cells"]["trajectory"]["message"]
    assert momentum["cells"]["trajectory"]["named"] == momentum["causes"] == ["momentum {}"]
    assert momentum["rightly_named"] is True
    assert record["causes_named"] == 2
    assert record["misnamed"] == {}
    assert record["kills"]["trajectory"] == ["Momentum"]


def invoke(*arguments):
    """The command in this process; raises what the entry point would turn into a message."""
    return app.main(args=["power", *arguments], prog_name="mimverify", standalone_mode=False)


def passes_everything(trainer, options, *, on_event):
    """Stands for `run_suite`."""
    return TrainerReport(trainer, [Verdict(name, Status.PASSED) for name in options.claims])


def test_a_survivor_exits_with_one_and_is_named(capsys, monkeypatch):
    monkeypatch.setattr(command, "run_suite", passes_everything)
    code = invoke("--mutant", "Momentum", "--claim", "gradient-step", "--json", "-")
    assert code == 1
    printed = capsys.readouterr()
    record = json.loads(printed.out)
    assert record["survivors"] == ["Momentum"]
    assert record["matrix"][0]["problem"] == "1 passed"
    assert "Momentum survived: 1 passed" in printed.err


def test_all_mutants_are_tried_against_all_claims_by_default(capsys, monkeypatch):
    monkeypatch.setattr(command, "run_suite", passes_everything)
    assert invoke("--json", "-", "-n", "3") == 1
    record = json.loads(capsys.readouterr().out)
    assert record["full"] is True
    assert [line["name"] for line in record["matrix"]] == [mutant.name for mutant in zoo()]
    quick = list(select_claims(None, "quick"))
    assert all(list(line["cells"]) == quick for line in record["matrix"])
    assert set(record["idle_claims"]) | set(record["justified"]) == set(quick)


def test_a_category_selects_its_mutants(capsys, monkeypatch):
    monkeypatch.setattr(command, "run_suite", passes_everything)
    invoke("--category", "leakage", "--fastest", "--json", "-")
    record = json.loads(capsys.readouterr().out)
    assert {line["category"] for line in record["matrix"]} == {"leakage"}
    assert all(list(line["cells"]) == [line["caught_by"]] for line in record["matrix"])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--mutant", "Momentumm"), "did you mean 'Momentum'"),
        (("--category", "cooking"), "category='cooking'"),
        (("--mutant", "Momentum", "--category", "leakage"), "none is of the category"),
        (("--claim", "nosuchclaim"), "nosuchclaim"),
        (("--fastest", "--claim", "trajectory"), "--fastest"),
        (("--profile", "hasty"), "hasty"),
        (("-n", "0"), "-n"),
        (("--seed", "-1"), "--seed"),
        (("--json", "nosuchfolder/power.json"), "nosuchfolder"),
        (("--nosuchoption",), "nosuchoption"),
    ],
)
def test_wrong_input_is_refused_by_name(arguments, words):
    with pytest.raises((click.ClickException, InputError)) as caught:
        invoke(*arguments)
    error = caught.value
    text = error.format_message() if isinstance(error, click.ClickException) else str(error)
    assert words in text


def test_an_interrupt_leaves_what_was_finished(tmp_path, monkeypatch):
    path = tmp_path / "power.json"
    calls = iter(range(1000))
    main_thread = threading.get_ident()

    def interrupted_in_the_third(trainer, options, *, on_event):
        if next(calls) < 2:
            return passes_everything(trainer, options, on_event=on_event)
        signal.pthread_kill(main_thread, signal.SIGINT)  # as a terminal does: it wakes it
        for _ in range(10_000):  # claims that go on until the watcher ends them
            time.sleep(0.01)
            on_event("start", {"claim": "trajectory"})
        raise AssertionError("the trial was not ended")

    monkeypatch.setattr(command, "run_suite", interrupted_in_the_third)
    with pytest.raises((KeyboardInterrupt, click.Abort)):
        invoke("--claim", "trajectory", "--json", str(path))
    record = json.loads(path.read_text())
    assert record["interrupted"] is True
    assert 0 < len(record["matrix"]) <= 2
    assert next(calls) == 3  # no further trial was begun


def test_every_claim_has_a_letter():
    assert len(load_claims()) <= len(command._LETTERS)
