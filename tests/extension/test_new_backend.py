"""A backend, a contender, a library, each by one new file: everywhere where there are others."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable

import numpy as np

from mimverify.experiment import ExperimentConfig, run_experiment

Extended = Callable[..., "subprocess.CompletedProcess[str]"]


def test_its_trainer_is_tried(extended: Extended) -> None:
    done = extended(
        "-m", "mimverify", "check", "plain_clone", "absent_clone", "-n", "1",
        "--claim", "antisymmetry", code=2,
    )  # fmt: skip
    assert "plain_clone: 1 passed" in done.stdout
    # The other one is there too, and says what it needs.
    needed = "trainer='absent_clone': needs no_such_library (pip install 'mimverify[absent]')"
    assert needed in " ".join(done.stderr.split())


def test_it_trains(extended: Extended) -> None:
    small = {"dim": 16, "samples": 512, "neurons": 8}
    options = [f"--{name}={value}" for name, value in small.items()]
    command = ("-m", "mimverify", "train", "cos2z", "--backend")
    run = json.loads(extended(*command, "plain_clone", *options, "--json", "-").stdout)
    expected = run_experiment(ExperimentConfig("cos2z", **small)).to_json()  # type: ignore[arg-type]
    assert run["configuration"]["backend"] == run["configuration"]["pass"] == "plain_clone"
    assert run["configuration"]["versions"] == expected["configuration"]["versions"]
    assert np.isclose(run["test_error"], expected["test_error"], rtol=1e-6)
    refused = extended(*command, "absent_clone", code=2)
    assert "backend='absent_clone': needs no_such_library" in " ".join(refused.stderr.split())


def test_its_step_is_timed_and_compared_with_a_new_contender(extended: Extended) -> None:
    done = extended(
        "-m", "mimverify", "bench", "-d", "16", "-m", "4", "--ratio", "4", "--rounds", "1",
        "--start", "general", "--threads", "1", "--json", "-", "--contender", "plain_clone",
        "--contender", "numpy einsum", "--contender", "absent_clone",
    )  # fmt: skip
    record = json.loads(done.stdout)
    (case,) = record["cases"]
    assert case["fastest"] == "plain_clone"
    assert list(case["contenders"]) == ["plain_clone", "numpy einsum", "absent_clone"]
    assert case["contenders"]["numpy einsum"]["to_fastest"]["median"] > 0
    assert record["missing"] == {
        "absent_clone": "needs no_such_library (pip install 'mimverify[absent]')"
    }


NAMED_EVERYWHERE = """
import pickle
import numpy as np
import mimverify
from mimverify.backends import BACKENDS, BACKENDS_WITH_DEVICES, REQUIRED_BACKENDS
from mimverify.performance.competitors import COMPETITORS, Problem, fastest_backend, make_task
from mimverify.trial import REFERENCE_TRAINERS, exact_step, step_envelope

NEW = ["absent_clone", "plain_clone"]
assert set(NEW) < set(BACKENDS) == set(REFERENCE_TRAINERS), BACKENDS
assert not set(NEW) & set(REQUIRED_BACKENDS), REQUIRED_BACKENDS
assert list(BACKENDS) == [*REQUIRED_BACKENDS, *sorted(set(BACKENDS) - set(REQUIRED_BACKENDS))]
assert "absent_clone" in BACKENDS_WITH_DEVICES
assert "numpy einsum" in COMPETITORS

trainer = mimverify.plain_clone_trainer(steps=1)
assert (trainer.backend, trainer.steps) == ("plain_clone", 1)
again = pickle.loads(pickle.dumps(mimverify.plain_clone_trainer))
assert again is mimverify.plain_clone_trainer

task = make_task(Problem(24, 6, 200, "float64", seed=3))
arrays = task.W, task.a, task.b, task.X, task.y
options = dict(eta=task.eta, beta=task.beta, activation=task.activation, loss=task.loss)
exact, bound = exact_step(*arrays, **options), step_envelope(*arrays, **options, dtype="float64")
for name in ("plain_clone", "numpy einsum"):
    assert (np.abs(COMPETITORS[name].prepare(task).call() - exact) <= bound).all(), name

for name in set(COMPETITORS) - {"plain_clone", "absent_clone"}:  # to save the others' time
    del COMPETITORS[name]
assert fastest_backend(16, 4, 64, rounds=1, threads=1) == "plain_clone"
"""


def test_python_names_it_as_the_others(extended: Extended) -> None:
    extended("-c", NAMED_EVERYWHERE)


SETTINGS_AND_THREADS = """
import decimal
import numpy as np
from mimverify.handles import InProcessTrainer
from mimverify.handles.methods import SIGNATURES
from mimverify.support.threads import thread_environment

assert thread_environment(3)["DECIMAL_THREADS"] == "3"

class Trainer:
    def __init__(self):
        decimal.getcontext().prec = 9

    def step(self, W, *arrays, **options):
        assert decimal.getcontext().prec == 9
        return W

trainer = InProcessTrainer(Trainer)
assert decimal.getcontext().prec == 28
options = {"eta": 0.5, "beta": 0.1, "activation": "square", "loss": "squared"}
trainer.call("step", {name: np.ones((2, 2)) for name in SIGNATURES["step"].arrays}, options)
assert decimal.getcontext().prec == 28
"""


def test_a_library_s_settings_are_the_trainer_s_own(extended: Extended) -> None:
    extended("-c", SETTINGS_AND_THREADS)


def test_help_names_it(extended: Extended) -> None:
    helps = {
        verb: " ".join(extended("-m", "mimverify", verb, "--help").stdout.split())
        for verb in ("check", "train", "bench")
    }
    assert "plain_clone (pip install 'mimverify[clone]')" in helps["check"]
    assert "|plain_clone" in helps["train"]
    assert "numpy einsum" in helps["bench"]
