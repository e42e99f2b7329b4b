"""`mimverify check` and `mimverify claims` as scripts use them: a process, files, exit codes."""

from __future__ import annotations

import contextlib
import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from unittest import mock
from xml.etree import ElementTree

import pytest

import mimverify.trial  # not loaded by the package itself
from mimverify.cli import main

ROOT = Path(mimverify.__file__).parents[1]

TRAINERS = """
import time
import numpy as np
from mimverify import LayerwiseTrainer

class NoDecay(LayerwiseTrainer):
    def trajectory(self, *args, **options):
        return super().trajectory(*args, **{**options, "beta": 0.0})

class Raises:
    def step(self, W, a, b, X, y, **options):
        raise ValueError("no such thing")

class WrongShape:
    def step(self, W, a, b, X, y, **options):
        return W.T

class ReturnsNaN:
    def step(self, W, a, b, X, y, **options):
        return W * np.nan

class Hangs:
    def step(self, W, a, b, X, y, **options):
        time.sleep(600)

class Prints(LayerwiseTrainer):
    def trajectory(self, *args, **options):
        print("{not json")
        return super().trajectory(*args, **options)

class Slow(LayerwiseTrainer):
    def trajectory(self, W0, a, b, X, y, **options):
        if X.shape == (64, 16):  # the null law's problem in the quick profile
            open("busy", "w").close()
            time.sleep(600)
        return super().trajectory(W0, a, b, X, y, **options)

class Narrow(LayerwiseTrainer):
    activations = ("relu",)

class Stepper:
    def step(self, *args, **options):
        return LayerwiseTrainer().step(*args, **options)

class BlackBox:
    def fit(self, X, y):
        self.mean = y.mean()
    def predict(self, X):
        return np.full(len(X), self.mean)
"""


def run(*arguments, cwd, check=None, **environment):
    """The command line in this process, as its entry point runs it; its children are real."""
    stdout, stderr = io.StringIO(), io.StringIO()
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        with (
            contextlib.chdir(cwd),
            mock.patch.dict(os.environ, {"PYTHONPATH": str(ROOT)} | environment),
            contextlib.redirect_stdout(stdout),
            contextlib.redirect_stderr(stderr),
            pytest.raises(SystemExit) as exit,
        ):
            main(arguments)
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    done = subprocess.CompletedProcess(
        arguments, int(exit.value.code or 0), stdout.getvalue(), stderr.getvalue()
    )
    return _expected(done, check)


