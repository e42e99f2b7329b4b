"""Tests of `mimverify thresholds`: output, JSON, page, exit codes, wrong input."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from console_script import Command, command
from mimverify.network import LOSSES
from mimverify.problems import LINKS, Link, get_link
from mimverify.theory import LinkThresholds, LossThresholds, Threshold

Made = Callable[..., LinkThresholds]


@pytest.fixture(autouse=True)
def _surroundings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "140")


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Command:
    return command(capsys, "thresholds")


def _made_up(link: Link, **_: object) -> LinkThresholds:
    each = {name: LossThresholds(Threshold(0.7, 0.0), Threshold(0.8, 0.0)) for name in LOSSES}
    half, one = Threshold(0.5, 0.0), Threshold(float(link.rank), 0.0)
    return LinkThresholds(link, 0.0, half, one, half, replace(one, value=4.0), each)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> Callable[[Made], None]:
    """Lets the command find numbers that cost nothing."""
    return lambda made: monkeypatch.setattr("mimverify.theory.link_thresholds", made)


def test_numbers_of_one_link_and_why_others_are_missing(run: Command) -> None:
    result = run("he2", "--json", "-")
    assert result.code == 0, result.err
    record = json.loads(result.out)
    (link,) = record["links"]
    assert link["alpha_c"] == pytest.approx(0.5, abs=1e-8)
    assert list(link["losses"]) == list(LOSSES)
    assert link["losses"]["squared"]["alpha_gd"] is None
    assert "unbounded" in link["losses"]["squared"]["alpha_gd_reason"]
    assert link["losses"]["huber"]["gap"] == pytest.approx(1.4907, abs=1e-4)
    assert link["losses"]["huber"]["gap_error"] < 1e-6
    assert link["best_losses"] == ["pseudo-huber"]
    assert len(record["orders"]) > 10
    assert not any(row["violated"] for row in record["orders"])
    page = run("he2")
    assert page.code == 0
    for word in ("α_IT", "α_alg", "α_spectral", "1.491", "best", "violated: none"):
        assert word in page.out


def test_without_links_all_of_them(run: Command, quick: Callable[[Made], None]) -> None:
    quick(_made_up)
    result = run("--markdown", "how-near.md", "--json", "record.json")
    assert (result.code, result.out) == (0, "")
    record = json.loads(Path("record.json").read_text(encoding="utf-8"))
    assert [row["link"] for row in record["links"]] == [get_link(name).name for name in LINKS]
    page = Path("how-near.md").read_text(encoding="utf-8")
    assert all(f"\n## {get_link(name).name}\n" in page for name in LINKS)
    assert run("--markdown", "-").out == page
    record_and_page = run("he2", "--json", "record.json", "--markdown", "-")
    assert record_and_page.out.startswith("# How near is near\n")


def test_a_violated_theorem_is_a_failure(run: Command, quick: Callable[[Made], None]) -> None:
    quick(lambda link, **_: replace(_made_up(link), alpha_c=Threshold(0.75, 1e-3)))
    result = run("he2", "cos2z")
    assert result.code == 1
    assert "α_c ≤ α_spectral (he2, huber)" in " ".join(result.out.split())
    page = run("he2", "--markdown", "-")
    assert page.code == 1
    assert "he2, squared; he2, l1; he2, huber" in page.out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["cos3z"], "link='cos3z'"),
        (["he2", "z1/z2"], "link='z1/z2'"),
        (["quadratic:1,1,1,1"], "rank=4"),
        (["he2", "--noise", "-1"], "noise=-1"),
        (["he2", "--json", "-", "--markdown", "-"], "expected a file for one of them"),
        (["he2", "--json", "x", "--markdown", "x"], "both name"),
        (["he2", "--markdown", "missing/x"], "missing"),
    ],
)
def test_thresholds_refuses(run: Command, arguments: list[str], message: str) -> None:
    result = run(*arguments)
    assert result.code == 2
    assert message in result.err
    assert len(result.err.splitlines()) == 1
    assert result.out == ""
