"""Kinds of trials: pure functions of their parameters, and what is derived in them."""

from __future__ import annotations

import importlib
import json
import math
import re

import numpy as np
import pytest

from mimverify.experiment import DESIGNS, stages_for
from mimverify.problems import DATA_DEFINITION
from mimverify.studies.trials import balanced_run, predicted_half, training
from mimverify.studies.trials.predicted_half import start_shift
from mimverify.support.errors import InputError
from mimverify.sweeps import Sweep, get_trial_kind, trial_kinds

SMALL = {"link": "he2", "loss": "huber", "dim": 24, "samples": 240, "steps": 3, "neurons": 8}
OURS = (
    "balanced-run", "predicted-alignment", "predicted-error", "predicted-half",
    "predicted-kurtosis-shift", "predicted-level", "predicted-span", "training",
)  # fmt: skip


def test_kinds_are_found_and_refuse_what_they_do_not_know() -> None:
    assert set(OURS) <= set(trial_kinds())
    for name in OURS:
        assert re.fullmatch(r"[1-9]\d*(\.[1-9]\d*)?", get_trial_kind(name).version)
        module = importlib.import_module(f"mimverify.studies.trials.{name.replace('-', '_')}")
        needed = {"link": "he2", "dim": 24, "samples": 240, "steps": 3, "level": 0.5}
        given = {key: needed[key] for key in module._NEEDED}
        assert module.complete(given).items() >= given.items()
        with pytest.raises(InputError, match=r"stepz.*known are"):
            module.complete({**given, "stepz": 3})
        with pytest.raises(InputError, match="is missing"):
            module.complete({})


@pytest.mark.parametrize("name", ["balanced-run", "experiment", "training"])
def test_the_definition_of_data_is_in_the_keys_of_what_draws_them(name: str) -> None:
    """A store from before seeds drew other numbers does not mix with those after."""
    assert get_trial_kind(name).version.partition(".")[2] == str(DATA_DEFINITION)


ONE_PROCESS = [design for design in DESIGNS if not stages_for(design).distributed]


@pytest.mark.parametrize("design", ONE_PROCESS)
def test_training_is_a_function_of_its_parameters(design: str) -> None:
    parameters = {**SMALL, "design": design, "errors_after": [0, 3], "seed": 2}
    first, again = (training.run(dict(parameters)) for _ in range(2))
    assert first == again
    assert json.loads(json.dumps(first, allow_nan=False)) == first
    assert len(first["alignment"]) == len(first["span_recovery"]) == 4
    assert first["test_error"][1] < first["test_error"][0]
    assert training.run({**parameters, "seed": 3}) != first


def test_designs_of_several_processes_are_refused() -> None:
    with pytest.raises(InputError, match="design='sharded': a trial is one process"):
        training.complete({**SMALL, "design": "sharded"})
    with pytest.raises(InputError, match="did you mean 'streamed'"):
        training.complete({**SMALL, "design": "steamed"})


def test_spelling_does_not_change_the_seed() -> None:
    """4.0 is 4, a tuple is a list, and a default may be given."""
    sweep = Sweep("a", kind="training", fixed={**SMALL, "noise": 0.0, "errors_after": ()})
    (trial,) = sweep.trials()
    assert training.run(trial.parameters) == training.run(dict(SMALL))


def test_the_designs_agree_in_law() -> None:
    """Means of the log-odds of 60 runs, within five standard errors of their difference."""
    values = np.array(
        [
            [training.run({**SMALL, "design": design, "seed": k})["alignment"][-1]
             for k in range(60)]
            for design in ("stored", "lazy")
        ]
    )  # fmt: skip
    odds = np.log(values / (1 - values))
    error = math.hypot(*(odds.std(axis=1, ddof=1) / math.sqrt(60)))
    assert abs(odds[0].mean() - odds[1].mean()) < 5 * error


def test_the_share_of_a_balanced_start() -> None:
    """On one H, mean over 40,000 starts against the first-order formula, which neglects the
    square of the variances, some .12² here."""
    rng = np.random.default_rng(4)
    d, steps = 60, 2
    X = rng.standard_normal((8 * d, d))
    T = np.clip(X[:, 0] ** 2 - 1, -1, 1)
    p = np.linalg.matrix_power((X * T[:, None]).T @ X / len(X), steps)
    powers = [np.linalg.matrix_power(p, j) for j in (1, 2, 3, 4)]
    signal = np.array([each[0, 0] for each in powers])
    expected = start_shift(signal, np.array([np.trace(powers[1]), np.trace(powers[3])]), d - 1)

    w = rng.standard_normal((40_000, d))
    w[:, 0] = 0
    w *= math.sqrt(1 - 1 / d) / np.linalg.norm(w, axis=1)[:, None]
    u = np.zeros(d)
    u[0] = 1 / math.sqrt(d)
    pair = [(u + sign * w) @ p for sign in (1, -1)]
    s = sum(each[:, 0] ** 2 for each in pair)
    b = sum((each[:, 1:] ** 2).sum(axis=1) for each in pair)
    odds = np.log(s / b)
    found = odds.mean() - math.log(s.mean() / b.mean())
    assert abs(expected) > 0.01
    assert abs(found - expected) < 5 * odds.std() / 200 + 0.25 * abs(expected)


def test_the_predicted_n_half_tends_to_d1s() -> None:
    found = {
        dim: predicted_half.run({"link": "cos2z", "dim": dim, "steps": 2}) for dim in (100, 10_000)
    }
    gaps = {dim: abs(each["log_samples"] - math.log(each["limit"])) for dim, each in found.items()}
    assert gaps[10_000] < 0.1 * gaps[100]
    assert all(0 < each["error"] < 0.01 for each in found.values())


def test_a_balanced_run_knows_its_alignment() -> None:
    found = balanced_run.run({"link": "he2", "dim": 50, "samples": 1500, "steps": 2})
    assert found["alignment"] == pytest.approx(1 / (1 + math.exp(-found["log_odds"])))


def test_no_n_half_where_nothing_is_learned() -> None:
    with pytest.raises(InputError, match="no n reaches"):
        predicted_half.run({"link": "he3", "dim": 50, "steps": 2})