def run_process(*arguments, cwd, check=None):
    """The command line in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "mimverify", *arguments],
        cwd=cwd, env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    return _expected(done, check)


def _expected(done, check):
    if check is not None:
        assert done.returncode == check, done.stdout + done.stderr
    return done


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "mine.py").write_text(TRAINERS)
    return tmp_path


def strict(text):
    def refuse(constant):
        raise AssertionError(f"{constant} in JSON")

    return json.loads(text, parse_constant=refuse)


def claims_of(done):
    (trainer,) = strict(done.stdout)["trainers"]
    return {claim["id"]: claim for claim in trainer["claims"]}


def one_line_error(done):
    assert done.returncode == 2, done.stdout + done.stderr
    lines = done.stderr.strip().splitlines()
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("Error: ")
    return lines[0]


def test_json_on_standard_output_is_alone_and_complete(folder):
    done = run_process("check", "mine:Prints", "--claim", "weak-feedback", "--json", "-",
                       cwd=folder, check=0)  # fmt: skip
    report = strict(done.stdout)
    assert report["claim_set"] == mimverify.trial.CLAIM_SET_VERSION
    (claim,) = report["trainers"][0]["claims"]
    assert claim["id"] == "weak-feedback"
    assert claim["status"] == "passed"
    assert isinstance(claim["statistic"], float)
    assert isinstance(claim["evidence"], dict)


def test_same_seed_same_report(folder):
    first, second = (
        claims_of(run("check", "numpy", "--claim", "trajectory", "--claim", "span-recovery",
                      "--json", "-", "--seed", "3", cwd=folder, check=0))
        for _ in range(2)
    )  # fmt: skip
    for claim in (*first.values(), *second.values()):
        claim.pop("seconds")
    assert first == second


def test_several_workers_reach_the_same_verdicts(folder):
    arguments = ("-k", "power or feedback or trajectory and not predicted", "--json", "-")
    alone, shared = (
        claims_of(run("check", "mine:NoDecay", *arguments, "-n", workers, cwd=folder, check=1))
        for workers in ("1", "2")
    )
    assert list(alone) == list(shared)  # the suite's order, whoever was done first
    assert {"trajectory", "power-iteration", "weak-feedback"} <= set(alone)
    assert "predicted-trajectory" not in alone
    for claim in (*alone.values(), *shared.values()):
        claim.pop("seconds")
    assert alone == shared


def test_a_failure_exits_with_one_and_names_the_command_that_repeats_it(folder):
    done = run("check", "mine:NoDecay", "--claim", "trajectory", cwd=folder, check=1)
    assert "failed" in done.stdout
    command = "mimverify check mine:NoDecay --claim trajectory --profile quick --seed 0"
    assert command in done.stdout
    assert "Traceback" not in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("trainer", "kind", "words"),
    [
        ("Raises", "raised", "step() raised ValueError: no such thing"),
        ("WrongShape", "shape", "expected"),
        ("ReturnsNaN", "non-finite", "step()"),
        ("Hangs", "timeout", "did not return within 1 s"),
    ],
)
def test_an_unusable_trainer_is_an_error_with_a_reason(folder, trainer, kind, words):
    done = run("check", f"mine:{trainer}", "--claim", "gradient-step", "--claim", "trajectory",
               "--time-limit", "1", "--json", "-", cwd=folder, check=1)  # fmt: skip
    claim = claims_of(done)["gradient-step"]
    assert claim["status"] == "error"
    assert claim["evidence"]["trainer_error"] == kind
    assert words in claim["message"]
    assert len(claims_of(done)) == 2


def test_a_black_box_is_tested_on_prediction_only(folder):
    done = run("check", "mine:BlackBox", "--json", "-", cwd=folder, check=1)
    claims = claims_of(done)
    assert claims["test-error"]["status"] == "failed"
    assert claims["unlearnable-link"]["status"] == "passed"
    assert claims["fresh-readout"]["status"] == "passed"
    applicable = {name for name, claim in claims.items() if claim["status"] != "not applicable"}
    quick = mimverify.trial.select_claims(None, "quick").items()
    on_fit = {name for name, claim in quick if claim.needs == "regression"}
    without_the_first_layer = {name for name in on_fit if not name.startswith("first-layer-")}
    assert applicable == without_the_first_layer - {"predicts-through-first-layer"}


@pytest.mark.parametrize(
    "arguments",
    [
        ("check", "nosuchmodule:thing"),
        ("check", "mine:Nothing", "-n", "2"),
        ("check", "mine.py"),
        ("check", "numpy", "--claim", "nosuchclaim"),
        ("check", "numpy", "--profile", "hasty"),
        ("check", "numpy", "--json", "nosuchfolder/report.json"),
        ("check", "numpy", "--budget", "2"),
        ("check", "numpy", "--budget", "nan"),
        ("check", "numpy", "--time-limit", "-1"),
        ("check", "numpy", "--seed", "-1"),
        ("check", "numpy", "--threads", "0"),
        ("check", "numpy", "-k", "nosuchclaim"),
        ("check", "numpy", "--capsules", "mine.py"),
        ("check", "numpy", "--expected-failures", "missing.txt"),
        ("check", "numpy", "--expected-failures", "unknown.txt"),
        ("claims", "nosuchclaim"),
        ("nosuchcommand",),
        ("check", "--nosuchoption"),
    ],
)
def test_wrong_input_is_one_line_and_exit_code_two(folder, arguments):
    (folder / "unknown.txt").write_text("# mine\ntrajectory: known\nnul-law: never\n")
    one_line_error(run(*arguments, cwd=folder))
    assert not list(folder.glob(".*part"))


def test_other_trainers_have_verdicts_despite_one_bad_name(folder):
    done = run("check", "nosuchmodule:thing", "numpy", "--claim", "weak-feedback", cwd=folder)
    assert "passed" in done.stdout
    assert "nosuchmodule" in one_line_error(done)


def test_expected_failures_alone_verify_nothing(folder):
    path = folder / "expected.txt"
    path.write_text("trajectory: decay is missing\nweak-feedback: wrong\n")
    listed = ("--expected-failures", str(path), "--json", "-")
    done = run("check", "mine:NoDecay", "--claim", "trajectory", *listed, cwd=folder, check=3)
    report = strict(done.stdout)["trainers"][0]
    assert report["claims"][0]["status"] == "expected failure"
    assert report["unverified"] == "no claim passed: nothing was verified"
    done = run("check", "mine:NoDecay", "--claim", "trajectory", "--claim", "arithmetic", *listed,
               "--strict", cwd=folder, check=0)  # fmt: skip
    assert strict(done.stdout)["trainers"][0]["unverified"] is None


def test_an_unexpected_pass_is_a_status_that_strict_refuses(folder):
    path = folder / "expected.txt"
    path.write_text("weak-feedback: wrong\n")
    words = ("check", "numpy", "--claim", "weak-feedback", "--expected-failures", str(path))
    done = run(*words, cwd=folder, check=0)
    assert "unexpected pass" in done.stdout
    assert "listed as an expected failure, and passed: wrong" in done.stdout
    done = run(*words, "--strict", cwd=folder, check=3)
    assert "Not verified: unexpected pass: weak-feedback." in done.stdout


def test_not_applicable_by_declaration_is_without_need(folder):
    words = ("--claim", "equivariance", "--strict", "--json", "-")
    done = run("check", "mine:Narrow", *words, "--claim", "span-recovery", cwd=folder, check=3)
    avoided = claims_of(done)["span-recovery"]
    assert (avoided["status"], avoided["avoidable"]) == ("not applicable", True)
    done = run("check", "mine:Stepper", *words, "--claim", "test-error", cwd=folder, check=0)
    needed = claims_of(done)["test-error"]  # it has no fit
    assert (needed["status"], needed["avoidable"]) == ("not applicable", False)


def test_the_users_pytest_configuration_is_not_seen(folder):
    (folder / "pytest.ini").write_text("[pytest]\naddopts = --nosuchoption\n")
    (folder / "conftest.py").write_text("raise RuntimeError('not yours')\n")
    run("check", "numpy", "--claim", "weak-feedback", cwd=folder, check=0,
        PYTEST_ADDOPTS="--alsonosuch", PYTEST_PLUGINS="nosuchplugin", CI="1")  # fmt: skip
    assert {path.name for path in folder.iterdir()} <= {
        "mine.py", "pytest.ini", "conftest.py", "__pycache__"
    }  # fmt: skip


def test_the_suite_runs_under_pytest_directly(folder):
    suite = mimverify.trial.suite_path()
    done = subprocess.run(
        [sys.executable, "-m", "pytest", str(suite), "-p", "no:cacheprovider",
         "--trainer", "mine:NoDecay", "--claim", "trajectory", "--claim", "null-law"],
        cwd=folder, env=os.environ | {"PYTHONPATH": f"{ROOT}:{folder}"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1, done.stdout
    assert "Trial of mine:NoDecay" in done.stdout
    assert "off by" in done.stdout


def test_junit(folder):
    path = folder / "report.xml"
    run("check", "mine:NoDecay", "mine:Raises", "--claim", "trajectory", "--junitxml", str(path),
        cwd=folder, check=1)  # fmt: skip
    suites = ElementTree.parse(path).getroot().findall("testsuite")
    assert [suite.get("name") for suite in suites] == ["mine:NoDecay", "mine:Raises"]
    assert suites[0].find("testcase/failure") is not None
    assert suites[1].find("testcase/error") is not None
    values = {p.get("name"): p.get("value") for p in suites[0].iter("property")}
    assert float(values["value"] or "nan") > 1
    assert float(values["first_divergence.step"] or "nan") == 1
    assert float(values["first_divergence.envelopes"] or "nan") > 1
    assert values["behaves_like.rule"] == "weight decay missing"


@pytest.mark.parametrize(
    ("number", "code", "workers"),
    [(signal.SIGTERM, 143, "1"), (signal.SIGINT, 130, "1"), (signal.SIGINT, 130, "2")],
)
def test_a_signal_ends_the_run_with_what_was_finished(folder, number, code, workers):
    path = folder / "report.json"
    child = subprocess.Popen(
        [sys.executable, "-m", "mimverify", "check", "mine:Slow", "--claim", "gradient-step",
         "--claim", "null-law", "-n", workers, "--json", str(path)],
        cwd=folder, env=os.environ | {"PYTHONPATH": str(ROOT), "MARK": str(folder)},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and not (folder / "busy").exists():
        time.sleep(0.1)
    child.send_signal(number)
    _, complaint = child.communicate(timeout=60)
    assert child.returncode == code, complaint
    assert complaint.strip() == "Error: interrupted"
    report = strict(path.read_text())
    assert report["interrupted"] is True
    (trainer,) = report["trainers"]
    finished = [claim["id"] for claim in trainer["claims"]]
    if workers == "1":
        assert finished == ["gradient-step"]
    # With two, the other claim may or may not have been done by then.
    assert trainer["unfinished"] == [
        name for name in ("gradient-step", "null-law") if name not in finished
    ]
    assert "null-law" in trainer["unfinished"]
    assert not processes(folder)


def processes(folder):
    """Processes of this test, by a mark in their environment."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            marked = f"MARK={folder}\0".encode() in (path / "environ").read_bytes()
            running = (path / "stat").read_text().rpartition(")")[2].split()[0] != "Z"
        except (OSError, ProcessLookupError):
            continue
        if marked and running:
            found.append(path)
    return found


