"""Tests of `mimverify limits`: output, JSON, figure, exit codes, wrong input."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from console_script import Command, command
from mimverify.theory import bayes_limits
from mimverify.theory.limits.limits_figure import draw_limits


@pytest.fixture(autouse=True)
def _surroundings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "140")


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Command:
    return command(capsys)


def test_the_record_has_the_promised_fields(run: Any) -> None:
    result = run(
        "limits", "cos2z", "--ratio", "1.2", "--ratio", "1.7", "--ratio", "2", "--json", "-"
    )
    assert result.code == 0, result.err
    record = json.loads(result.out)
    assert record["alpha_it"] == pytest.approx(1, abs=1e-8)
    assert record["alpha_alg"] > record["alpha_c"] > record["alpha_it"]
    for name in ("alpha_it", "alpha_alg", "alpha_c"):
        assert 0 <= record[f"{name}_error"] < 1e-4
    below, between, above = record["bayes"]
    assert [point["ratio"] for point in record["bayes"]] == [1.2, 1.7, 2]
    assert (below["alignment"], below["alignment_it"]) == (0, 1)
    # Var cos 2z; and from α_IT on nothing is left of it.
    assert below["label_error"] == pytest.approx((1 + math.exp(-8)) / 2 - math.exp(-4), abs=1e-9)
    assert below["label_error_it"] == 0
    assert 0.01 < between["alignment"] < 0.24
    assert between["label_error"] < below["label_error"]
    assert (above["alignment"], above["label_error"]) == (1, 0)
    for point in record["bayes"]:
        for name in ("alignment", "alignment_it", "label_error", "label_error_it"):
            assert 0 <= point[f"{name}_error"] < 1e-4
    (hard,) = record["hard_phase"]
    assert hard == [record["alpha_it"], record["alpha_alg"]]


def test_the_page_says_what_the_numbers_mean(run: Any) -> None:
    result = run("limits", "he2", "--noise", "0.5", "--ratio", "2")
    assert result.code == 0, result.err
    for word in ("α_IT", "α_c", "α_alg", "hard phase", "noisy labels", "error in y", "Rests on"):
        assert word in result.out


def test_the_same_arguments_give_the_same_bytes(run: Any) -> None:
    first, second = (run("limits", "he3", "--ratio", "1", "--json", "-").out for _ in range(2))
    assert first == second


def test_a_figure_beside_the_record(run: Any, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="an extra")
    result = run("limits", "cos2z", "--figure", "limits.png", "--json", "limits.json")
    assert result.code == 0, result.err
    assert (tmp_path / "limits.png").read_bytes().startswith(b"\x89PNG")
    assert json.loads((tmp_path / "limits.json").read_text(encoding="utf-8"))["link"] == "cos2z"
    assert "limits.png" in result.out


@pytest.mark.parametrize("link", ["he2", "he3", "cos2z"])
@pytest.mark.parametrize("width", [4.0, 8.0])
def test_no_name_in_a_figure_is_cut_off(link: str, width: float) -> None:
    """Everything that is written lies within the picture, whatever its width."""
    pytest.importorskip("matplotlib", reason="an extra")
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figures: list[Figure] = []
    original = FigureCanvasAgg.__init__

    def noticed(self: FigureCanvasAgg, figure: Figure) -> None:
        figures.append(figure)
        original(self, figure)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(FigureCanvasAgg, "__init__", noticed)
        draw_limits(bayes_limits(link, noise=0.3 if link == "cos2z" else 0.0), width=width)
    figure = figures[0]
    figure.canvas.draw()  # after saving, at the resolution of a screen
    box = figure.bbox
    (axes,) = figure.axes
    (legend,) = figure.legends
    written = [axes.title, axes.xaxis.label, axes.yaxis.label, *axes.texts, *legend.get_texts()]
    assert len(axes.texts) >= 1
    for text in written:
        extent = text.get_window_extent()
        assert extent.x0 >= box.x0 - 1, text
        assert extent.x1 <= box.x1 + 1, text
        assert box.y0 - 1 <= extent.y0 < extent.y1 <= box.y1 + 1, text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["cos3z"], "link='cos3z'"),
        (["quadratic:1,1,1,1"], "rank=4"),
        (["cos2z", "--noise", "-1"], "noise=-1"),
        (["cos2z", "--ratio", "-1"], "ratio=-1"),
        (["cos2z", "--ratio", "0"], "ratio=0"),
        (["z1z2", "--ratio", "1", "--ratio", "0"], "ratio=0"),
        (["cos2z", "--figure", "picture.bmp"], "expected a name that ends in"),
        (["cos2z", "--json", "one.png", "--figure", "one.png"], "both name"),
    ],
)
def test_limits_refuses(run: Any, arguments: list[str], message: str) -> None:
    result = run("limits", *arguments)
    assert result.code == 2
    assert message in result.err
    assert len(result.err.splitlines()) == 1
    assert result.out == ""
