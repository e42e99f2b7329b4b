"""Results in notebooks: every kind of result is shown as tables, valid and escaped."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from typing import Any, get_type_hints

import pytest

import mimverify
from mimverify.experiment import ExperimentConfig
from mimverify.pages.notebook import ShownInNotebooks, tables_of
from mimverify.theory import inspect_link, predict
from mimverify.trial.claims.claim_set import PackOrigin
from mimverify.trial.decisions import Decision
from mimverify.trial.running.report import Report, TrainerReport
from mimverify.trial.running.settings import TrialSettings


def public_functions() -> Iterator[Any]:
    """What any package's `__all__` names, and can be called."""
    for module in pkgutil.walk_packages(mimverify.__path__, "mimverify."):
        if module.ispkg and not module.name.startswith(("mimverify.cli", "mimverify._properties")):
            package = importlib.import_module(module.name)
            for name in getattr(package, "__all__", ()):
                if inspect.isfunction(getattr(package, name)):
                    yield getattr(package, name)


def result_kinds() -> dict[str, type]:
    """Classes with a record that public functions return: what a notebook's cell may end with.

    Without the parts of a claim's declaration, which are no results.
    """
    found: dict[str, type] = {}
    for function in public_functions():
        try:
            kind = get_type_hints(function).get("return")
        except NameError:  # names for type checkers alone
            continue
        if not isinstance(kind, type) or issubclass(kind, (Decision, PackOrigin)):
            continue
        if kind.__module__.startswith("mimverify.") and hasattr(kind, "to_json"):
            found[kind.__qualname__] = kind
    return found


KINDS = result_kinds()


def test_the_kinds_of_results_are_found() -> None:
    wanted = {
        "Report", "ExperimentResult", "FitResult", "Prediction", "LinkInspection",
        "TestErrorPrediction", "BayesLimits", "ScalingLaw",
    }  # fmt: skip
    assert wanted <= KINDS.keys(), KINDS


@pytest.mark.parametrize("name", KINDS)
def test_every_kind_of_result_is_shown(name: str) -> None:
    assert issubclass(KINDS[name], ShownInNotebooks), name


class Checker(HTMLParser):
    """Refuses elements that are not closed in their order."""

    VOID = ("meta", "link", "br", "img", "hr", "input", "wbr")

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.text = ""
        self.tags: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open, tag
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def parsed(result: Any) -> Checker:
    checker = Checker()
    checker.feed(result._repr_html_())
    checker.close()
    assert not checker.open
    assert "table" in checker.tags
    return checker


def test_a_prediction() -> None:
    found = predict("cos2z", dim=64, samples=1024, steps=3)
    text = parsed(found).text
    assert f"{found.run_mean[2]:.5g}" in text
    assert f"{found.run_mean[3]:.5g}" in text


def test_an_inspection() -> None:
    found = inspect_link("he2")
    assert found.information.alpha_c is not None
    assert f"{found.information.alpha_c:.5g}" in parsed(found).text


def test_an_experiment() -> None:
    config = ExperimentConfig("cos2z", dim=16, samples=128, steps=2, neurons=4, readout_neurons=8)
    found = mimverify.run_experiment(config)
    text = parsed(found).text
    assert f"{found.test_error:.5g}" in text
    assert f"{found.alignment[2]:.5g}" in text


def test_a_report_escapes_names() -> None:
    """Whatever a trainer is called, or says, is text."""
    report = Report(
        TrialSettings.of(), [TrainerReport("<script>alert(1)</script>&", problem="<i>")]
    )
    checker = parsed(report)
    assert "script" not in checker.tags
    assert "<script>alert(1)</script>&" in checker.text


class Odd(ShownInNotebooks):
    """A record with markup everywhere."""

    def to_json(self) -> dict[str, Any]:
        return {
            "<b>": "<img src=x>", "rows": [{"<u>": "<s>", "n": k} for k in range(30)],
            "series": [1.0, float("nan"), 3.0], "none": None, "empty": [],
            "deep": {"x": {"y": [1]}}, "matrix": [[1.0, 2.0], [3.0, 4.0]],
            "words": ["a", "b"], "yes": True,
        }  # fmt: skip


def test_a_record_of_any_shape() -> None:
    checker = parsed(Odd())
    assert not {"b", "img", "u", "s"} & checker.tags
    for text in ("<b>", "<img src=x>", "<u>", "<s>", "deep.x.y", "a; b", "2 entries", "yes"):
        assert text in checker.text, text
    assert "18 more rows are below" in checker.text
    assert "none" not in checker.text
    assert len(re.findall(r"<table>", Odd()._repr_html_())) == 6


def test_lists_of_one_length_stand_side_by_side() -> None:
    tables = tables_of("x", {"a": [1.0, 2.0], "b": [3.0, None], "c": [1.0, 2.0, 3.0]})
    assert [[head.label for head in table.heads] for table in tables] == [
        ["entry", "a", "b"],
        ["entry", "c"],
    ]
    assert [cell.text for cell in tables[0].cells[1]] == ["1", "2", ""]
