"""`mimverify study`: a sweep from a file of TOML, at the command line."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import mimverify
from mimverify.cli.app import main
from processes import is_running, wait_until
from sweep_process import HERE, children

SWEEP = """
name = "squares"
kind = "sweep_trials:{kind}"
seeds = {seeds}
[axes]
x = [1, 2, 3]
"""


@pytest.fixture
def sweep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)

    def write(kind: str = "square", seeds: int = 2) -> str:
        Path("sweep.toml").write_text(SWEEP.format(kind=kind, seeds=seeds))
        return "sweep.toml"

    return write


def run(*arguments: str, capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as ended:
        main(["study", *arguments])
    code = ended.value.code
    assert isinstance(code, int)
    out, err = capsys.readouterr()
    return code, out, err


def test_a_study_is_run_once(sweep, capsys) -> None:
    arguments = (sweep(), "--engine", "processes", "-n", "2", "--json", "found.json")
    code, out, err = run(*arguments, "--export", "trials.csv", capsys=capsys)
    assert code == 0
    assert "6 trials done; 6 of them in this run" in out
    assert "of 6 trials" in err
    found = json.loads(Path("found.json").read_text())["sweeps"][0]
    assert [trial["result"]["square"] for trial in found["trials"]] == [1, 4, 9] * 2
    assert len(Path("trials.csv").read_text().splitlines()) == 7
    code, out, err = run(*arguments, "-q", capsys=capsys)
    assert (code, err) == (0, "")
    assert "6 trials done; none anew" in out
    assert Path(".mimverify/studies.sqlite").exists()


def test_a_dry_run_runs_nothing(sweep, capsys) -> None:
    code, out, _ = run(sweep(), "--dry-run", capsys=capsys)
    assert code == 0
    assert "Trials: 6; done 0, failed 0, missing 6." in out
    assert "mimverify study sweep.toml --first" in out
    assert not Path(".mimverify").exists()
    run(sweep(), "--engine", "processes", "--first", "2", capsys=capsys)
    _, out, _ = run(sweep(), "--dry-run", capsys=capsys)
    assert "done 2, failed 0, missing 4" in out
    assert "by 2 trials in the store" in out


def test_a_failed_trial_is_named(sweep, capsys) -> None:
    code, out, _ = run(sweep("fails", 1), "--engine", "processes", capsys=capsys)
    assert code == 1
    assert "Failed: x 2, seed 0: ValueError: no twos" in out
    assert "2 trials done, 1 failed" in out
    assert "--retry-failed" in out


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], "NAME is missing"),
        (["no-such-study"], "study='no-such-study'"),
        (["no/such.toml"], "no/such.toml"),
        (["."], "study='.'"),
        (["/dev/null"], "/dev/null"),
        (["sweep.toml", "--scale", "huge"], "scale='huge'"),
        (["sweep.toml", "--engine", "spark"], "engine='spark'"),
        (["sweep.toml", "--export", "x.xlsx"], ".csv or .parquet"),
        (["sweep.toml", "--store", "sweep.toml"], "is no store"),
        (["sweep.toml", "--store", "."], "is no regular file"),
        (["sweep.toml", "--scheduler", "tcp://127.0.0.1:1"], "no scheduler answers"),
        (["sweep.toml", "--scheduler", "nowhere"], "no scheduler answers"),
        (
            ["sweep.toml", "--scheduler", "tcp://127.0.0.1:1", "--engine", "processes"],
            "expected one of them",
        ),
    ],
)
def test_wrong_input_is_refused(sweep, capsys, monkeypatch, arguments, expected) -> None:
    from mimverify.sweeps import dask_pool

    monkeypatch.setattr(dask_pool, "_PATIENCE", 0.5)
    sweep()
    code, out, err = run(*arguments, capsys=capsys)
    assert (code, out) == (2, "")
    assert expected in err


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="children are found in /proc")
@pytest.mark.parametrize(
    ("number", "engine"),
    [
        (signal.SIGINT, "processes"),
        (signal.SIGTERM, "processes"),
        pytest.param(signal.SIGINT, "dask", marks=pytest.mark.slow),
        pytest.param(signal.SIGTERM, "dask", marks=pytest.mark.slow),
    ],
)
def test_a_signal_ends_it_in_the_middle_of_products(sweep, number: int, engine: str) -> None:
    """Also where workers are outside Python for long; a terminal signals all processes."""
    path = [str(HERE), str(Path(mimverify.__file__).parents[1])]
    process = subprocess.Popen(
        [sys.executable, "-m", "mimverify", "study", sweep("multiplies"), "--engine", engine,
         "-n", "2", "--retry-failed"],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path)}, start_new_session=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    busy = wait_until(lambda: len(list(Path().glob("busy-*"))) == 2, 60)
    family = children(process.pid)
    if number == signal.SIGINT:
        os.killpg(process.pid, number)
    else:
        process.send_signal(number)
    began = time.monotonic()
    out, err = process.communicate(timeout=60)
    waited = time.monotonic() - began
    assert busy
    assert process.returncode == 128 + number
    assert out == ""
    assert err.splitlines() == [
        "Trials that have ended are in .mimverify/studies.sqlite. To go on: mimverify study "
        f"sweep.toml --workers 2 --engine {engine}",
        "",
        "Error: interrupted",
    ]
    assert waited < 30  # not for as long as the trials take
    assert wait_until(lambda: not any(map(is_running, family)), 10)
