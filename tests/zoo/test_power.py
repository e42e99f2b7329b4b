"""`mimverify power`: the matrix, its exit codes and its JSON."""

from __future__ import annotations

import importlib
import json
import os
import re
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

command = importlib.import_module("mimverify.cli.verbs.power")
RUN_SUITE = "mimverify.trial.running.runner.run_suite"
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
    monkeypatch.setattr(RUN_SUITE, passes_everything)
    code = invoke("--mutant", "Momentum", "--claim", "gradient-step", "--json", "-")
    assert code == 1
    printed = capsys.readouterr()
    record = json.loads(printed.out)
    assert record["survivors"] == ["Momentum"]
    assert record["matrix"][0]["problem"] == "1 passed"
    assert "Momentum survived: 1 passed" in printed.err


def test_all_mutants_are_tried_against_all_claims_by_default(capsys, monkeypatch):
    monkeypatch.setattr(RUN_SUITE, passes_everything)
    assert invoke("--json", "-", "-n", "3") == 1
    record = json.loads(capsys.readouterr().out)
    assert record["full"] is True
    assert [line["name"] for line in record["matrix"]] == [mutant.name for mutant in zoo()]
    quick = list(select_claims(None, "quick"))
    assert all(list(line["cells"]) == quick for line in record["matrix"])
    assert set(record["idle_claims"]) | set(record["justified"]) == set(quick)


def test_a_category_selects_its_mutants(capsys, monkeypatch):
    monkeypatch.setattr(RUN_SUITE, passes_everything)
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
        (("--fastest", "--until-caught"), "not from --until-caught"),
        (("--resume",), "expected --checkpoint"),
        (("--seeds", "0"), "--seeds"),
        (("--json", "-", "--markdown", "-"), "both '-'"),
        (("--json", "a", "--checkpoint", "a"), "both name 'a'"),
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

    monkeypatch.setattr(RUN_SUITE, interrupted_in_the_third)
    with pytest.raises((KeyboardInterrupt, click.Abort)):
        invoke("--claim", "trajectory", "--json", str(path))
    record = json.loads(path.read_text())
    assert record["interrupted"] is True
    assert 0 < len(record["matrix"]) <= 2
    assert next(calls) == 3  # no further trial was begun


def test_every_claim_has_a_letter():
    assert len(load_claims()) <= len(command._LETTERS)


# -- checkpoints, seeds, the first catch, and the page -----------------------------------------


def verdict_of(claim: str, settings, status: Status) -> Verdict:
    return Verdict(claim, status, seconds=0.5, message=f"seed {settings.seed}")


class Suite:
    """Stands for `run_suite`: claims in order, ended by what `on_event` raises; keeps the calls."""

    def __init__(self, caught_by: dict[str, str]) -> None:
        self.caught_by = caught_by
        self.calls: list[tuple[str, int, tuple[str, ...]]] = []

    def __call__(self, trainer, settings, *, on_event):
        self.calls.append((trainer.partition(":")[2], settings.seed, settings.claims))
        report = TrainerReport(trainer, seconds=1.0)
        for claim in settings.claims:
            caught = self.caught_by.get(report.trainer.partition(":")[2]) == claim
            verdict = verdict_of(claim, settings, Status.FAILED if caught else Status.PASSED)
            report.verdicts.append(verdict)
            try:
                on_event("verdict", {"verdict": verdict.to_json()})
            except KeyboardInterrupt:
                raise KeyboardInterrupt(report) from None
        return report


THREE = ("--mutant", "Momentum", "--mutant", "StaleGradient", "--mutant", "BiasedGradient")


def test_a_row_survives_its_record() -> None:
    for one in (row(Status.FAILED, Status.PASSED), row(), Row(MOMENTUM), row(problem="it broke")):
        record = json.loads(json.dumps(one.to_record(), allow_nan=False))
        again = Row.from_record(MOMENTUM, record)
        assert again.to_json() == one.to_json()
        assert again.problem == one.problem


