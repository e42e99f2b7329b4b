"""Progress in notebooks and terminals, without either."""

from __future__ import annotations

import sys
import types
from typing import Any

import pytest

import mimverify
from mimverify.experiment import ExperimentConfig
from mimverify.pages import ProgressDisplay
from mimverify.pages.progress import in_notebook


class Handle:
    """What IPython's `display` returns: an output that can be replaced."""

    def __init__(self) -> None:
        self.shown: list[str] = []

    def update(self, html: str) -> None:
        self.shown.append(html)


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch) -> Handle:
    """A stand-in for IPython inside a kernel."""
    handle = Handle()
    shell = types.SimpleNamespace(kernel=object())
    package: Any = types.ModuleType("IPython")
    package.get_ipython = lambda: shell
    display: Any = types.ModuleType("IPython.display")
    display.HTML = str
    display.display = lambda first, display_id: handle
    monkeypatch.setitem(sys.modules, "IPython", package)
    monkeypatch.setitem(sys.modules, "IPython.display", display)
    return handle


def test_a_run_in_a_notebook(kernel: Handle) -> None:
    config = ExperimentConfig("cos2z", dim=16, samples=64, steps=2, neurons=4, readout_neurons=4)
    with ProgressDisplay() as show:
        mimverify.run_experiment(config, on_progress=show)
    lines = kernel.shown
    assert any("stage 1: steps, 2 of 2" in line for line in lines)
    assert lines[-1] == ""  # nothing is left behind


def test_a_trial_in_a_notebook(kernel: Handle) -> None:
    mimverify.check(mimverify.numpy_trainer, claims=("antisymmetry", "refit"), progress=True)
    text = "\n".join(kernel.shown)
    assert "refit, 0 of 2" in text
    assert "antisymmetry, 1 of 2" in text
    assert "claims, 2 of 2" in text


def test_a_trial_is_quiet_unless_asked(kernel: Handle) -> None:
    mimverify.check(mimverify.numpy_trainer, claims=("refit",))
    assert kernel.shown == []


def test_phases_are_escaped_and_few(kernel: Handle) -> None:
    with ProgressDisplay() as show:
        for k in range(1000):
            show("<b>phase</b>", k, 1000)
        show("<b>phase</b>", 1000, 1000)
    assert "&lt;b&gt;phase&lt;/b&gt;, 1000 of 1000" in kernel.shown[-2]
    assert len(kernel.shown) < 500  # a notebook keeps what it is sent


def test_elsewhere_there_is_no_notebook_and_nothing_is_shown(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delitem(sys.modules, "IPython", raising=False)
    assert not in_notebook()
    with ProgressDisplay() as show:
        show("phase", 1, 2)
    assert capsys.readouterr() == ("", "")


def test_a_terminal_has_a_bar(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delitem(sys.modules, "IPython", raising=False)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    with ProgressDisplay() as show:
        show("a phase", 1, 2)
    assert "a phase" in capsys.readouterr().err
