"""Green means verified: every verb that can end with nothing verified has a run that exits with 3.

A verb whose `EXIT_CODES` give 3 a meaning needs such a run here.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from mimverify.cli.app import app
from mimverify.cli.finding import module_of, verb_names
from mimverify.support.exit_status import NOTHING_VERIFIED, worst
from mimverify.theory.comparison import Comparison

TRAINERS = """
from mimverify import LayerwiseTrainer
from mimverify.performance.competitors import Competitor

class BlackBox:
    def fit(self, X, y):
        self.mean = y.mean()
    def predict(self, X):
        return 0 * X[:, 0] + self.mean

def prints(task):
    raise AssertionError("not installed, so never prepared")

absent = Competitor("absent", "needs more", prints, modules=("no_such_module",))
"""

#: verb → arguments, in which {mine} is the module of `TRAINERS`.
EMPTY: dict[str, Sequence[str]] = {
    "check": ("{mine}:BlackBox", "--claim", "gradient-step", "-n", "1"),
    # No mutant reports its operations.
    "power": ("--mutant", "Momentum", "--claim", "arithmetic"),
    # One trial exceeds no level, whatever comes of it.
    "calibrate": ("numpy", "--claim", "collapse", "--seeds", "1", "--level", "0.01"),
    "compare": ("he2", "--dim", "16", "--ratio", "4"),
    "scaling": ("he2", "-T", "1", "-d", "1000000000000000"),
    "history": ("results",),
    "study": ("sweep.toml", "--store", "store.sqlite", "-q"),
    "diagnose": ("X.npy", "y.npy", "--permutations", "19"),
    "bench": ("--contender", "{mine}:absent", "-d", "8", "-m", "4", "--rounds", "1"),
}


def test_every_verb_that_has_a_3_has_a_run_here() -> None:
    having = {verb for verb in verb_names() if module_of(verb).EXIT_CODES.unverified}
    assert set(EMPTY) | {"replay"} >= having  # replay's are in tests/trial/test_replay.py


@pytest.mark.parametrize("verb", sorted(EMPTY))
def test_a_run_that_verifies_nothing_is_not_green(
    verb: str,
    tmp_path: Path,
    user_module: Callable[[str], str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    mine = user_module(TRAINERS)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=":")
    monkeypatch.chdir(tmp_path)
    if verb == "history":
        pytest.importorskip("asv")
        _write_failed_results(tmp_path / "results")
    if verb == "compare":  # no link is known whose comparison is empty
        monkeypatch.setattr(
            "mimverify.theory.comparison.compare", lambda *_, **__: iter([_empty()])
        )
    if verb == "study":  # other coordinators have all trials under way
        Path("sweep.toml").write_text('name = "none"\n[fixed]\nlink = "he2"\n')
        monkeypatch.setattr("mimverify.sweeps.run_sweeps", lambda *_, **__: [], raising=False)
    if verb == "diagnose":  # labels that have nothing to do with the inputs
        rng = np.random.default_rng(0)
        np.save("X.npy", rng.standard_normal((200, 5)))
        np.save("y.npy", rng.standard_normal(200))
    words = [word.format(mine=mine) for word in EMPTY[verb]]
    code = app.main(args=[verb, *words], prog_name="mimverify", standalone_mode=False)
    assert code == NOTHING_VERIFIED, capsys.readouterr().out


def _empty() -> Comparison:
    nothing = np.full(2, np.nan)
    return Comparison("he2", "huber", 16, 64, 3, False, nothing, nothing, nothing)


def _write_failed_results(folder: Path) -> None:
    """asv's results of one benchmark that failed at its only commit."""
    name = "first_layer.Step.time_step"
    described = {
        "name": name, "param_names": [], "params": [], "unit": "seconds", "type": "time",
        "version": "1", "code": "", "timeout": 60,
    }  # fmt: skip
    columns = ["result", "params", "version", "started_at", "duration"]
    result = {
        "commit_hash": "0a" * 20, "env_name": "env", "date": 1_700_000_000_000,
        "params": {"machine": "lab"}, "python": "3.11", "requirements": {}, "env_vars": {},
        "result_columns": columns, "results": {name: [[None], [], "1", 1000, 1.0]},
        "durations": {}, "version": 2,
    }  # fmt: skip
    (folder / "lab").mkdir(parents=True)
    (folder / "benchmarks.json").write_text(json.dumps({name: described, "version": 2}))
    (folder / "lab" / "machine.json").write_text(json.dumps({"machine": "lab", "version": 1}))
    (folder / "lab" / "0a0a0a0a-env.json").write_text(json.dumps(result))


@pytest.mark.parametrize(
    ("parts", "code"),
    [((), 3), ((0,), 0), ((0, 3), 3), ((3, 1, 0), 1), ((1, 2, 3, 0), 2), ((0, 0), 0), ((3, 3), 3)],
)
def test_of_several_codes_one_is_the_runs(parts: tuple[int, ...], code: int) -> None:
    assert worst(parts) == worst(reversed(parts)) == code
