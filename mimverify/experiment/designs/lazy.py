"""Inputs that are drawn only as far as training queries them. Source: theory.md §8, §7."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from mimverify.backends import Backend, NumpyBackend, get_backend
from mimverify.designs.base import Design
from mimverify.designs.lazy import LazyGaussianDesign, lazy_bytes
from mimverify.designs.stored import StoredDesign
from mimverify.experiment.memory_need import MemoryItem, MemoryNeed
from mimverify.experiment.resolved import ResolvedConfig
from mimverify.experiment.stages import memory_items
from mimverify.experiment.stages.base import Stages
from mimverify.experiment.stages.directions import (
    Directions,
    regression_directions,
    training_directions,
)
from mimverify.measure.predictors import Predictor, linear_regression, oracle_predictor
from mimverify.measure.reduction import reduce_model
from mimverify.network.losses import get_loss
from mimverify.problems.model import Dataset, MultiIndexModel
from mimverify.support.arrays import Float64Array, FloatArray
from mimverify.training.stage2 import unit_rows
from mimverify.training.trainer import LayerwiseTrainer

_REGRESSION = 0x6C62  # purpose of the linear baseline's design


class LazyStages(Stages):
    """Stage 1 on a lazy design; later stages in the span of what was learned.

    Equal to a stored run in distribution, not in numbers. Later stages use inputs only through U,
    W and the linear parts, and draw them in coordinates of that span (`reduce_model`). The linear
    baseline is a regression on a lazy design of its own, with new labels: in distribution that of
    stage 2's data. It needs n > 2(d + 1): with fewer samples the regression queries about as many
    directions as there are inputs.
    """

    name: ClassVar[str] = "lazy"
    summary: ClassVar[str] = "drawn only as far as training looks at them, to the same law"
    gaussian_only: ClassVar[str] = (
        "only of a Gaussian matrix is the part that training has not looked at independent of "
        "what it has seen, so that it need not be drawn (theory.md §8); use design='streamed'"
    )
    not_resumable: ClassVar[str] = (
        "the state of a lazy run is the part of the matrix that was revealed, as large as the "
        "run's memory, and is not kept; use design='streamed'"
    )
    on_host: ClassVar[bool] = False
    advice: ClassVar[str] = (
        "; fewer neurons or steps ask for fewer directions, and so do --no-baselines and float32"
    )

    @classmethod
    def memory(cls, config: ResolvedConfig, *, ranks: int = 1) -> MemoryNeed:
        n, d, m = config.samples, config.dim, config.neurons
        size, r = memory_items.itemsize(config), config.link.rank
        hidden = MemoryItem("hidden features", 2 * n * r * size)
        training = MemoryNeed(
            (
                bases(config, training_directions(config)),
                memory_items.labels(config, regression=config.remove_linear_part),
                hidden,
                memory_items.weights(config),
            )
        )
        k = min(d, r + m + 2)
        reduced = MemoryNeed(
            (
                MemoryItem("reduced inputs", n * k * size, f"{n} x {k}"),
                memory_items.labels(config),
                memory_items.projections(config, k),
                memory_items.output_layer(config),
                *memory_items.test(config, k),
            )
        )
        span = MemoryNeed(
            (MemoryItem("factoring the span", 6 * 8 * k * d), *memory_items.test(config, 0))
        )
        phases = [training, reduced, span]
        if _has_regression(config):
            regression = bases(config, _baseline_directions(config))
            labels = memory_items.labels(config, regression=True)
            phases.append(MemoryNeed((regression, labels, hidden, *memory_items.test(config, 0))))
        return MemoryNeed.largest(phases)

    @classmethod
    def first_layer_work(cls, config: ResolvedConfig) -> float:
        queried = training_directions(config)
        return float(config.samples + config.dim) * (queried.right + queried.left) ** 2

    def first_layer(self) -> tuple[Design, FloatArray]:
        return self._lazy_design(
            self._backend(), self.config.seed, training_directions(self.config), "stage1"
        )

    def second_layer(self, trainer: LayerwiseTrainer) -> dict[str, Predictor]:
        baseline = None
        if _has_regression(self.config):
            self.progress("baselines: linear regression", 0, None)
            baseline = self._linear_regression()
        theta = None if baseline is None else baseline[1]
        self._reduced, coordinates = _reduced(self.model, trainer, theta)
        self.progress("stage 2: output weights", 0, None)
        data = self._reduced.sample(self.samples, purpose="stage2", dtype=self.config.dtype)
        readout = trainer.fit_reduced_readout(
            StoredDesign(data.X, self._backend()),
            data.y,
            coordinates if baseline is None else coordinates[:-1],
        )
        predictors: dict[str, Predictor] = {
            # In the dtype in which `LayerwiseTrainer.predict` takes its inputs.
            "trainer": lambda inputs: readout.predict(inputs.astype(self.config.dtype, copy=False))
        }
        if self.config.baselines:
            self.progress("baselines", 0, None)
            predictors |= self._baselines(data)
        if baseline is not None:
            intercept, theta = baseline[0], coordinates[-1]
            predictors["linear"] = lambda inputs: intercept + inputs @ theta
        return predictors

    def test_model(self) -> MultiIndexModel:
        return self._reduced

    # -- designs and baselines -------------------------------------------------------------

    def _backend(self) -> Backend:
        config = self.config
        return get_backend(config.backend, config.dtype, config.device)

    def _lazy_design(
        self, backend: Backend, seed: int, directions: Directions, purpose: str
    ) -> tuple[Design, FloatArray]:
        """A lazy design and its labels `(n,)`."""
        self.progress(f"{purpose[:-1]} {purpose[-1]}: drawing labels", 0, None)
        design = LazyGaussianDesign(
            self.samples,
            self.config.dim,
            backend,
            seed=seed,
            right=directions.right,
            left=directions.left,
        )
        hidden = backend.to_numpy(design.project(backend.asarray(self.model.subspace)))
        # `seed` also gives each data set of one purpose its own noise.
        y = self.model.labels(hidden, purpose=purpose, dtype=self.config.dtype, seed=seed)
        return design, y

    def _linear_regression(self) -> tuple[float, Float64Array] | None:
        # A matrix of its own: with stage 1's seed it would be stage 1's matrix.
        seed = np.random.SeedSequence([self.config.seed, _REGRESSION]).generate_state(1)[0]
        backend = NumpyBackend(self.config.dtype)
        design, y = self._lazy_design(
            backend, int(seed), _baseline_directions(self.config), "stage2"
        )
        return linear_regression(design, y.astype(np.float64))

    def _baselines(self, data: Dataset) -> dict[str, Predictor]:
        config = self.config
        y = data.y.astype(np.float64)
        mean = float(y.mean())
        oracle = oracle_predictor(
            self._reduced,
            StoredDesign(data.X, NumpyBackend(config.dtype)),
            y,
            neurons=config.readout_neurons,
            ridge=config.ridge,
            seed=config.seed,
        )
        return {
            "mean": lambda inputs: np.full(len(inputs), mean),
            "oracle_subspace": oracle,
        }


def _reduced(
    model: MultiIndexModel, trainer: LayerwiseTrainer, theta: Float64Array | None
) -> tuple[MultiIndexModel, Float64Array]:
    """The model in the span of what stage 1 learned and of the linear baseline θ, if any.

    Returns it with the coordinates that `fit_reduced_readout` takes, and then those of θ.
    """
    rows = [unit_rows(trainer.network_.W)]
    rows += [vector[None] for vector in (trainer.linear_part_, theta) if vector is not None]
    return reduce_model(model, np.vstack(rows))


def bases(config: ResolvedConfig, directions: Directions) -> MemoryItem:
    """The memory of a lazy design."""
    n, d = config.samples, config.dim
    right, left = directions.right, directions.left
    size = lazy_bytes(n, d, right, left, config.dtype)
    return MemoryItem("bases", size, f"{right} + {left} directions of {n} samples and {d} inputs")


def _has_regression(config: ResolvedConfig) -> bool:
    return config.baselines and config.samples > 2 * (config.dim + 1)


def _baseline_directions(config: ResolvedConfig) -> Directions:
    queried = regression_directions(get_loss("squared"), config.samples, config.dim, config.dtype)
    return Directions(config.link.rank + queried.right, queried.left)
