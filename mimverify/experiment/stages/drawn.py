"""Common part of the strategies whose rows are those of the model's data sets."""

from __future__ import annotations

from abc import abstractmethod
from typing import Generic, TypeVar

from mimverify.designs.base import Design
from mimverify.experiment.stages.base import Stages
from mimverify.measure.predictors import Predictor, baseline_predictors
from mimverify.support.arrays import FloatArray
from mimverify.training.trainer import LayerwiseTrainer

_Drawn = TypeVar("_Drawn", bound=Design)


class DrawnStages(Stages, Generic[_Drawn]):
    """Both stages on a design of the model's own rows, the test on d-dimensional inputs.

    `reduce_model` would suffice for the network's test, but the linear baseline lies outside the
    span of W and U, all predictors should be tested on the same rows, and drawing them costs less
    than drawing one stage's data.
    """

    @abstractmethod
    def draw(self, purpose: str) -> tuple[_Drawn, FloatArray]:
        """The design and all labels `(n,)` of `"stage1"` or `"stage2"`."""

    def for_baselines(self, design: _Drawn) -> Design:
        """The design on which baselines are fitted; stage 2's unless overridden."""
        return design

    def first_layer(self) -> tuple[Design, FloatArray]:
        return self.draw("stage1")

    def second_layer(self, trainer: LayerwiseTrainer) -> dict[str, Predictor]:
        design, y = self.draw("stage2")
        self.progress("stage 2: output weights", 0, None)
        trainer.fit_readout(design, y)
        predictors: dict[str, Predictor] = {"trainer": trainer.predict}
        if self.config.baselines:
            self.progress("baselines", 0, None)
            predictors |= baseline_predictors(
                self.model,
                self.for_baselines(design),
                y,
                neurons=self.config.readout_neurons,
                ridge=self.config.ridge,
                seed=self.config.seed,
            )
        return predictors


def phase(purpose: str) -> str:
    """The name of the phase that draws a data set."""
    return f"{purpose[:-1]} {purpose[-1]}: drawing data"
