"""One experiment or one prediction: whatever `mimverify train` and `mimverify predict` take.

Parameters are the fields of `ExperimentConfig`, and

- `ratio`: n/d, in place of `samples`;
- `algorithm`: `"gradient-descent"`, the theorem's, with the same rows in every step;
  `"fresh-samples"`, the same with n new rows in every step; `"spectral"`, the leading eigenvectors
  of H, which steps from a small start approach (theory.md §3, E3); `"prediction"`, no run at all
  but what theory predicts of one (D1).

One giant step is `steps` = 1.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import fields, replace

import numpy as np

from mimverify.experiment import (
    ExperimentConfig,
    ResolvedConfig,
    designs_where,
    memory_needed,
    run_experiment,
    stages_for,
)
from mimverify.experiment.reference_trainer import trainer_for
from mimverify.measure import alignment, span_recovery
from mimverify.measure.recorder import Recorder
from mimverify.network.losses import LOSSES
from mimverify.problems.links import LINKS
from mimverify.problems.streams import DATA_DEFINITION
from mimverify.studies.trials._one_process import check_one_process
from mimverify.support.arrays import Array, FloatArray
from mimverify.support.errors import InputError
from mimverify.support.strict_json import Json
from mimverify.support.validation import canonical, choice, number, size
from mimverify.sweeps.trial_kind import source_version
from mimverify.training.centring import fit_constant

#: Results follow what seeds draw, too.
VERSION = f"1.{DATA_DEFINITION}"

ALGORITHMS = ("gradient-descent", "fresh-samples", "spectral", "prediction")

# Files of a run's own, and what is the sweep's to say: a trial has one thread.
_NOT_OF_A_TRIAL = {"checkpoint", "resume", "threads"}
# Names that may be "module:attribute", whose source the result depends on.
_NAMED = ("link", "loss")
#: Hashes of users' modules by name, in the completed parameters.
_SOURCES = "sources"


def complete(parameters: Json) -> Json:
    """All fields of the resolved configuration, the algorithm, and hashes of users' sources.

    **Raises** `InputError` as `ExperimentConfig.resolved`, and for parameters that are not these.
    """
    given = dict(parameters)
    algorithm = choice("algorithm", given.pop("algorithm", ALGORITHMS[0]), ALGORITHMS)
    names = [field.name for field in fields(ExperimentConfig) if field.name != "_"]
    names = [name for name in names if name not in _NOT_OF_A_TRIAL]
    ratio = given.pop("ratio", None)
    for name in given:
        choice("parameter", name, [*names, "ratio", "algorithm"])
    if "link" not in given:
        raise InputError("link: is missing: expected the link that the trials are about")
    if ratio is not None:
        if given.get("samples") is not None:
            raise InputError("samples and ratio are both given: expected one of them")
        ratio = number("ratio", ratio, minimum=0.0, exclusive=True)
        dim = size("dim", given.get("dim", ExperimentConfig.dim))
        given["samples"] = max(round(ratio * dim), 1)
    config = ExperimentConfig(**given).resolved()
    check_one_process(config.design)
    arrays = stages_for(config.design).one_array and config.backend == "numpy"
    if algorithm in ("fresh-samples", "spectral") and not arrays:
        expected = designs_where(lambda stages: stages.one_array)
        raise InputError(f"algorithm={algorithm!r}: expected {expected}, backend='numpy'")
    found = {name: config.to_json()[name] for name in names}
    sources = {}
    for name in _NAMED:
        spec = given.get(name)
        if _is_users(name, spec):
            found[name] = spec  # by which a worker finds it
            module = str(spec).partition(":")[0]
            sources[module] = source_version(module)
    return {**found, "algorithm": algorithm, **({_SOURCES: sources} if sources else {})}


def run(parameters: Json) -> Json:
    """What was measured, or predicted, of the trial with these completed parameters.

    `alignment` and `span_recovery` after the last step, `trajectory`: the alignment at
    t = 0 … T, `ratio`: n/d, `stage1_seconds`; of gradient descent `test_error` and those of the
    baselines (1 = predicting the mean); of a prediction `alignment_low` and `alignment_high`, the
    band of 95 % of single runs.
    """
    config = _config(parameters)
    return {**_ALGORITHMS[parameters["algorithm"]](config), "ratio": config.samples / config.dim}


def memory(parameters: Json) -> int:
    """Bytes at the peak."""
    return 0 if parameters["algorithm"] == "prediction" else memory_needed(_config(parameters))


def cost(parameters: Json) -> float:
    """Multiplications of the passes over the rows, about."""
    config = _config(parameters)
    if parameters["algorithm"] == "prediction":
        return _PREDICTION
    n, d, p = config.samples, config.dim, config.readout_neurons
    return float(
        n * d * 2 * config.neurons * (config.steps + 1)
        + (n + config.test_samples) * d * p
        + n * p * p
        + _DRAW * (2 * n + config.test_samples) * d
    )


_DRAW = 50.0  # of one normal, in multiplications
_PREDICTION = 2e9  # of one prediction, a second or so


def _config(parameters: Mapping[str, object]) -> ResolvedConfig:
    given = {k: v for k, v in parameters.items() if k not in ("algorithm", _SOURCES)}
    if any(_is_users(name, given[name]) for name in _NAMED):
        given.pop("rank", None)  # the link's own; one that has none is refused beforehand
    return ExperimentConfig(**given).resolved()  # type: ignore[arg-type]


def _is_users(name: str, spec: object) -> bool:
    """Whether a specification names an object of the user's, by its module."""
    if not isinstance(spec, str) or ":" not in spec:
        return False
    head = canonical(spec.partition(":")[0])
    return head not in {canonical(known) for known in (LINKS if name == "link" else LOSSES)}


