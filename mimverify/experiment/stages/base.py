"""The interface of the strategies: stage 1's inputs, stage 2, the test, and the memory of all."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

from mimverify.designs.base import Design
from mimverify.designs.distributed import Communicator
from mimverify.experiment.memory_need import MemoryNeed
from mimverify.experiment.progress import OnProgress
from mimverify.experiment.resolved import ResolvedConfig
from mimverify.measure.predictors import Predictor, test_errors
from mimverify.problems.model import MultiIndexModel
from mimverify.support.arrays import Array, FloatArray
from mimverify.training.trainer import LayerwiseTrainer


class Stages(ABC):
    """The data of one run, stage by stage: one stage's inputs are in memory at a time.

    **Arguments**

    - `config`: what is run.
    - `model`: what the data is drawn from.
    - `progress`: called with the phases.
    - `communicator`: this process among those of the run.

    `advice` ends the refusal of a run that does not fit; `on_host`: whether runs on another
    device hold their inputs in the machine's memory too.
    """

    advice: ClassVar[str] = ""
    on_host: ClassVar[bool] = True

    def __init__(
        self,
        config: ResolvedConfig,
        model: MultiIndexModel,
        progress: OnProgress,
        communicator: Communicator,
    ) -> None:
        self.config = config
        self.samples = config.samples
        self.model = model
        self.progress = progress
        self.communicator = communicator

    @classmethod
    @abstractmethod
    def memory(cls, config: ResolvedConfig, *, ranks: int = 1) -> MemoryNeed:
        """The memory of a run at its peak, in each of `ranks` processes."""

    @abstractmethod
    def first_layer(self) -> tuple[Design, FloatArray]:
        """Stage 1's inputs and all labels `(n,)`."""

    @abstractmethod
    def second_layer(self, trainer: LayerwiseTrainer) -> dict[str, Predictor]:
        """Stage 2: fits the trainer's output weights and, if configured, the baselines.

        Returns the predictors to `test`: the trainer as `"trainer"`, and the baselines that this
        design can fit.
        """

    def test(self, predictors: dict[str, Predictor]) -> dict[str, float]:
        """Normalised errors on new inputs. **Raises** as `test_errors`."""
        samples, tested = self.config.test_samples, 0
        trained = predictors["trainer"]

        def predict(X: FloatArray) -> Array:
            nonlocal tested
            prediction = trained(X)
            tested += X.shape[0]
            self.progress("test", tested, samples)
            return prediction

        self.progress("test", 0, samples)
        return test_errors(self.test_model(), {**predictors, "trainer": predict}, samples=samples)

    def test_model(self) -> MultiIndexModel:
        """The model whose inputs the predictors take."""
        return self.model
