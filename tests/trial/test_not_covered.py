"""Declared activations and losses that a trial does not cover are named in its report."""

from __future__ import annotations

import html

import pytest

from mimverify.handles.capabilities import describe
from mimverify.support.strict_json import Json
from mimverify.training import LayerwiseTrainer
from mimverify.trial import STEP_ACTIVATIONS, InProcessTrainer, TrainerUnderTrial
from mimverify.trial.reference.oracle import ORACLE_ACTIVATIONS, ORACLE_LOSSES
from mimverify.trial.running.not_covered import not_covered
from mimverify.trial.running.report import Report, TrainerReport
from mimverify.trial.running.report_page import check_page
from mimverify.trial.running.settings import TrialSettings


def declaring(**names: tuple[str, ...] | None) -> Json:
    return describe(type("Own", (LayerwiseTrainer,), names)()).to_json()


def test_nothing_is_said_of_what_is_covered() -> None:
    assert not_covered(None) == ()
    assert not_covered(declaring()) == ()
    assert not_covered(declaring(activations=("LogCosh", "relu"), losses=None)) == ()


def test_unknown_names_are_named_with_the_nearest() -> None:
    found = not_covered(declaring(activations=("log-cosh", "swish", "softpluss"), losses=("l2",)))
    assert found == (
        "activation 'swish': not one of mimverify's: no claim was tried with it",
        "activation 'softpluss': not one of mimverify's: no claim was tried with it; did you mean "
        "'softplus'?",
        "loss 'l2': not one of mimverify's: no claim was tried with it",
    )


def test_what_the_oracle_lacks_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(ORACLE_ACTIVATIONS, "gelu")
    monkeypatch.delitem(ORACLE_LOSSES, "l1")
    activation, loss = not_covered(declaring(activations=("GELU", "relu"), losses=("l1", "huber")))
    assert activation.startswith("activation 'GELU': the oracle has no formula of it")
    assert loss.startswith("loss 'l1': the oracle has no formula of it")


def test_the_report_says_so() -> None:
    """On the page and in JSON; the table of the command line: tests/extension."""
    one = TrainerReport("own", capabilities=declaring(activations=("swish", "quadratic")))
    report = Report(TrialSettings(), [one])
    sentence = "activation 'swish': not one of mimverify's: no claim was tried with it"
    assert report.to_json()["trainers"][0]["not_covered"] == [sentence]
    assert sentence in html.unescape(check_page(report, "mimverify check own"))


def test_a_trainer_is_tried_with_the_others() -> None:
    own = type("Own", (LayerwiseTrainer,), {"activations": ("swish", "quadratic", "relu")})
    found = TrainerUnderTrial(InProcessTrainer(own)).common(STEP_ACTIVATIONS, ("l1",), ("float64",))
    assert found == (["quadratic", "relu"], ["l1"], ["float64"])