# -- algorithms --------------------------------------------------------------------------------


def _gradient_descent(config: ResolvedConfig) -> Json:
    result = run_experiment(config)
    return {
        "alignment": result.alignment[-1],
        "span_recovery": result.span_recovery[-1],
        "trajectory": result.alignment,
        "test_error": result.test_error,
        **{f"test_error_{name}": error for name, error in result.baselines.items()},
        "stage1_seconds": sum(result.seconds),
    }


def _fresh_samples(config: ResolvedConfig) -> Json:
    model = config.model()
    recorder = Recorder(model.subspace)
    trainer = trainer_for(replace(config, steps=min(config.steps, 1)))
    seeds = np.random.SeedSequence(config.seed).generate_state(max(config.steps, 1))
    for t, seed in enumerate(seeds):
        data = model.sample(config.samples, dtype=config.dtype, seed=int(seed))

        def observe(step: int, W: Array, t: int = t) -> None:
            if step == 1 or t == 0:  # the start of a later step is the end of the one before
                recorder(t + step, W)

        trainer.fit_first_layer(data.X, data.y, observe=observe)
        trainer.set_params(start=trainer.network_)
    return _first_layer(recorder)


def _first_layer(recorder: Recorder) -> Json:
    return {
        "alignment": recorder.alignment[-1],
        "span_recovery": recorder.span_recovery[-1],
        "trajectory": recorder.alignment,
        "stage1_seconds": sum(recorder.seconds),
    }


def _spectral(config: ResolvedConfig) -> Json:
    from scipy.sparse.linalg import LinearOperator, eigsh

    began = time.perf_counter()
    model = config.model()
    data = model.sample(config.samples, dtype=config.dtype)
    centring = fit_constant(config.loss, data.y)
    T = config.loss.label_transform(data.y, centring.constant) + centring.offset
    T = np.asarray(T / len(data.y), dtype=data.X.dtype)

    def times(v: FloatArray) -> FloatArray:
        return np.asarray((T * (data.X @ v.ravel())) @ data.X)

    operator = LinearOperator((config.dim, config.dim), matvec=times, dtype=data.X.dtype)
    v0 = np.random.default_rng(config.seed).standard_normal(config.dim).astype(data.X.dtype)
    _, vectors = eigsh(operator, k=min(model.rank, config.dim - 1), which="LM", v0=v0)
    return {
        "alignment": alignment(vectors.T, model.subspace),
        "span_recovery": span_recovery(vectors.T, model.subspace),
        "stage1_seconds": time.perf_counter() - began,
    }


def _prediction(config: ResolvedConfig) -> Json:
    # Its import takes a while, and runs do without it.
    from mimverify.theory.run_prediction import distinct_neurons, predict_first_layer

    trajectory, half = predict_first_layer(config), distinct_neurons(config)
    mean = trajectory.run_mean(half)
    mean[0] = trajectory.alignment[0]  # r/d: the start is isotropic
    low, high = trajectory.run_interval(half)
    return {
        "alignment": mean[-1],
        "alignment_low": low[-1],
        "alignment_high": high[-1],
        "trajectory": mean,
    }


_ALGORITHMS = {
    "gradient-descent": _gradient_descent,
    "fresh-samples": _fresh_samples,
    "spectral": _spectral,
    "prediction": _prediction,
}