def test_a_trial_ends_at_its_first_catch(capsys, monkeypatch):
    names = list(select_claims(None, "quick"))
    suite = Suite({"Momentum": "trajectory", "BiasedGradient": "error-floor"})
    monkeypatch.setattr(RUN_SUITE, suite)
    assert invoke(*THREE, "--until-caught", "--json", "-") == 1
    record = json.loads(capsys.readouterr().out)
    assert record["full"] is False
    assert record["survivors"] == ["StaleGradient"]
    cells = {line["name"]: list(line["cells"]) for line in record["matrix"]}
    # The claim on record caught it; nothing else was tried.
    assert cells["Momentum"] == ["trajectory"]
    # The claim on record did not catch it: those on any record, and of the others up to the catch.
    tried = cells["BiasedGradient"]
    assert tried[0] == "gradient-step"
    assert tried[-1] == "error-floor"
    on_record = {mutant.caught_by for mutant in zoo()} & set(names)
    others = [name for name in names if name not in on_record]
    assert set(tried) == on_record | set(others[: others.index("error-floor") + 1])
    # A survivor has been tried against all claims.
    assert sorted(cells["StaleGradient"]) == sorted(names)
    # Of claims that are named it ends at the first catch as well.
    few = ("--claim", "gradient-step", "--claim", "trajectory", "--claim", "null-law")
    monkeypatch.setattr(RUN_SUITE, Suite({"Momentum": "gradient-step"}))
    assert invoke("--mutant", "Momentum", "--until-caught", *few, "--json", "-") == 0
    (line,) = json.loads(capsys.readouterr().out)["matrix"]
    assert list(line["cells"]) == ["trajectory", "gradient-step"]


def test_an_interrupt_during_until_caught_is_no_catch(tmp_path, monkeypatch):
    path = tmp_path / "power.jsonl"
    main_thread = threading.get_ident()

    def interrupted(trainer, settings, *, on_event):
        signal.pthread_kill(main_thread, signal.SIGINT)
        for _ in range(10_000):
            time.sleep(0.01)
            try:
                on_event("start", {"claim": "trajectory"})
            except KeyboardInterrupt:
                raise KeyboardInterrupt(TrainerReport(trainer)) from None
        raise AssertionError("the trial was not ended")

    monkeypatch.setattr(RUN_SUITE, interrupted)
    with pytest.raises((KeyboardInterrupt, click.Abort)):
        invoke(*THREE, "--until-caught", "--checkpoint", str(path))
    assert len(path.read_text().splitlines()) == 1


def test_what_was_finished_is_not_tried_again(tmp_path, capsys, monkeypatch):
    path = tmp_path / "power.jsonl"
    words = (*THREE, "--claim", "trajectory", "--seeds", "2", "--checkpoint", str(path))
    caught = {"Momentum": "trajectory", "StaleGradient": "trajectory"}

    def all_but_the_last(trainer, settings, *, on_event):
        if settings.seed == 1 and "BiasedGradient" in trainer:
            raise OSError("the machine is on fire")
        return first(trainer, settings, on_event=on_event)

    first = Suite(caught)
    monkeypatch.setattr(RUN_SUITE, all_but_the_last)
    with pytest.raises(OSError, match="on fire"):
        invoke(*words)
    done = {call[:2] for call in first.calls}
    assert 0 < len(done) < 6
    with path.open("ab") as file:  # as a kill in the middle of a write leaves it
        file.write(b'{"seed": 1, "mutant": "Biased')
    second = Suite(caught)
    monkeypatch.setattr(RUN_SUITE, second)
    capsys.readouterr()
    assert invoke(*words, "--resume", "--json", "-") == 1
    printed = capsys.readouterr()
    assert f"{6 - len(second.calls)} of 6 trials were finished before" in printed.err
    again = {call[:2] for call in second.calls}
    assert ("BiasedGradient", 1) in again
    resumed = json.loads(printed.out)
    monkeypatch.setattr(RUN_SUITE, Suite(caught))
    assert invoke(*words[:-2], "--json", "-") == 1
    whole = json.loads(capsys.readouterr().out)
    assert resumed["seeds"] == whole["seeds"]
    assert (whole["caught"], whole["tried"]) == (4, 6)
    # Nothing is left to try, and other mutants go on from the same file.
    third = Suite({})
    monkeypatch.setattr(RUN_SUITE, third)
    assert invoke(*words, "--resume") == 1
    assert not third.calls
    invoke("--mutant", "Momentum", "--mutant", "NoWeightDecay", *words[6:], "--resume")
    assert {call[0] for call in third.calls} == {"NoWeightDecay"}