def test_claims_are_listed_and_shown(folder):
    done = run("claims", "--json", "-", cwd=folder, check=0)
    ids = [claim["id"] for claim in strict(done.stdout)["claims"]]
    assert ids == list(mimverify.trial.load_claims())
    listed = run("claims", cwd=folder, check=0).stdout
    assert all(name in listed for name in ids)
    shown = run("claims", "null-law", cwd=folder, check=0).stdout
    assert "Beta" in shown
    assert "docs/theory.md#D6" in shown


def test_claims_say_where_to_read(folder):
    done = run("claims", "heavy-label", "agnostic", "--json", "-", cwd=folder, check=0)
    read = {claim["id"]: claim["read"] for claim in strict(done.stdout)["claims"]}
    places = [f"docs/theory.md#{anchor}" for anchor in ("s4", "D9", "s6", "N2", "s2")]
    assert read["heavy-label"] == places
    shown = run("claims", "heavy-label", cwd=folder, check=0).stdout
    assert all(place in shown for place in places)
    page = run("claims", "heavy-label", "--markdown", "-", cwd=folder, check=0).stdout
    assert "(theory.md#s4), [D9](theory.md#D9); [" in page


def test_the_page_of_claims_is_the_one_that_the_records_make(folder):
    page = Path(__file__).parents[2] / "docs" / "claims.md"
    made = run("claims", "--markdown", "-", cwd=folder, check=0).stdout
    assert page.read_text(encoding="utf-8") == made, "mimverify claims --markdown docs/claims.md"


def test_version_and_help(folder):
    assert run_process("--help", cwd=folder, check=0).stdout.count("check")
    assert "Exit code" in run("check", "--help", cwd=folder, check=0).stdout
