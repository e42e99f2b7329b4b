"""One run of the reference trainer: alignment and span recovery after every step, and the test
error of a second stage after some of them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from mimverify.backends import NumpyBackend
from mimverify.designs import StoredDesign
from mimverify.designs.distributed import Communicator
from mimverify.experiment import ExperimentConfig, ResolvedConfig, stages_for
from mimverify.experiment.progress import no_progress
from mimverify.experiment.reference_trainer import trainer_for
from mimverify.measure import Recorder, normalised_error, reduce_model
from mimverify.problems import DATA_DEFINITION, MultiIndexModel
from mimverify.studies.trials._one_process import check_one_process
from mimverify.studies.trials._parameters import PROBLEM, completed, derived_seed
from mimverify.support.arrays import FloatArray
from mimverify.support.strict_json import Json
from mimverify.training.stage2 import train_readout, unit_rows

#: Results follow what seeds draw, too.
VERSION = f"1.{DATA_DEFINITION}"

_NEEDED = ("link", "dim", "samples", "steps")
_DEFAULTS = {
    **PROBLEM,
    "neurons": 32,
    "dtype": "float64",
    "init_norm": 1e-2,
    "design": "stored",
    "inputs": "gaussian",
    "subspace": "haar",
    "errors_after": [],
    "readout_neurons": 256,
    "test_samples": 10_000,
}
_BIASES = 0x62696173


def complete(given: Mapping[str, object]) -> Json:
    """All parameters.

    - `link`, `loss`, `noise`, `dim`, `samples` (of each stage), `steps`, `neurons`, `dtype`,
      `init_norm`, `readout_neurons`, `test_samples`: as of `mimverify train`.
    - `design`: how the inputs of stage 1 are held, as of `mimverify train`.
    - `inputs`, `subspace`: of `MultiIndexModel`.
    - `errors_after`: numbers of steps after which stage 2 is trained, and its network tested.
    """
    found = completed(given, _NEEDED, _DEFAULTS)
    check_one_process(found["design"])
    return found


def memory(p: Json) -> int:
    """Bytes of a trial, roughly."""
    config = _config(p)
    stage2 = config.samples * (config.neurons + 8)
    needed = stages_for(config.design).memory(config).total
    return needed + bool(p["errors_after"]) * 8 * stage2


def cost(p: Json) -> float:
    """Seconds of one thread, very roughly: flops of stage 1 and numbers drawn."""
    config = _config(p)
    stage1 = stages_for(config.design).first_layer_work(config)
    rows = len(p["errors_after"]) * (config.samples + config.test_samples)
    stage2 = rows * config.readout_neurons**2
    return 0.003 + float(stage1 + stage2) / 1e10


def run(parameters: Json) -> Json:
    """`alignment`, `span_recovery` after 0 … T steps; `test_error` after those asked for."""
    p = complete(parameters)
    config = _config(p)
    model = config.model()
    stages = stages_for(config.design)(config, model, no_progress, Communicator())
    recorder = Recorder(model.subspace, keep_weights=bool(p["errors_after"]))
    design, y = stages.first_layer()
    trainer_for(config).fit_first_layer(design, y, observe=recorder)
    errors = [_test_error(model, recorder.weights[t], config) for t in p["errors_after"]]
    return {
        "alignment": recorder.alignment,
        "span_recovery": recorder.span_recovery,
        "test_error": errors,
    }


def _config(p: Json) -> ResolvedConfig:
    """The run of stage 1, with a seed derived from all parameters."""
    names = [name for name in p if name not in ("seed", "errors_after")]
    return ExperimentConfig(
        **{name: p[name] for name in names},
        seed=derived_seed("training", p), threads=1, baselines=False,
    ).resolved()  # fmt: skip


def _test_error(model: MultiIndexModel, W: FloatArray, config: ResolvedConfig) -> float:
    """The normalised test error of stage 2 on this first layer, in coordinates of its span
    (theory.md §7): fresh inputs reach labels and network through (U x, W x) alone."""
    reduced, rows = reduce_model(model, unit_rows(W))
    data = reduced.sample(config.samples, purpose="stage2", dtype=config.dtype)
    readout = train_readout(
        StoredDesign(data.X, NumpyBackend(config.dtype)),
        data.y,
        rows.astype(config.dtype),
        activation=config.activation,
        neurons=config.readout_neurons,
        rng=np.random.default_rng([config.seed, _BIASES]),
    )
    test = reduced.sample(config.test_samples, purpose="test")
    return normalised_error(readout.predict(test.X), test.y)