def test_a_trial_with_a_problem_is_tried_again(tmp_path, monkeypatch):
    path = tmp_path / "power.jsonl"
    words = ("--mutant", "Momentum", "--claim", "trajectory", "--checkpoint", str(path))

    def broken(trainer, settings, *, on_event):
        return TrainerReport(trainer, problem="no memory")

    monkeypatch.setattr(RUN_SUITE, broken)
    assert invoke(*words) == 1
    monkeypatch.setattr(RUN_SUITE, Suite({"Momentum": "trajectory"}))
    assert invoke(*words, "--resume") == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "holds 1 finished trials: expected --resume"),
        (("--resume", "--seed", "4"), "seed was 0 and is 4"),
        (("--resume", "--profile", "standard"), "profile was 'quick' and is 'standard'"),
        (
            ("--resume", "--claim", "null-law"),
            "tried was 'trajectory' and is 'trajectory, null-law'",
        ),
        (("--resume", "--until-caught"), "tried was 'trajectory' and is 'trajectory, until"),
    ],
)
def test_another_runs_checkpoint_is_refused(tmp_path, monkeypatch, arguments, words):
    path = tmp_path / "power.jsonl"
    base = ("--mutant", "Momentum", "--claim", "trajectory", "--checkpoint", str(path))
    monkeypatch.setattr(RUN_SUITE, Suite({"Momentum": "trajectory"}))
    invoke(*base)
    with pytest.raises(InputError) as caught:
        invoke(*base, *arguments)
    assert words in str(caught.value)


def test_another_source_or_version_is_refused_by_name(tmp_path, monkeypatch):
    path = tmp_path / "power.jsonl"
    base = ("--mutant", "Momentum", "--claim", "trajectory", "--checkpoint", str(path))
    monkeypatch.setattr(RUN_SUITE, Suite({"Momentum": "trajectory"}))
    invoke(*base)
    header, *rows = path.read_text(encoding="utf-8").splitlines()
    run = json.loads(header)["run"]
    for part, name in (("sources", "mimverify/zoo/base.py"), ("versions", "numpy")):
        changed = json.loads(header)
        assert run[part][name]
        changed["run"][part][name] = "another"
        path.write_text("\n".join([json.dumps(changed), *rows]) + "\n", encoding="utf-8")
        with pytest.raises(InputError) as caught:
            invoke(*base, "--resume")
        assert f"{part}.{name} was 'another' and is '{run[part][name]}'" in str(caught.value)


