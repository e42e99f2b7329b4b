"""The general kind of trial: what runs, and what its key depends on."""

from __future__ import annotations

import numpy as np
import pytest

from mimverify.experiment import ExperimentConfig, run_experiment
from mimverify.studies.trials import experiment
from mimverify.support.errors import InputError
from mimverify.sweeps import Sweep
from mimverify.theory import predict_trajectory

SMALL = {
    "link": "cos2z", "dim": 32, "ratio": 8, "steps": 3, "neurons": 8, "readout_neurons": 16,
    "test_samples": 200,
}  # fmt: skip


def results(**given: object) -> dict[str, object]:
    return dict(experiment.run(experiment.complete({**SMALL, **given})))


def test_gradient_descent_is_the_experiment() -> None:
    found = results(seed=3)
    wanted = run_experiment(
        ExperimentConfig(
            "cos2z", dim=32, samples=256, steps=3, neurons=8, readout_neurons=16, test_samples=200,
            seed=3,
        )
    )  # fmt: skip
    assert found["trajectory"] == wanted.alignment
    assert found["alignment"] == wanted.alignment[-1]
    assert found["test_error"] == wanted.test_error
    assert found["test_error_mean"] == wanted.baselines["mean"]
    assert found["ratio"] == 8


def test_a_prediction_is_the_theory_engines() -> None:
    found = results(algorithm="prediction", steps=2)
    trajectory = predict_trajectory("cos2z", dim=32, samples=256, steps=2)
    assert found["alignment"] == trajectory.run_mean(4)[-1]
    assert float(str(found["alignment_low"])) < float(str(found["alignment"]))


def test_steps_approach_the_eigenvectors() -> None:
    """E3: power iteration of the same H from a start of many neurons ends where Lanczos does."""
    spectral = results(algorithm="spectral", ratio=30, dtype="float64")
    steps = results(ratio=30, steps=60, init_norm=1e-4)
    assert steps["alignment"] == pytest.approx(spectral["alignment"], abs=1e-3)


def test_fresh_samples_agree_with_the_same_rows_for_one_step_in_law() -> None:
    reused = [results(steps=1, seed=seed)["alignment"] for seed in range(40)]
    fresh = [
        results(steps=1, seed=seed, algorithm="fresh-samples")["alignment"] for seed in range(40)
    ]
    difference = np.mean(np.array(reused, float)) - np.mean(np.array(fresh, float))
    error = np.hypot(np.std(np.array(reused, float)), np.std(np.array(fresh, float))) / np.sqrt(40)
    assert abs(difference) < 5 * error
    assert not set(reused) & set(fresh)


def test_fresh_samples_have_a_step_for_each_data_set() -> None:
    trajectory = results(steps=3, algorithm="fresh-samples")["trajectory"]
    assert isinstance(trajectory, list)
    assert len(trajectory) == 4
    assert len(set(trajectory)) == 4
    assert results(steps=0, algorithm="fresh-samples")["trajectory"] == trajectory[:1]


def test_one_trial_has_one_spelling() -> None:
    def keys(**given: object) -> list[str]:
        return [trial.key for trial in Sweep("s", fixed=given).trials()]

    same = keys(link="cos2z", dim=64, ratio=4)
    assert keys(link="Cos2z", dim=64, samples=256) == same
    assert keys(link="cos2z", dim=64, samples=256, loss="Huber", noise=0.0) == same
    assert keys(link="cos2z", dim=64, samples=257) != same
    assert keys(link="cos2z", dim=64, samples=256, algorithm="spectral") != same


def test_the_source_of_a_users_link_is_in_the_key(user_module) -> None:
    module = user_module("def bump(z):\n    return z[:, 0] ** 2\nbump.rank = 1\n")
    completed = experiment.complete({**SMALL, "link": f"{module}:bump"})
    assert completed["link"] == f"{module}:bump"
    assert len(completed["sources"][module]) == 16
    assert 0 <= float(str(experiment.run(completed)["alignment"])) <= 1
    assert "sources" not in experiment.complete({**SMALL, "link": "quadratic:1,0.4"})


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"ratio": -1}, "ratio=-1"),
        ({"dim": "many"}, "dim='many'"),
        ({"dim": 0}, "dim=0"),
        ({"stepz": 3}, "did you mean 'steps'"),
        ({"algorithm": "spectral", "design": "lazy"}, "design='stored'"),
        ({"threads": 2}, "threads"),
    ],
)
def test_what_is_no_parameter_is_refused(given: dict[str, object], expected: str) -> None:
    with pytest.raises(InputError, match=expected):
        experiment.complete({**SMALL, **given})


def test_cost_and_memory_grow_with_the_problem() -> None:
    small, large = (experiment.complete({**SMALL, "dim": dim}) for dim in (32, 320))
    assert experiment.cost(large) > 10 * experiment.cost(small)
    assert experiment.memory(large) > experiment.memory(small) > 0
