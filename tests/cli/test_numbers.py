"""Numbers that are none, or that no computation survives: refused by every option of every verb."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import numpy as np
import pytest

from mimverify.cli import main
from mimverify.cli.app import app
from mimverify.cli.finding import verb_names
from mimverify.cli.number_types import Count, Number
from mimverify.experiment import ExperimentConfig
from mimverify.fitting import FileFit
from mimverify.handles.isolated import SpawnedTrainer
from mimverify.performance.competitors import BenchmarkRun
from mimverify.support.errors import InputError
from mimverify.support.validation import (
    PARALLEL_LIMIT,
    SECONDS_LIMIT,
    STEP_LIMIT,
    integer,
    number,
    seconds,
    size,
)
from mimverify.theory import predict_trajectory
from mimverify.theory.comparison import compare
from mimverify.theory.steps import MOST_STEPS
from mimverify.training import LayerwiseTrainer
from mimverify.trial import TrialSettings

#: Inputs and labels.
DATA = (np.random.default_rng(0).standard_normal((40, 3)), np.arange(40.0) % 3)
#: Refused by integers and by numbers.
NEVER = (str(10**23), "1" * 5000, "1_0", "٣", " 5", "5 ", "", "1e30", "-1e400", "nan", "inf",
         "0x10", "-inf", "Infinity", "1,5", "½", "٣.5", "1e", "--", "1e-400")  # fmt: skip
#: Refused by integers alone.
NO_INTEGER = ("1.0", "1e3", ".5")


def options() -> list[tuple[str, click.Option]]:
    found = []
    for verb in verb_names():
        command = app.get_command(click.Context(app), verb)
        assert command is not None
        found += [(verb, option) for option in command.params if isinstance(option, click.Option)]
    return found


NUMERIC = [(verb, o) for verb, o in options() if isinstance(o.type, Count | Number)]


def test_every_number_has_a_range() -> None:
    for verb, option in options():
        if not isinstance(option.type, Count | Number):
            plain = (click.types.StringParamType, click.types.BoolParamType, click.Choice)
            assert isinstance(option.type, plain), (verb, option.opts)
            assert not isinstance(option.default, float), (verb, option.opts)
    assert len(NUMERIC) > 60


@pytest.mark.parametrize(("verb", "option"), [
    pytest.param(verb, option, id=f"{verb} {option.opts[-1]}") for verb, option in NUMERIC
])  # fmt: skip
def test_what_is_no_number_is_refused(verb: str, option: click.Option) -> None:
    command = app.get_command(click.Context(app), verb)
    assert command is not None
    arguments = ["x" for p in command.params if isinstance(p, click.Argument) and p.nargs == 1]
    arguments += ["--labels", "y"] if verb == "fit" else []
    flag = option.opts[-1]
    for value in NEVER + (NO_INTEGER if isinstance(option.type, Count) else ()):
        with pytest.raises(click.UsageError) as refused:
            command.make_context(verb, [*arguments, f"{flag}={value}"])
        message = refused.value.format_message()
        assert refused.value.exit_code == 2
        assert f"{flag}=" in message
        assert "\n" not in message
        assert "expected " in message
        assert len(message) < 200


def test_numbers_in_their_usual_spellings() -> None:
    for text, value in {"5": 5, "+5": 5, "-5": -5, "007": 7, "1" + 15 * "0": 10**15}.items():
        assert Count().convert(text, None, None) == value
    spelled = {"1": 1.0, "1.": 1.0, ".5": 0.5, "-1.5e-3": -0.0015, "1E15": 1e15, "0e9": 0.0}
    for text, expected in spelled.items():
        assert Number().convert(text, None, None) == expected


@pytest.mark.parametrize("arguments", [
    ("compare", "he2", "--ratio", "1e30"),
    ("compare", "he2", "--seeds", "1_0"),
    ("bench", "--ratio", str(10**23)),
    ("scaling", "he2", "-d", "٣"),
    ("check", "numpy", "--seed", " 5"),
    ("compare", "he2", "--ratio", "1e15"),
    ("limits", "he2", "--ratio", "1e30"),
    ("compare", "he2", "--dim", str(10**15)),
    ("bench", "--rounds", str(10**15)),
    ("train", "cos2z", "-T", str(10**15)),
    ("fit", "X.npy", "--labels", "y.npy", "-T", str(10**15)),
    ("compare", "he2", "-T", str(10**15)),
    ("scaling", "he2", "-T", str(10**15)),
    ("check", "numpy", "--threads", "1025"),
    ("check", "numpy", "--workers", "1025"),
])  # fmt: skip
def test_a_run_ends_with_one_line(
    capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    captured = capsys.readouterr()
    assert (ended.value.code, captured.out) == (2, "")
    assert f"{arguments[-2].lstrip('-')}" in captured.err
    assert len(captured.err.splitlines()) == 1


def test_labels_whose_squares_overflow_are_refused(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    inputs = np.random.default_rng(0).standard_normal((200, 8))
    np.save("X.npy", inputs)
    for scale, dtype, code in ((1e300, "float64", 2), (1e30, "float32", 2), (1e30, "float64", 0)):
        np.save("y.npy", scale * inputs[:, 0] ** 2)
        with pytest.raises(SystemExit) as ended:
            main(["fit", "X.npy", "--labels", "y.npy", "-T", "1", "-m", "4", "--dtype", dtype])
        captured = capsys.readouterr()
        assert ended.value.code == code
        if code:
            assert "squares" in captured.err
            assert len(captured.err.splitlines()) == 1


@pytest.mark.parametrize(("limit", "act"), [
    (STEP_LIMIT, lambda n: ExperimentConfig("cos2z", steps=n).resolved()),
    (STEP_LIMIT, lambda n: LayerwiseTrainer(neurons=2, steps=n).fit(*DATA)),
    (STEP_LIMIT, lambda n: FileFit("X.npy", "y.npy", steps=n)),
    (STEP_LIMIT, lambda n: predict_trajectory("cos2z", dim=8, samples=99, steps=n)),
    (PARALLEL_LIMIT, lambda n: FileFit("X.npy", "y.npy", threads=n)),
    (MOST_STEPS, lambda n: list(compare(["cos2z"], ["huber"], dim=8, steps=n))),
    (PARALLEL_LIMIT, lambda n: ExperimentConfig("cos2z", threads=n).resolved()),
    (PARALLEL_LIMIT, lambda n: TrialSettings(threads=n)),
    (PARALLEL_LIMIT, lambda n: TrialSettings(workers=n)),
    (PARALLEL_LIMIT, lambda n: BenchmarkRun(threads=n)),
    (PARALLEL_LIMIT, lambda n: SpawnedTrainer("no:where", time_limit=1.0, threads=n)),
    (SECONDS_LIMIT, lambda n: SpawnedTrainer("no:where", time_limit=n)),
    (SECONDS_LIMIT, lambda n: TrialSettings(time_limit=n)),
])  # fmt: skip
def test_python_refuses_what_the_command_line_refuses(
    limit: float, act: Callable[[Any], object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, array in zip("Xy", DATA, strict=True):
        np.save(f"{name}.npy", array)
    with pytest.raises(InputError, match=r"expected .* at most"):
        act(limit + 1)


def test_the_limits_themselves_are_taken() -> None:
    made = TrialSettings(threads=PARALLEL_LIMIT, workers=PARALLEL_LIMIT, time_limit=SECONDS_LIMIT)
    assert (made.threads, made.workers, made.time_limit) == (1024, 1024, 1e7)
    assert ExperimentConfig("cos2z", steps=STEP_LIMIT).resolved().steps == STEP_LIMIT
    for wrong in (0, -1.0, float("nan"), float("inf"), 1.1e7):
        with pytest.raises(InputError, match="expected a finite number above 0 and at most 1e"):
            seconds("time_limit", wrong)


def test_python_refuses_integers_that_cannot_be_printed() -> None:
    for check in (
        lambda n: integer("dim", n, minimum=1),
        lambda n: size("dim", n),
        lambda n: number("dim", n),
    ):
        for value in (10**400, -(10**400), 10**5000):
            with pytest.raises(InputError, match=r"^dim: has hundreds of digits"):
                check(value)
