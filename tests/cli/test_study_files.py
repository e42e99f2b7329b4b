"""Where `mimverify study` has neither page nor figure to write, and what it says then.

What it writes of a complete study: tests/studies/test_named_studies.py.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from console_script import Command, command

pytest.importorskip("matplotlib", reason="an extra")


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Command:
    return command(capsys)


def test_a_study_that_is_not_complete_draws_nothing(run: Command, tmp_path: Path) -> None:
    page = tmp_path / "a.html"
    code, out, err = run(
        "study", "inputs", "--store", str(tmp_path / "new.sqlite"), "--first", "1", "-n", "1",
        "--engine", "processes", "-q", "--html", str(page),
    )  # fmt: skip
    assert code == 0
    assert "missing" in out
    assert "Not drawn" in err
    assert not page.exists()


@pytest.mark.parametrize("option", ["--html", "--figure"])
def test_a_sweep_has_no_page(run: Command, tmp_path: Path, option: str) -> None:
    sweep = tmp_path / "sweep.toml"
    sweep.write_text('name = "a"\nfixed = { link = "he2", dim = 16, samples = 64 }\n')
    code, _, err = run("study", str(sweep), option, str(tmp_path / "a.svg"))
    assert code == 2
    assert "named study" in err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("stepz",), "steps"),
        (("steps", "--scale", "smal"), "small"),
        (("steps", "--figure", "a.gif"), ".svg"),
        (("steps", "--figure", "no/such/a.svg"), "no/such"),
    ],
)
def test_wrong_words(
    run: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    code, _, err = run("study", *words)
    assert code == 2
    assert said in err
    assert not list(tmp_path.iterdir())
