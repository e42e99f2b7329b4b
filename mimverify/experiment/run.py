"""One run: stage 1, stage 2 and the test, recorded along the way."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sized
from contextlib import contextmanager

import numpy as np

from mimverify.designs.distributed import Communicator, process_group
from mimverify.experiment.checks import check_combinations, rehearse
from mimverify.experiment.config import ExperimentConfig
from mimverify.experiment.environment import library_versions
from mimverify.experiment.memory_need import MemoryItem, MemoryNeed, announcement
from mimverify.experiment.progress import OnProgress, OnStep, PhaseClock, no_progress
from mimverify.experiment.reference_trainer import trainer_for
from mimverify.experiment.resolved import ResolvedConfig
from mimverify.experiment.result import BASELINES, ExperimentResult
from mimverify.experiment.resumption import claim_checkpoint, keep_step, resume_run
from mimverify.experiment.stages import stages_for
from mimverify.measure.recorder import Recorder
from mimverify.network.activations import get_activation
from mimverify.network.losses import get_loss
from mimverify.support.arrays import Array, FloatArray
from mimverify.support.errors import InputError, MimverifyError
from mimverify.support.importing import summarise
from mimverify.support.memory import available_memory, check_fits
from mimverify.support.strict_json import Json
from mimverify.support.threads import current_threads, thread_limit
from mimverify.training.pass_name import pass_name
from mimverify.training.stage1 import FirstLayerState


def run_experiment(
    config: ExperimentConfig | ResolvedConfig,
    *,
    on_step: OnStep | None = None,
    on_progress: OnProgress | None = None,
    keep_weights: bool = False,
) -> ExperimentResult:
    """Run an experiment to its end.

    A run of a distributed design takes part in the process group that `torchrun` describes; every
    process gets the same result.

    **Arguments**

    - `on_step`: called with the recorder after each step of stage 1, t = 0 included.
    - `on_progress`: called with the phase of the run, how much of it is done, and its total.
    - `keep_weights`: keep the trajectory `(steps + 1, m, d)`.

    **Raises** `InputError` for a configuration that cannot be run, before any work is done
    wherever possible; `DivergenceError` when the weights leave the finite numbers;
    `LostProcessError` when another process of a distributed run is gone.
    """
    with processes_of(config) as communicator:
        experiment = Experiment(
            config,
            on_step=on_step,
            on_progress=on_progress,
            keep_weights=keep_weights,
            communicator=communicator,
        )
        return experiment.run()


@contextmanager
def processes_of(config: ExperimentConfig | ResolvedConfig) -> Iterator[Communicator]:
    """This process among those of a run: `torchrun`'s, where the design is shared by them.

    **Raises** as `process_group`, and `InputError` for a bad value of the configuration.
    """
    if stages_for(config.resolved().design).distributed:
        with process_group(config.device) as communicator:
            yield communicator
    else:
        yield Communicator(config.device)


class Experiment:
    """One run that can be stopped: `result` returns at any time what there is so far.

    Arguments and exceptions as for `run_experiment`; the constructor makes all checks that
    need no data, and a rehearsal of zero steps.

    - `communicator`: of a run of several processes; None is a run of one.

    `memory` is the estimate of the run's peak; `announcement` states it in a line.
    """

    def __init__(
        self,
        config: ExperimentConfig | ResolvedConfig,
        *,
        on_step: OnStep | None = None,
        on_progress: OnProgress | None = None,
        keep_weights: bool = False,
        communicator: Communicator | None = None,
    ) -> None:
        self.config = config.resolved()
        self.communicator = communicator or Communicator(self.config.device)
        check_combinations(self.config)
        if keep_weights and self.config.resume:
            raise InputError(
                "resume=True: a checkpoint holds the last weights only; the trajectory cannot be "
                "kept from there"
            )
        self.memory = memory_need(
            self.config, keep_weights=keep_weights, ranks=self.communicator.ranks
        )
        strategy = stages_for(self.config.design)
        self._available = available_memory(self.communicator.device, on_host=strategy.on_host)
        self._check_memory()
        self.model = self.config.model()
        self.trainer = trainer_for(self.config)
        self.recorder = Recorder(self.model.subspace, keep_weights=keep_weights, on_step=on_step)
        with thread_limit(self.config.threads):
            start = rehearse(self.config, self.model).network_
            self._threads = current_threads()
        self._a, self._b, self._dtype = start.a, start.b, start.W.dtype
        self._resume = self._state_to_resume()
        self._progress = PhaseClock(on_progress or no_progress)
        self._stages = strategy(self.config, self.model, self._progress, self.communicator)
        self._errors: dict[str, float] = {}

    @property
    def announcement(self) -> str:
        """The memory that the run will take, and how much there is, in one line."""
        return announcement(self.memory, self._available, processes=self._processes)

    def run(self) -> ExperimentResult:
        """Both stages and the test. **Raises** as `run_experiment`."""
        try:
            # The processes of a resumed run must also have read the same checkpoint.
            state = (self.config.to_json(), self.recorder.alignment)
            self.communicator.check_same("configuration or checkpoint", repr(state))
            with thread_limit(self.config.threads):
                self._train_first_layer()
                predictors = self._stages.second_layer(self.trainer)
                self._errors = self._stages.test(predictors)
            self._progress.stop()
        except Exception as error:
            if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
                raise InputError(f"out of memory: {summarise(error)}") from error
            raise
        return self.result()

    def result(self, stopped_by: BaseException | None = None) -> ExperimentResult:
        """What has been recorded so far; `stopped_by`: the exception that ended the run early."""
        recorder = self.recorder
        columns: tuple[Sized, ...] = (
            recorder.alignment,
            recorder.span_recovery,
            recorder.overlaps,
            recorder.cosines,
            recorder.seconds,
            *([recorder.weights] if recorder.keep_weights else []),
        )
        complete = min(len(column) for column in columns)  # a signal may interrupt a recording
        return ExperimentResult(
            configuration=self._configuration(),
            alignment=recorder.alignment[:complete],
            span_recovery=recorder.span_recovery[:complete],
            overlaps=[values.tolist() for values in recorder.overlaps[:complete]],
            principal_cosines=[values.tolist() for values in recorder.cosines[:complete]],
            seconds=recorder.seconds[:complete],
            phases=dict(self._progress.seconds),
            test_error=self._errors.get("trainer"),
            baselines={name: self._errors.get(name) for name in BASELINES},
            interrupted=isinstance(stopped_by, KeyboardInterrupt),
            error=str(stopped_by) if isinstance(stopped_by, MimverifyError) else None,
            subspace=self.model.subspace,
            a=self._a,
            b=self._b,
            weights=self._weights(complete),
            trainer=self.trainer,
        )

    # -- stage 1 ---------------------------------------------------------------------------

    def _state_to_resume(self) -> FirstLayerState | None:
        path = self.config.checkpoint
        if path is None:
            return None
        if self.communicator.rank == 0:  # before the work, not at its first checkpoint
            claim_checkpoint(path, self.recorder)
        if not self.config.resume:
            return None
        return resume_run(path, self.config, self.recorder)

    def _train_first_layer(self) -> None:
        design, y = self._stages.first_layer()
        steps = self.config.steps
        checkpoint = self.config.checkpoint if self.communicator.rank == 0 else None

        def observe(t: int, W: Array) -> None:
            self.recorder(t, W)
            if checkpoint is not None:
                W = design.backend.to_numpy(W)
                keep_step(checkpoint, self.config, self.recorder, self.trainer, t, W)
            self._progress("stage 1: steps", t, steps)

        if self._resume is not None:
            self.recorder.resume()
        self._progress("stage 1: steps", 0 if self._resume is None else self._resume.step, steps)
        self.trainer.fit_first_layer(design, y, observe=observe, resume=self._resume)

    # -- the record ------------------------------------------------------------------------

    def _configuration(self) -> Json:
        centring = getattr(self.trainer, "centring_", None)
        return {
            **self.config.to_json(),
            "centring_constant": None if centring is None else centring.constant,
            "centring_offset": None if centring is None else centring.offset,
            "threads": self._threads,
            "memory": self.memory.total,
            "versions": library_versions(self.config.backend),
            "pass": pass_name(
                self.config.backend,
                get_activation(self.config.activation),
                get_loss(self.config.loss),
            ),
        }

    def _weights(self, complete: int) -> FloatArray | None:
        if not self.recorder.keep_weights:
            return None
        if complete == 0:
            return np.empty((0, len(self._a), self.config.dim), dtype=self._dtype)
        return np.stack(self.recorder.weights[:complete])

    # -- memory ----------------------------------------------------------------------------

    @property
    def _processes(self) -> int:
        """Processes of this run on this machine, where they share its memory."""
        if self.communicator.ranks == 1 or self.communicator.device != "cpu":
            return 1
        return int(os.environ.get("LOCAL_WORLD_SIZE", "1"))  # torchrun's

    def _check_memory(self) -> None:
        config = self.config
        sizes = (
            f"dim={config.dim}, samples={config.samples}, neurons={config.neurons}, "
            f"readout_neurons={config.readout_neurons}, design={config.design!r}"
        )
        strategy = stages_for(config.design)
        check_fits(
            self._processes * self.memory.total,
            sizes,
            self.communicator.device,
            on_host=strategy.on_host,
            advice=strategy.advice,
        )


def memory_need(
    config: ResolvedConfig, *, keep_weights: bool = False, ranks: int = 1
) -> MemoryNeed:
    """The memory of a run at its peak, in each of `ranks` processes."""
    need = stages_for(config.design).memory(config, ranks=ranks)
    if not keep_weights:
        return need
    size = np.dtype(config.dtype).itemsize
    kept = (config.steps + 1) * config.neurons * config.dim * size
    # Once in the recorder, and once more as the result's one array.
    return need.plus(
        MemoryItem("trajectory", 2 * kept, f"weights of {config.steps + 1} steps, twice")
    )


def memory_needed(config: ResolvedConfig, *, keep_weights: bool = False, ranks: int = 1) -> int:
    """Bytes at the peak, roughly, in each of `ranks` processes."""
    return memory_need(config, keep_weights=keep_weights, ranks=ranks).total
