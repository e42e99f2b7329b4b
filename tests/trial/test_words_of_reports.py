"""Command line, Python, JSON and JUnit have the same words: docs/verdicts.md."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest

import mimverify
from mimverify.support.errors import InputError
from mimverify.trial.claims.claim import load_claims
from mimverify.trial.claims.selection import matching
from mimverify.trial.running.settings import spellings


def test_json_and_junit_keep_former_names() -> None:
    report = mimverify.check(mimverify.numpy_trainer, claims="antisymmetry")
    (trainer,) = report.to_json()["trainers"]
    (verdict,) = trainer["verdicts"]
    assert trainer["claims"] == trainer["verdicts"]
    assert (verdict["id"], verdict["status"]) == ("antisymmetry", "passed")
    case = ElementTree.fromstring(report.to_junit()).find(".//testcase")
    assert case is not None
    assert case.get("name") == "antisymmetry"
    found = {one.get("name"): one.get("value") for one in case.iter("property")}
    assert found["statistic"] == found["value"] == str(report.trainers[0].verdicts[0].statistic)


def test_a_pack_has_the_name_of_the_setting() -> None:
    assert spellings()["pack"].flags == ("--pack", "--claims")


@pytest.mark.parametrize("expression", ["gradient_step", "Gradient-Step or antisym_metry"])
def test_words_take_underscores(expression: str) -> None:
    found = matching(expression, load_claims())
    assert found == ["gradient-step"]


def test_nothing_is_refused() -> None:
    with pytest.raises(InputError, match="holds for no claim"):
        matching("step_by_step", load_claims())
