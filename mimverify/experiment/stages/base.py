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

_DRAWING = 20.0  # multiplications that take as long as drawing an input


class Stages(ABC):
    """The data of one run, stage by stage: one stage's inputs are in memory at a time.

    **Arguments**

    - `config`: what is run.
    - `model`: what the data is drawn from.
    - `progress`: called with the phases.
    - `communicator`: this process among those of the run.

    What a design says of itself, all but the first two where it is not as most are:

    - `name`: on the command line and in configurations; that of its file.
    - `summary`: how it holds the inputs, in a few words, for the help of `mimverify train`.
    - `distributed`: whether the processes of `torchrun` share a run.
    - `one_array`: whether this process holds a stage's inputs as one array, that of
      `MultiIndexModel.sample`.
    - `gaussian_only`: why inputs of another law cannot be held so, and what to do instead; empty
      where they can.
    - `not_resumable`: why a run keeps no checkpoint, and what to do instead; empty where it does.
    - `on_host`: whether runs on another device hold their inputs in the machine's memory too.
    - `advice`: what to do where a run does not fit into memory; ends its refusal.
    """

    name: ClassVar[str] = ""
    summary: ClassVar[str] = ""
    distributed: ClassVar[bool] = False
    one_array: ClassVar[bool] = False
    gaussian_only: ClassVar[str] = ""
    not_resumable: ClassVar[str] = ""
    on_host: ClassVar[bool] = True
    advice: ClassVar[str] = ""

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

    @classmethod
    def first_layer_work(cls, config: ResolvedConfig) -> float:
        """Multiplications of drawing stage 1's inputs and of its steps, roughly."""
        n, d, m, steps = config.samples, config.dim, config.neurons, config.steps
        return n * d * (_DRAWING + 2.0 * m * steps)

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
