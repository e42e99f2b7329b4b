"""All but stage 1: drawing data, centring, the linear part, stage 2 and the test error."""

from __future__ import annotations

from typing import Any, ClassVar

from .common import (
    BACKENDS,
    DIMS,
    ROWS_PER_DIM,
    TrainerWork,
    Work,
    grid,
    make_model,
    make_trainer,
    problem,
    stored,
)


class Sampling(Work):
    """Drawing one stage's inputs and labels."""

    params = (DIMS,)
    param_names = ("dim",)

    def prepare(self, *params: Any) -> None:
        (dim,) = params
        self.model, self.samples = make_model(dim), ROWS_PER_DIM * dim

    def work(self) -> None:
        self.model.sample(self.samples, dtype="float32")


class Centring(Work):
    """The constant output that a loss fits to n labels."""

    params = (grid([1 << 14], [1 << 17, 1 << 20]), ["huber", "log-cosh", "l1"])
    param_names = ("samples", "loss")

    def prepare(self, *params: Any) -> None:
        import numpy as np

        from mimverify.network import get_loss
        from mimverify.training.centring import fit_constant

        samples, loss = params
        self.fit, self.loss = fit_constant, get_loss(loss)
        self.y = np.cos(2 * np.random.default_rng(0).standard_normal(samples))

    def work(self) -> None:
        self.fit(self.loss, self.y)


class LinearPart(TrainerWork):
    """Regression of the labels on the inputs with the training loss, by conjugate gradients."""

    params = (BACKENDS, grid([512], [1024, 2048]))
    options: ClassVar = {"steps": 0, "remove_linear_part": True}

    def prepare(self, *params: Any) -> None:
        super().prepare(*params)
        self.design = stored(self.X, params[0])

    def work(self) -> None:
        self.trainer.fit_first_layer(self.design, self.y)


class Readout(TrainerWork):
    """Stage 2: the output weights, after a first layer of one step."""

    options: ClassVar = {"steps": 1}

    def prepare(self, *params: Any) -> None:
        super().prepare(*params)
        self.design = stored(self.X, params[0])
        self.trainer.fit_first_layer(self.design, self.y)

    def work(self) -> None:
        self.trainer.fit_readout(self.design, self.y)


class TestError(Work):
    """The error of a fitted trainer on fresh inputs, drawn block by block."""

    __test__ = False  # to pytest
    params = (DIMS,)
    param_names = ("dim",)

    def prepare(self, *params: Any) -> None:
        from mimverify.measure import test_errors

        (dim,) = params
        self.measure, self.model = test_errors, make_model(dim)
        trainer = make_trainer("numpy", steps=1).fit(*problem(dim, 4 * dim))
        self.predictors = {"trainer": trainer.predict}

    def work(self) -> None:
        self.measure(self.model, self.predictors, samples=10_000)