@pytest.mark.slow
@pytest.mark.parametrize("ending", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_run_that_is_ended_loses_the_mutant_under_way_alone(tmp_path, ending):
    path = tmp_path / "power.jsonl"
    words = (*THREE, "--until-caught", "--checkpoint", str(path))
    with subprocess.Popen(
        [sys.executable, "-m", "mimverify", "power", *words],
        cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL,
    ) as process:  # fmt: skip
        while process.poll() is None and not finished_trials(path):
            time.sleep(0.02)
        process.send_signal(ending)
        code = process.wait()
    left = finished_trials(path)
    if 1 <= left < 3:
        assert code == {signal.SIGKILL: -9, signal.SIGTERM: 143, signal.SIGINT: 130}[ending]
    done = run(*words, "--resume", cwd=tmp_path, check=0)
    assert f"{left} of 3 trials were finished before" in done.stdout
    assert "3 of 3 mutants caught" in done.stdout
    assert finished_trials(path) == 3


def finished_trials(path: Path) -> int:
    """Whole lines after the first."""
    return max(path.read_bytes().count(b"\n") - 1, 0) if path.exists() else 0


@pytest.mark.parametrize(
    ("caught", "code"), [(("Momentum", "StaleGradient"), 0), (("Momentum",), 1)]
)
def test_several_seeds_are_a_table_of_shares(capsys, monkeypatch, caught, code):
    monkeypatch.setattr(RUN_SUITE, Suite(dict.fromkeys(caught, "trajectory")))
    words = ("--mutant", "Momentum", "--mutant", "StaleGradient", "--claim", "trajectory")
    assert invoke(*words, "--seeds", "3", "--seed", "5") == code
    printed = capsys.readouterr().out
    share = "100.0%" if code == 0 else "50.0%"
    assert [line.split()[0] for line in printed.splitlines() if share in line] == ["5", "6", "7"]
    assert ("seed 6: StaleGradient survived: 1 passed" in printed) is (code == 1)


def test_the_page_shows_mutants_claims_survivors_and_how_it_was_made(tmp_path, monkeypatch):
    page = tmp_path / "page"
    monkeypatch.setattr(RUN_SUITE, Suite({"Momentum": "trajectory"}))
    assert invoke("--seeds", "2", "--markdown", str(page), "-n", "2") == 1
    text = page.read_text(encoding="utf-8")
    assert f"    mimverify power --seeds 2 --markdown {page}" in text
    assert "| master seeds | 0, 1 |" in text
    assert "unfinished" not in text
    count = len(zoo())
    assert f"| 1 | {count} | 1 | {1 / count:.1%} |" in text
    assert "| `Momentum` | update rule | 2 of 2 | trajectory |" in text
    assert "| `StaleGradient` | " in text
    assert "**survived**: " in text
    assert "| `trajectory` | " in text
    assert names_on(text, "| mutant | category |") == [mutant.name for mutant in zoo()]
    assert names_on(text, "| claim | tried on |") == list(select_claims(None, "quick"))


def names_on(text: str, heading: str) -> list[str]:
    """The first names in code of a table's rows."""
    lines = text[text.index(heading) :].split("\n\n")[0].splitlines()[2:]
    return [line.split("`")[1] for line in lines]


def test_the_measured_page_is_of_the_mutants_and_claims_of_today() -> None:
    """It says which sources it measured; what it lists is compared here."""
    page = ROOT / "docs" / "power.md"
    text = page.read_text(encoding="utf-8")
    assert "unfinished" not in text
    again = "make it anew, see docs/zoo.md"
    assert names_on(text, "| mutant | category |") == [mutant.name for mutant in zoo()], again
    claims = names_on(text, "| claim | tried on |")
    profile = re.search(r"^\| profile \| (\w+) \|$", text, re.MULTILINE)
    assert profile is not None
    assert claims == list(select_claims(None, profile[1])), again


def test_a_packs_mutants_that_have_changed_are_not_mixed(tmp_path, monkeypatch):
    path = tmp_path / "power.jsonl"
    pack = ROOT / "examples" / "batch-reuse" / "batch_reuse" / "claims.py"
    words = ("--claims", str(pack), "--checkpoint", str(path))
    monkeypatch.setattr(RUN_SUITE, Suite({}))
    invoke(*words)
    header, *rows = path.read_text(encoding="utf-8").splitlines()
    changed = json.loads(header)
    assert all(name.startswith("batch_reuse") for name in changed["run"]["mutants"])
    assert any("mutant" in name for name in changed["run"]["mutants"])
    name = next(name for name in changed["run"]["mutants"] if "mutant" in name)
    changed["run"]["mutants"][name] = "another"
    path.write_text("\n".join([json.dumps(changed), *rows]) + "\n", encoding="utf-8")
    with pytest.raises(InputError, match="is of another run"):
        invoke(*words, "--resume")
