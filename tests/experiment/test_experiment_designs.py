"""Tests of `mimverify.experiment` on designs that do not hold their inputs in one array."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from threading import Barrier
from typing import Any

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from mimverify.designs.distributed import Communicator
from mimverify.experiment import (
    DESIGNS,
    Experiment,
    ExperimentConfig,
    ExperimentResult,
    memory_need,
    memory_needed,
    run_experiment,
    stages_for,
)
from mimverify.experiment.designs.lazy import LazyStages
from mimverify.experiment.resumption import keep_step
from mimverify.experiment.stages.directions import (
    mirrored,
    regression_directions,
    training_directions,
)
from mimverify.measure import baseline_predictors, normalised_error
from mimverify.network import get_loss
from mimverify.problems import MultiIndexModel
from mimverify.support import memory
from mimverify.support.errors import DivergenceError, InputError
from mimverify.training import LayerwiseTrainer, Readout

SMALL: dict[str, Any] = {
    "dim": 16,
    "samples": 1500,
    "steps": 3,
    "neurons": 8,
    "readout_neurons": 16,
    "test_samples": 500,
    "threads": 1,
}

SOFTPLUS = {"activation": "softplus", "remove_linear_part": True}


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    with threadpool_limits(1):  # problems this small only lose by more
        yield


def small(link: Any = "z1z2", **changes: Any) -> ExperimentConfig:
    return ExperimentConfig(link, **{**SMALL, **changes})


def measured(result: ExperimentResult) -> dict[str, Any]:
    """All numbers of a run but times and what its configuration says."""
    record = result.to_json()
    configuration = record.pop("configuration")
    del record["seconds"], record["phases"]
    return record | {"centring": configuration["centring_constant"]}


# -- streamed --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("link", "changes"),
    [
        ("z1z2", {}),
        ("relu-sum", SOFTPLUS),
        ("tanh3", {"noise": 0.3, "dtype": "float32", "backend": "torch"}),
        ("he2", {"schedule": "constant", "eta": 20.0, "loss": "squared", "threads": 2}),
    ],
)
def test_streamed_is_stored_to_the_bit(link: str, changes: dict[str, Any]) -> None:
    stored, streamed = (
        run_experiment(small(link, **changes, design=design), keep_weights=True)
        for design in ("stored", "streamed")
    )
    assert measured(streamed) == measured(stored)
    assert np.array_equal(streamed.arrays()["weights"], stored.arrays()["weights"])
    assert streamed.to_json()["configuration"]["design"] == "streamed"


def test_streamed_has_no_linear_baseline_of_few_samples() -> None:
    stored, streamed = (
        run_experiment(small(samples=30, steps=1, design=design)).baselines
        for design in ("stored", "streamed")
    )
    assert stored["linear"] is not None
    assert streamed == stored | {"linear": None}


def test_no_baselines_changes_nothing_else() -> None:
    with_, without = (
        measured(run_experiment(small(baselines=baselines))) for baselines in (True, False)
    )
    assert set(without.pop("baselines").values()) == {None}
    assert None not in with_.pop("baselines").values()
    assert without == with_


def test_baselines_on_a_design_are_those_on_the_data_set() -> None:
    config = small(design="streamed").resolved()
    model = MultiIndexModel("z1z2", 16)
    design, y = stages_for("streamed")(config, model, lambda *_: None, Communicator()).first_layer()
    data = model.sample(config.samples)
    inputs = model.sample(50, purpose="test").X
    ours, theirs = baseline_predictors(model, design, y), baseline_predictors(model, data)
    assert ours.keys() == theirs.keys()
    for name, predict in ours.items():
        assert np.array_equal(predict(inputs), theirs[name](inputs))


# -- lazy ------------------------------------------------------------------------------------

LAZY = [
    ("cos2z", {}),
    ("tanh3", {"noise": 0.2}),
    ("z1z2", {"backend": "torch", "dtype": "float32"}),
    ("z1z2", {"schedule": "constant", "eta": 20.0, "centre": False}),
    ("relu-sum", SOFTPLUS),
    ("relu-sum", {**SOFTPLUS, "loss": "squared", "dtype": "float32"}),
    ("he2", {"activation": "gelu", "loss": "squared", "remove_linear_part": True}),
    ("he2", {"dim": 6}),  # fewer inputs than directions to read
    ("z1z2", {"samples": 30}),
    ("z1z2", {"steps": 0}),
]


@pytest.mark.parametrize(("link", "changes"), LAZY)
def test_lazy_runs_to_the_end_and_its_readout_serves_real_inputs(
    link: str, changes: dict[str, Any]
) -> None:
    config = small(link, **changes, design="lazy")
    result = run_experiment(config)
    record = result.to_json()
    assert json.loads(json.dumps(record, allow_nan=False)) == record
    assert len(result.alignment) == config.resolved().steps + 1
    assert result.test_error is not None
    few = config.samples is not None and config.samples <= 2 * (config.dim + 1)
    assert [name for name, error in result.baselines.items() if error is None] == (
        ["linear"] if few else []
    )
    assert result.trainer.readout_.directions.shape == (8, config.dim)
    # The test in reduced coordinates and one on inputs of the model are two samples of one law.
    test = result_model(config).sample(20_000, purpose="test")
    error = normalised_error(result.trainer.predict(test.X), test.y)
    assert error == pytest.approx(result.test_error, rel=0.5, abs=0.1)


def result_model(config: ExperimentConfig) -> MultiIndexModel:
    return MultiIndexModel(config.link, config.dim, noise=config.noise, seed=config.seed)


def lazy_stages(config: ExperimentConfig) -> tuple[Experiment, Any, LazyStages, dict[str, Any]]:
    """A lazy run phase by phase, for what its result does not show."""
    experiment = Experiment(config)
    stages = experiment._stages
    assert isinstance(stages, LazyStages)
    design, y = stages.first_layer()
    experiment.trainer.fit_first_layer(design, y)
    return experiment, design, stages, stages.second_layer(experiment.trainer)


@pytest.mark.parametrize("changes", [{}, SOFTPLUS])
def test_lifted_readout_is_the_reduced_one(
    changes: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    returned = []
    fit_reduced_readout = LayerwiseTrainer.fit_reduced_readout

    def keep(trainer: LayerwiseTrainer, *arguments: Any) -> Readout:
        returned.append(fit_reduced_readout(trainer, *arguments))
        return returned[-1]

    monkeypatch.setattr(LayerwiseTrainer, "fit_reduced_readout", keep)
    config = small("relu-sum", **changes, dim=40, design="lazy")
    experiment, _, stages, predictors = lazy_stages(config)
    trainer, model = experiment.trainer, stages.test_model()

    def read(subspace: Any, readout: Any) -> Any:
        linear = [] if readout.linear is None else [readout.linear[None]]
        return np.vstack([subspace, readout.directions, *linear])

    reduced = read(model.subspace, returned[-1])
    lifted = read(experiment.model.subspace, trainer.readout_)
    assert reduced @ reduced.T == pytest.approx(lifted @ lifted.T, abs=1e-10)
    # The same inputs in both coordinates: whatever is read off them agrees.
    Z = np.random.default_rng(0).standard_normal((30, model.dim))
    X = Z @ reduced.T @ np.linalg.pinv(lifted.T)
    assert trainer.predict(X) == pytest.approx(predictors["trainer"](Z), rel=1e-8, abs=1e-8)


def test_lazy_repeats_to_the_bit_and_depends_on_the_seed() -> None:
    runs = [measured(run_experiment(small(design="lazy", seed=seed))) for seed in (1, 1, 2)]
    assert runs[0] == runs[1]
    assert runs[0] != runs[2]


def test_lazy_and_stored_agree_in_law() -> None:
    def log_odds(design: str, seed: int) -> list[float]:
        result = run_experiment(
            small("z1z2", samples=200, steps=2, neurons=4, design=design, seed=seed)
        )
        values = np.array([*result.alignment, result.test_error, result.baselines["linear"]])
        values[:3] = np.log(values[:3] / (1 - values[:3]))
        return [float(value) for value in values]

    seeds = range(40)
    stored = np.array([log_odds("stored", seed) for seed in seeds])
    lazy = np.array([log_odds("lazy", seed + 1000) for seed in seeds])
    assert stored[:, 2].mean() > stored[:, 0].mean() + 0.5  # there is something to agree on
    error = np.sqrt((stored.var(axis=0, ddof=1) + lazy.var(axis=0, ddof=1)) / len(seeds))
    # Five means, each with 78 degrees of freedom: other seeds would fail once in a million.
    assert (np.abs(stored.mean(axis=0) - lazy.mean(axis=0)) < 6 * error).all()


# -- how many directions -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "pairs"),
    [({}, True), ({"activation": "exp-centred"}, False), ({"loss": "squared"}, True)],
)
def test_directions_of_stage_1_are_counted(changes: dict[str, Any], pairs: bool) -> None:
    config = small(**changes, dim=200, design="lazy")
    reserved = training_directions(config.resolved())
    assert mirrored(config.resolved()) is pairs
    _, design, _, _ = lazy_stages(config)
    assert design.left <= reserved.left
    assert design.right <= reserved.right
    if pairs:  # every direction that is reserved is queried
        assert (design.right, design.left) == (reserved.right, reserved.left) == (2 + 12, 12)


def test_decay_that_leaves_old_weights_parts_the_pairs() -> None:
    constant = {"schedule": "constant", "eta": 4.0}
    assert not mirrored(small(**constant).resolved())
    assert mirrored(small(**constant, beta=0.25).resolved())


@pytest.mark.parametrize(("ratio", "loss"), [(4, "squared"), (30, "squared"), (30, "huber")])
def test_directions_of_the_regression_are_estimated(ratio: int, loss: str) -> None:
    config = small(
        "cos2z", dim=150, samples=150 * ratio, steps=0, loss=loss, **SOFTPLUS, baselines=False,
        design="lazy",
    ).resolved()  # fmt: skip
    reserved = regression_directions(get_loss(loss), 150 * ratio, 150, "float64")
    experiment = Experiment(config)
    design, y = experiment._stages.first_layer()
    experiment.trainer.fit_first_layer(design, y)
    queried = design.right - 1, design.left  # type: ignore[attr-defined]
    assert reserved.right / 3 < queried[0] < reserved.right
    assert reserved.left / 3 < queried[1] < reserved.left


# -- sharded ---------------------------------------------------------------------------------


class _Threads(Communicator):
    """Processes that are threads of this one."""

    def __init__(self, rank: int, table: list[Any], barrier: Barrier) -> None:
        super().__init__()
        self.rank, self.ranks = rank, len(table)
        self._table, self._barrier = table, barrier

    def gather(self, x: Any) -> list[Any]:
        self._table[self.rank] = np.array(x)
        self._barrier.wait(60)
        values = list(self._table)
        self._barrier.wait(60)
        return values

    def sum_(self, x: Any) -> Any:
        return np.sum(self.gather(x), axis=0)


def sharded(config: ExperimentConfig, ranks: int) -> list[ExperimentResult]:
    """The results of all processes of one run."""
    table: list[Any] = [None] * ranks
    barrier = Barrier(ranks)

    def run(rank: int) -> ExperimentResult:
        communicator = _Threads(rank, table, barrier)
        return Experiment(config, communicator=communicator).run()

    with ThreadPoolExecutor(ranks) as pool:
        return list(pool.map(run, range(ranks)))


@pytest.mark.parametrize(
    ("ranks", "changes"),
    [(1, {}), (2, {"noise": 0.5}), (3, {"samples": 2500}), (3, SOFTPLUS), (5, {"samples": 100})],
)
def test_sharded_is_stored_to_rounding(ranks: int, changes: dict[str, Any]) -> None:
    config = small("relu-sum", **changes, design="sharded", threads=None)
    first, *others = map(measured, sharded(config, ranks))
    assert all(other == first for other in others)
    whole = measured(run_experiment(replace(config, design="stored")))
    for column in ("alignment", "span_recovery", "test_error", "centring"):
        assert first[column] == pytest.approx(whole[column], rel=1e-8)
    for name, error in whole["baselines"].items():
        assert first["baselines"][name] == pytest.approx(error, rel=1e-8)


def test_more_processes_than_samples() -> None:
    config = small(samples=3, steps=1, design="sharded", threads=None)
    results = [measured(result) for result in sharded(config, 4)]
    assert results[1:] == results[:1] * 3


def test_only_one_process_keeps_the_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = str(tmp_path / "run.npz")
    kept = []

    def keep(path: str, config: Any, recorder: Any, trainer: Any, step: int, W: Any) -> None:
        kept.append(step)
        keep_step(path, config, recorder, trainer, step, W)

    monkeypatch.setattr("mimverify.experiment.run.keep_step", keep)
    config = small(design="sharded", threads=None, checkpoint=path)
    (whole, _) = sharded(config, 2)
    assert kept == [0, 1, 2, 3]
    again = sharded(replace(config, resume=True), 2)
    assert [measured(result) for result in again] == [measured(whole)] * 2


# -- checkpoints -----------------------------------------------------------------------------


def stopped(config: ExperimentConfig, step: int) -> ExperimentResult:
    """A run that is interrupted while its step is recorded, before it is kept."""

    def on_step(recorder: Any) -> None:
        if len(recorder.alignment) == step + 1:
            raise KeyboardInterrupt

    experiment = Experiment(config, on_step=on_step)
    with pytest.raises(KeyboardInterrupt):
        experiment.run()
    return experiment.result(stopped_by=KeyboardInterrupt())


RESUMABLE = [design for design in DESIGNS if not stages_for(design).not_resumable]


@pytest.mark.parametrize("design", RESUMABLE)
@pytest.mark.parametrize("changes", [{}, {**SOFTPLUS, "loss": "squared", "dtype": "float32"}])
def test_resumed_run_is_the_uninterrupted_one(
    design: str, changes: dict[str, Any], tmp_path: Path
) -> None:
    config = small("relu-sum", **changes, steps=5, design=design)
    kept = replace(config, checkpoint=str(tmp_path / "run.npz"))
    stopped(kept, 3)
    seen: list[int] = []
    resumed = run_experiment(
        replace(kept, resume=True), on_step=lambda recorder: seen.append(len(recorder.alignment))
    )
    assert seen == [4, 5, 6]  # the step that was not kept is taken again
    assert measured(resumed) == measured(run_experiment(config))
    assert len(resumed.seconds) == 6
    assert min(resumed.seconds[1:]) > 0


def test_finished_run_can_go_on_and_read_out_otherwise(tmp_path: Path) -> None:
    config = small(checkpoint=str(tmp_path / "run.npz"))
    run_experiment(config)
    changes: dict[str, Any] = {"steps": 5, "ridge": 0.1, "test_samples": 300, "baselines": False}
    resumed = run_experiment(replace(config, **changes, resume=True))
    whole = run_experiment(replace(config, **changes, checkpoint=None))
    assert measured(resumed) == measured(whole)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"seed": 1}, "seed=1"),
        ({"link": "he2"}, "he2"),
        ({"dtype": "float32"}, "float32"),
        ({"design": "streamed"}, "streamed"),
        ({"steps": 2}, "has taken 3"),
    ],
)
def test_another_run_is_not_resumed(changes: dict[str, Any], message: str, tmp_path: Path) -> None:
    config = small(checkpoint=str(tmp_path / "run.npz"))
    run_experiment(config)
    before = (tmp_path / "run.npz").read_bytes()
    with pytest.raises(InputError, match=message):
        Experiment(replace(config, **changes, resume=True))
    with pytest.raises(InputError, match="exists already"):
        Experiment(config)
    assert (tmp_path / "run.npz").read_bytes() == before


def test_trajectory_cannot_be_kept_from_a_checkpoint_on(tmp_path: Path) -> None:
    config = small(checkpoint=str(tmp_path / "run.npz"))
    assert run_experiment(config, keep_weights=True).weights is not None
    with pytest.raises(InputError, match="trajectory"):
        Experiment(replace(config, resume=True), keep_weights=True)


def test_diverging_run_leaves_its_last_good_step(tmp_path: Path) -> None:
    diverge: dict[str, Any] = {"schedule": "constant", "eta": 1e160, "loss": "squared"}
    config = small(**diverge, activation="quadratic", checkpoint=str(tmp_path / "run.npz"))
    for again in (False, True):
        with pytest.raises(DivergenceError) as caught:
            run_experiment(replace(config, resume=again))
        assert caught.value.step > 1


# -- memory ----------------------------------------------------------------------------------

LARGE: list[dict[str, Any]] = [
    {"design": "stored", "dim": 400, "samples": 6000},
    {"design": "stored", "dim": 10_000, "samples": 100, "neurons": 64, "baselines": False},
    {"design": "streamed", "dim": 1000, "samples": 3000},
    {"design": "streamed", "dim": 500, "samples": 5000, "threads": 2, "dtype": "float32"},
    {"design": "lazy", "dim": 500, "samples": 50_000},
    {"design": "lazy", "dim": 500, "samples": 50_000, "dtype": "float32", **SOFTPLUS},
    {"design": "lazy", "dim": 20_000, "samples": 3000, "neurons": 32, "baselines": False},
]


@pytest.mark.parametrize("changes", LARGE)
def test_memory_announced_is_what_is_used(changes: dict[str, Any]) -> None:
    config = small(**{"steps": 2, **changes}).resolved()
    tracemalloc.start()
    try:
        run_experiment(config)
        used = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    # Not exact: Python's own objects, 1 to 2 MB, are left out of the estimate.
    assert 0.8 * used - 2e6 < memory_needed(config) < 1.3 * used + 1e6


def test_streamed_and_lazy_need_less_than_the_inputs() -> None:
    sizes: dict[str, Any] = {"dim": 4000, "samples": 400_000, "threads": 2, "dtype": "float32"}
    needs = {design: memory_needed(small(**sizes, design=design).resolved()) for design in DESIGNS}
    inputs = 4 * 4000 * 400_000
    assert needs["stored"] > inputs
    assert needs["streamed"] < inputs / 20
    assert needs["lazy"] < inputs / 20
    shard = memory_needed(small(**sizes, design="sharded").resolved(), ranks=10)
    assert inputs / 10 < shard < inputs / 5


@pytest.mark.parametrize("design", DESIGNS)
def test_announcement_adds_up_and_refuses(design: str, monkeypatch: pytest.MonkeyPatch) -> None:
    config = small(design=design)
    need = memory_need(config.resolved())
    assert need.total == sum(item.size for item in need.items)
    monkeypatch.setattr(memory, "physical_memory", lambda: 10**9)
    experiment = Experiment(config)
    assert experiment.announcement.startswith("memory: ")
    assert experiment.announcement.endswith(" of 1 GB")
    assert experiment.memory == need
    monkeypatch.setattr(memory, "physical_memory", lambda: need.total - 1)
    with pytest.raises(InputError, match=rf"samples=1500.*design='{design}'.* about [\d.]+ [kM]B"):
        Experiment(config)


def test_lazy_announcement_states_the_directions() -> None:
    config = small("cos2z", dim=1000, samples=10**6, design="lazy", baselines=False)
    text = Experiment(config).announcement
    assert "bases" in text
    assert "13 + 12 directions of 1000000 samples and 1000 inputs" in text
