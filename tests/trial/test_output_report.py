"""What a trainer warned of and printed, in the table's messages, in JSON and in JUnit."""

from __future__ import annotations

import io
import json
from pathlib import Path
from xml.etree import ElementTree

import pytest
from rich.console import Console

from mimverify.trial import PROFILES, Session, Status, Verdict, load_claims
from mimverify.trial.running.plugin import conclude
from mimverify.trial.running.report import Report, TrainerReport, print_verdicts
from mimverify.trial.running.runner import run_suite
from mimverify.trial.running.settings import TrialSettings

SOURCE = """
import sys, warnings
import numpy as np
from mimverify import numpy_trainer

class Right:
    activations, losses = ("relu", "log-cosh"), ("squared",)

    def trajectory(self, W0, a, b, X, y, **options):
        print("working on", len(X), "\\x1b[31m")
        print("trouble", file=sys.stderr)
        warnings.warn("shapes differ", UserWarning)
        return self.spoilt(numpy_trainer().trajectory(W0, a, b, X, y, **options))

    def spoilt(self, path):
        return path

class Wrong(Right):
    def spoilt(self, path):
        return path + 1

class Raises(Right):
    def spoilt(self, path):
        warnings.warn("soon", RuntimeWarning)
        return np.linalg.solve(np.zeros((2, 2)), np.ones(2))
"""


@pytest.fixture(scope="module", params=["Right", "Wrong", "Raises"])
def verdicts(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> list[Verdict]:
    """Two claims tried on a trainer that talks."""
    folder = tmp_path_factory.mktemp("talks")
    (folder / "talks.py").write_text(SOURCE)
    claims = ["gradient-step", "trajectory"]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        with Session(f"talks:{request.param}", profile=PROFILES["quick"], claims=claims) as session:
            return [session.verdict(load_claims()[name]) for name in claims]


def printed(verdicts: list[Verdict], *, verbose: bool) -> str:
    console = Console(file=io.StringIO(), width=200, emoji=False)
    print_verdicts("talks", verdicts, console=console, verbose=verbose)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_each_warning_is_shown_once_for_a_trial(verdicts: list[Verdict]) -> None:
    right = verdicts[0].status is Status.PASSED
    for verbose in (False, True):
        text = printed(verdicts, verbose=verbose)
        assert text.count("the trainer warned: UserWarning: shapes differ (") == 1
        assert text.count("RuntimeWarning: soon") == (verdicts[0].status is Status.ERROR)
        assert ("\nthe trainer warned" in text) == right  # else under the first that failed
        assert ("\n  the trainer warned" in text) != right
    if right:  # how often, in both claims
        times = [one.times for v in verdicts for one in v.evidence.output.warnings]
        assert f", {sum(times)} ×)" in text
        assert len(times) == 2


def test_the_rest_is_shown_on_request_where_it_explains(verdicts: list[Verdict]) -> None:
    right = verdicts[0].status is Status.PASSED
    brief, full = printed(verdicts, verbose=False), printed(verdicts, verbose=True)
    for text in ("working on", "trouble", "its standard error:"):
        assert text not in brief
        assert (text in full) != right
    assert ("--verbose shows tracebacks" in brief) != right
    raised = verdicts[0].evidence.trainer_error == "raised"
    assert ("Traceback (most recent call last)" in full) == raised
    if raised:
        line = next(k for k, t in enumerate(SOURCE.splitlines(), 1) if "linalg.solve" in t)
        assert f"(talks.py:{line}, in spoilt)" in brief
    assert "\x1b" not in full


def test_pytest_shows_the_warnings_of_a_failure(verdicts: list[Verdict]) -> None:
    if verdicts[0].status is Status.PASSED:
        conclude(verdicts[0], TrialSettings())
        return
    with pytest.raises(pytest.fail.Exception, match="\nthe trainer warned: UserWarning: shapes"):
        conclude(verdicts[0], TrialSettings())


def test_json_and_junit_have_all_of_it(verdicts: list[Verdict]) -> None:
    report = TrainerReport("talks", verdicts)
    (first, _) = json.loads(json.dumps(report.to_json()))["claims"]
    output = first["evidence"]["output"]
    assert output["warnings"][0]["message"] == "shapes differ"
    assert output["stdout"].endswith("\\x1b[31m\n")
    assert Verdict.from_json(first) == verdicts[0]
    root = ElementTree.fromstring(Report(settings=TrialSettings.of(), trainers=[report]).to_junit())
    case = root.findall(".//testcase")[0]
    assert "working on" in (case.findtext("system-out") or "")
    errors = case.findtext("system-err") or ""
    assert "UserWarning: shapes differ" in errors
    assert "trouble" in errors
    assert ("Traceback" in errors) == bool(first["evidence"].get("traceback"))
    names = [each.get("name") for each in case.iter("property")]
    assert not [name for name in names if name and name.startswith(("output", "traceback"))]


def test_a_trainer_that_cannot_be_imported_has_a_traceback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "unusable.py").write_text("import json\njson.loads('{')\n")
    monkeypatch.chdir(tmp_path)
    report = run_suite("unusable:Trainer", TrialSettings.of())
    assert "(unusable.py:2)" in report.problem
    assert "unusable.py" in report.problem_traceback
    assert report.to_json()["problem_traceback"] == report.problem_traceback
