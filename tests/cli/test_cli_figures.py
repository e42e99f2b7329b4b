"""`--figure` and `--html`: written where JSON would be, refused before the work."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import mimverify.pages.figures
from console_script import Command, command

TRAIN = ["train", "cos2z", "--dim", "24", "--samples", "200", "--steps", "3", "--neurons", "8",
         "--readout-neurons", "8", "--test-samples", "200"]  # fmt: skip
PREDICT = ["predict", "cos2z", "--dim", "64", "--samples", "600", "--steps", "3"]
CHECK = ["check", "numpy", "--claim", "antisymmetry", "-n", "1"]


@pytest.fixture(autouse=True)
def _surroundings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "300")


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Command:
    return command(capsys)


@pytest.mark.parametrize("arguments", [TRAIN, PREDICT, [*TRAIN, "--predict"]])
def test_figures_are_drawn(run: Any, arguments: list[str], tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="an extra")
    path = tmp_path / "figure.svg"
    done = run(*arguments, "--figure", str(path))
    assert done.code == 0, done.err
    assert path.read_bytes().startswith(b"<?xml")


@pytest.mark.parametrize("arguments", [TRAIN, PREDICT, CHECK])
def test_without_matplotlib_a_figure_is_refused_before_the_work(
    run: Any, arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mimverify.pages.figures, "has_matplotlib", lambda: False)
    path, record = tmp_path / "figure.svg", tmp_path / "record.json"
    done = run(*arguments, "--figure", str(path), "--json", str(record))
    assert done.code == 2
    assert "pip install 'mimverify[figures]'" in done.err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("arguments", [TRAIN, PREDICT, CHECK])
@pytest.mark.parametrize(
    ("name", "message"),
    [("figure.jpg", "expected a name that ends in"), ("none/figure.png", "none is not a folder")],
)
def test_a_wrong_name_is_refused_before_the_work(
    run: Any, arguments: list[str], name: str, message: str, tmp_path: Path
) -> None:
    done = run(
        *arguments, "--figure", str(tmp_path / name), "--json", str(tmp_path / "record.json")
    )
    assert done.code == 2
    assert message in done.err
    assert list(tmp_path.iterdir()) == []


def test_one_file_in_two_roles_is_refused(run: Any, tmp_path: Path) -> None:
    path = str(tmp_path / "a.svg")
    assert "both name" in run(*CHECK, "--html", path, "--figure", path).err
    assert "'-' for one of them" in run(*CHECK, "--html", "-", "--json", "-").err


def test_page_figure_and_json_are_written_together(run: Any, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="an extra")
    page, record, figure = (tmp_path / f"trial.{end}" for end in ("html", "json", "pdf"))
    files = ("--html", str(page), "--json", str(record), "--figure", str(figure))
    assert run(*CHECK, *files, "--seed", "3").code == 0
    assert figure.read_bytes().startswith(b"%PDF")
    text = page.read_text(encoding="utf-8")
    assert "mimverify check numpy --claim antisymmetry --workers 1 --seed 3</pre>" in text
    begin = text.index(">", text.index('id="data"')) + 1
    embedded = json.loads(text[begin : text.index("</script>", begin)])
    assert embedded == json.loads(record.read_text(encoding="utf-8"))


def test_a_trainer_that_cannot_be_tried_has_a_page(run: Any, tmp_path: Path) -> None:
    """And no figure, which says so; the exit code is the trial's."""
    pytest.importorskip("matplotlib", reason="an extra")
    page, figure = tmp_path / "trial.html", tmp_path / "trial.png"
    done = run("check", "nowhere_<b>:x", "--html", str(page), "--figure", str(figure))
    assert done.code == 2
    text = page.read_text(encoding="utf-8")
    assert "could not be tried" in text
    assert "nowhere_&lt;b&gt;" in text
    assert "nowhere_<b>" not in text
    assert not figure.exists()
    assert "not drawn: no decision was made" in done.err


def test_an_interrupted_trial_has_a_page(
    run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mimverify.trial.running.report import TrainerReport

    def interrupted(*_: object, **__: object) -> TrainerReport:
        raise KeyboardInterrupt(TrainerReport("numpy", unfinished=["antisymmetry"]))

    monkeypatch.setattr("mimverify.trial.running.runner.run_suite", interrupted)
    page = tmp_path / "trial.html"
    assert run(*CHECK, "--html", str(page)).code == 130
    text = page.read_text(encoding="utf-8")
    assert "The run was interrupted" in text
    assert "Not reached: antisymmetry" in text
