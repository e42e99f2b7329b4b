"""The cause of all failures of one trial."""

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import pytest
from rich.console import Console

from mimverify.trial import PROFILES, Session, Status, Verdict, load_claims
from mimverify.trial.diagnosis.causes import reconcile
from mimverify.trial.diagnosis.localisation import Divergence
from mimverify.trial.diagnosis.matching import Behaviour, Match
from mimverify.trial.running import session as session_module
from mimverify.trial.running.evidence import Evidence
from mimverify.trial.running.report import TrainerReport, print_verdicts
from mimverify.zoo import NoWeightDecay


def fits(rule: str, *details: str) -> Match:
    return Match(rule, details or ("",), 0.1, 1)


def divergence(*matches: Match, compared: bool = True) -> Divergence:
    behaviour = Behaviour(matches, 1e6, 1) if compared else None
    return Divergence(1, 0, 0, 1.0, 1e-12, 0.1, 2, 2, {"n": 9}, behaviour)


def named(**divergences: Divergence | None) -> list[str]:
    return [str(each) for each in reconcile(divergences).rules]


def test_the_rule_that_fits_all_wrong_steps_is_the_cause() -> None:
    """Momentum of 1 and no weight decay are the same from some weights, not from others."""
    ambiguous = divergence(fits("momentum {}", "1"), fits("weight decay missing"))
    clear = divergence(fits("weight decay missing"))
    assert named(a=ambiguous, b=clear) == ["weight decay missing"]
    causes = reconcile({"a": ambiguous, "b": clear})
    assert causes.text == "weight decay missing: fits all 2 wrong steps found (a, b)"


def test_a_rule_that_another_wrong_step_contradicts_is_not_named() -> None:
    found = reconcile(
        {"a": divergence(fits("momentum {}", "1")), "b": divergence(fits("weight decay missing"))}
    )
    assert found.rules == ()
    text = "some known rules fit a part, but none fits all 2 wrong steps found (a, b)"
    assert found.text == text
    partly = reconcile({"a": divergence(fits("biases ignored")), "b": divergence()})
    assert (partly.rules, partly.text) == ((), text)
    none = reconcile({"a": divergence(), "b": divergence()})
    assert none.text == "no known rule fits any of the 2 wrong steps found (a, b)"


def test_an_exact_rule_that_fails_elsewhere_leaves_the_fitted_one() -> None:
    """Alone each step names the rule without a constant; over both only the fitted one holds."""
    halved = divergence(fits("loss with a factor 1/2"), fits("gradient {} times as long", "0.5"))
    other = divergence(fits("gradient {} times as long", "0.3"))
    assert named(a=halved) == ["loss with a factor 1/2"]
    assert named(a=halved, b=other) == ["gradient 0.3 to 0.5 times as long"]
    assert named(a=other, b=halved, c=other) == ["gradient 0.3 to 0.5 times as long"]


def test_details_have_to_agree_unless_they_are_about_the_step() -> None:
    six = divergence(fits("labels clipped {}", "at ±6", "at ±8"))
    assert named(a=six, b=divergence(fits("labels clipped {}", "at ±8"))) == [
        "labels clipped at ±8"
    ]
    assert named(a=six, b=divergence(fits("labels clipped {}", "at ±5"))) == []
    tail = divergence(fits("last rows dropped", "7 rows", "a partial block of 512"))
    longer = divergence(fits("last rows dropped", "9 rows", "a partial block of 512"))
    assert named(a=tail, b=longer) == ["last rows dropped (a partial block of 512)"]
    assert named(a=tail, b=divergence(fits("last rows dropped", "2 rows"))) == ["last rows dropped"]


def test_steps_that_were_not_compared_do_not_contradict() -> None:
    untested = divergence(compared=False)
    assert named(a=divergence(fits("biases ignored")), b=untested, c=None) == ["biases ignored"]
    assert reconcile({"b": untested}).text == ""
    assert reconcile({}).text == ""


def verdict(claim: str, found: Divergence, status: Status = Status.FAILED) -> Verdict:
    return Verdict(claim, status, "it is off", Evidence(divergence=found))


def test_the_report_says_it_once() -> None:
    remedy = divergence(fits("float32 arithmetic"))
    verdicts = [
        verdict("trajectory", remedy),
        verdict("gradient-step", remedy),
        verdict("span-recovery", divergence(fits("biases ignored")), Status.PASSED),
    ]
    console = Console(record=True, width=200, file=io.StringIO())
    print_verdicts("one", verdicts, console=console)
    text = console.export_text()
    line = "cause: float32 arithmetic: fits all 2 wrong steps found (trajectory, gradient-step)"
    assert text.count(line) == text.count("declare dtypes = ('float32',)") == 1
    record = TrainerReport("one", verdicts).to_json()["causes"]
    assert [each["rule"] for each in record["rules"]] == ["float32 arithmetic"]
    assert record["claims"] == ["trajectory", "gradient-step"]
    assert TrainerReport("one", verdicts[2:]).to_json()["causes"] is None


@pytest.mark.parametrize("matches", [(), (fits("momentum {}", "0.05"), fits("biases ignored"))])
def test_what_fits_survives_json(matches: tuple[Match, ...]) -> None:
    """The verdicts of child processes are read back from it."""
    found = divergence(*matches)
    evidence = Evidence(divergence=found)
    assert Evidence.from_json(evidence.to_json()).divergence == found
    at_start = Divergence(0, 0, 0, 1.0, 0.0, 1.0, 2, 2, {}, Behaviour(matches, np.inf, 1))
    record = Evidence(divergence=at_start).to_json()
    assert Evidence.from_json(record).divergence == at_start


def test_records_of_earlier_versions_are_read() -> None:
    old = {
        "rule": "momentum 1", "misfit_envelopes": 0.2, "deviation_envelopes": 1e5,
        "steps": 1, "steps_tried": 3,
    }  # fmt: skip
    assert str(Behaviour.from_json(old)) == "behaves like: momentum 1, at 1 of 3 steps"


def test_a_diagnosis_that_breaks_leaves_the_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    def breaks(*_: object) -> None:
        raise MemoryError("too large")

    for name in ("localise", "repeat"):
        monkeypatch.setattr(session_module, name, breaks)
    unhurried = replace(PROFILES["quick"], seconds=600.0)
    with Session(NoWeightDecay, profile=unhurried, claims=["gradient-step"]) as session:
        verdict = session.verdict(load_claims()["gradient-step"])
    assert verdict.status is Status.FAILED
    assert "no diagnosis: MemoryError: too large" in verdict.message
    assert verdict.evidence.divergence is None
