"""One run of the reference trainer: alignment and span recovery after every step, and the test
error of a second stage after some of them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from mimverify.backends import NumpyBackend
from mimverify.designs import Design, StoredDesign
from mimverify.designs.lazy import LazyGaussianDesign, lazy_bytes
from mimverify.measure import Recorder, normalised_error, reduce_model
from mimverify.network.activations import get_activation
from mimverify.problems import DATA_DEFINITION, MultiIndexModel
from mimverify.studies.trials._parameters import PROBLEM, completed, derived_seed
from mimverify.support.arrays import FloatArray
from mimverify.support.strict_json import Json
from mimverify.support.validation import choice
from mimverify.training import LayerwiseTrainer
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
_DESIGNS = ("stored", "lazy")
_BIASES = 0x62696173


def complete(given: Mapping[str, object]) -> Json:
    """All parameters.

    - `link`, `loss`, `noise`, `dim`, `samples` (of each stage), `steps`, `neurons`, `dtype`,
      `init_norm`, `readout_neurons`, `test_samples`: as of `mimverify train`.
    - `design`: "stored", or "lazy", which draws Gaussian inputs as far as they are queried.
    - `inputs`, `subspace`: of `MultiIndexModel`.
    - `errors_after`: numbers of steps after which stage 2 is trained, and its network tested.
    """
    return completed(given, _NEEDED, _DEFAULTS)


def memory(p: Json) -> int:
    """Bytes of a trial, roughly."""
    n, d, m = int(p["samples"]), int(p["dim"]), int(p["neurons"])
    size = np.dtype(p["dtype"]).itemsize
    if p["design"] == "lazy":
        return lazy_bytes(n, d, *_directions(p), p["dtype"]) + 16 * n
    return n * d * size + 3 * n * m * size + bool(p["errors_after"]) * 8 * n * (m + 8)


def cost(p: Json) -> float:
    """Seconds of one thread, very roughly: flops of stage 1 and numbers drawn."""
    n, d, half = float(p["samples"]), float(p["dim"]), float(p["neurons"]) / 2
    if p["design"] == "lazy":
        stage1 = (n + d) * sum(_directions(p)) ** 2
    else:
        stage1 = n * d * (20 + 4 * half * p["steps"])
    stage2 = len(p["errors_after"]) * (n + p["test_samples"]) * p["readout_neurons"] ** 2
    return 0.003 + float(stage1 + stage2) / 1e10


def run(parameters: Json) -> Json:
    """`alignment`, `span_recovery` after 0 … T steps; `test_error` after those asked for."""
    p = complete(parameters)
    seed = derived_seed("training", p)
    model = MultiIndexModel(
        p["link"],
        p["dim"],
        noise=p["noise"],
        seed=seed,
        inputs=p["inputs"],
        subspace=p["subspace"],
    )
    trainer = LayerwiseTrainer(
        loss=p["loss"],
        dtype=p["dtype"],
        neurons=p["neurons"],
        steps=p["steps"],
        init_norm=p["init_norm"],
        readout_neurons=p["readout_neurons"],
        random_state=seed,
    )
    recorder = Recorder(model.subspace, keep_weights=bool(p["errors_after"]))
    design, y = _first_stage(model, p, seed)
    trainer.fit_first_layer(design, y, observe=recorder)
    errors = [_test_error(model, recorder.weights[t], p, seed) for t in p["errors_after"]]
    return {
        "alignment": recorder.alignment,
        "span_recovery": recorder.span_recovery,
        "test_error": errors,
    }


def _directions(p: Json) -> tuple[int, int]:
    """Directions on the right and on the left of a lazy design: those of half of the neurons, the
    others mirror them, and of the subspace, of no more than a dozen features."""
    queried = int(p["neurons"]) // 2 * int(p["steps"])
    return queried + 12, max(queried, 1)


def _first_stage(model: MultiIndexModel, p: Json, seed: int) -> tuple[Design, FloatArray]:
    backend = NumpyBackend(p["dtype"])
    if choice("design", p["design"], _DESIGNS) == "stored":
        data = model.sample(p["samples"], dtype=p["dtype"])
        return StoredDesign(data.X, backend), data.y
    right, left = _directions(p)
    design = LazyGaussianDesign(
        p["samples"], p["dim"], backend, seed=seed, right=right, left=left, threads=1
    )
    z = design.project(backend.asarray(model.subspace))
    return design, model.labels(z, dtype=p["dtype"])


def _test_error(model: MultiIndexModel, W: FloatArray, p: Json, seed: int) -> float:
    """The normalised test error of stage 2 on this first layer, in coordinates of its span
    (theory.md §7): fresh inputs reach labels and network through (U x, W x) alone."""
    reduced, rows = reduce_model(model, unit_rows(W))
    data = reduced.sample(p["samples"], purpose="stage2", dtype=p["dtype"])
    readout = train_readout(
        StoredDesign(data.X, NumpyBackend(p["dtype"])),
        data.y,
        rows.astype(p["dtype"]),
        activation=get_activation("log-cosh"),
        neurons=p["readout_neurons"],
        rng=np.random.default_rng([seed, _BIASES]),
    )
    test = reduced.sample(p["test_samples"], purpose="test")
    return normalised_error(readout.predict(test.X), test.y)
