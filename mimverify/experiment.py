"""One experiment: draw a multi-index model, train on it, measure what was learned.

`run_experiment` is what `mimverify train` runs. `Experiment` is the same run as an object
that can be asked at any time what it has so far, for callers that may have to stop early.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Sized
from dataclasses import KW_ONLY, dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_info

from mimverify.backends import BACKENDS, get_backend
from mimverify.errors import InputError, MimverifyError
from mimverify.measure.prediction import Predictor, baseline_predictors, test_errors
from mimverify.measure.recorder import Recorder
from mimverify.network.activations import Activation, get_activation
from mimverify.network.losses import Loss, get_loss
from mimverify.problems.links import Link, get_link
from mimverify.problems.model import Dataset, MultiIndexModel
from mimverify.threads import thread_limit
from mimverify.training.schedules import default_samples, default_steps
from mimverify.training.stage2 import READOUTS
from mimverify.training.trainer import SCHEDULES, LayerwiseTrainer
from mimverify.validation import choice, dtype_name, integer, number
from mimverify.version import __version__

#: Names of the baselines, as in `baseline_predictors`.
BASELINES = ("mean", "linear", "oracle_subspace")

#: Called after each recorded step with the recorder.
OnStep = Callable[[Recorder], None]

#: Called with the phase, how much of it is done, and out of how much (None: not known).
OnProgress = Callable[[str, int, int | None], None]

_PROBE_ROWS = 16


@dataclass(frozen=True)
class ExperimentConfig:
    """What is run. Names and defaults are those of `mimverify train`.

    **Arguments**

    - `link`, `rank`: a `Link` or its specification; r only for a link that carries none.
    - `dim`, `samples`: d, and n *per stage*: both stages and the test set draw rows of
      their own. `samples=None` stands for n = ⌊d log² d⌋.
    - `steps`: T1; None stands for ceil(log d / log(n/d)) + 2, which needs n > d.
    - `seed`: of the subspace, the data, the start and the readout's biases.
    - `noise`: standard deviation of the labels' noise, the test set's included.
    - `test_samples`: rows of the test set.
    - `threads`: of every library's pool; None leaves them as they are.
    - the others: as for `MultiIndexModel` and `LayerwiseTrainer`.

    Nothing is checked before `resolved`.
    """

    link: Link | str
    _: KW_ONLY
    rank: int | None = None
    dim: int = 256
    samples: int | None = None
    steps: int | None = None
    neurons: int = 64
    loss: Loss | str = "huber"
    activation: Activation | str = "log-cosh"
    backend: str = "numpy"
    device: str = "cpu"
    dtype: str = "float64"
    seed: int = 0
    noise: float = 0.0
    schedule: str = "scale-free"
    eta: float | None = None
    beta: float | None = None
    init_norm: float = 1e-2
    remove_linear_part: bool = False
    centre: bool = True
    ridge: float = 1e-3
    readout: str = "closed-form"
    readout_neurons: int = 256
    test_samples: int = 10_000
    threads: int | None = None

    def resolved(self) -> ExperimentConfig:
        """This configuration with objects for names and figures for defaults.

        **Raises** `InputError` for a value that is out of range by itself. What depends on
        several values at once is left to those who use them.
        """
        link = get_link(self.link, rank=self.rank)
        dim = _size("dim", self.dim)
        if link.rank > dim:
            raise InputError(f"rank={link.rank}: expected at most dim={dim}")
        samples = default_samples(dim) if self.samples is None else self.samples
        samples = _size("samples", samples)
        steps = default_steps(samples, dim) if self.steps is None else self.steps
        schedule = choice("schedule", self.schedule, SCHEDULES)
        beta = 0.0 if schedule == "constant" and self.beta is None else self.beta
        return replace(
            self,
            link=link,
            rank=link.rank,
            dim=dim,
            samples=samples,
            steps=_size("steps", steps, minimum=0),
            neurons=_size("neurons", self.neurons, minimum=2),
            loss=get_loss(self.loss),
            activation=get_activation(self.activation),
            backend=choice("backend", self.backend, BACKENDS),
            dtype=dtype_name("dtype", self.dtype),
            # Larger seeds would share random streams with smaller ones.
            seed=integer("seed", self.seed, minimum=0, maximum=2**32 - 1),
            noise=number("noise", self.noise, minimum=0.0),
            schedule=schedule,
            beta=beta,
            ridge=number("ridge", self.ridge, minimum=0.0, exclusive=True),
            readout=choice("readout", self.readout, READOUTS),
            readout_neurons=_size("readout_neurons", self.readout_neurons),
            test_samples=_size("test_samples", self.test_samples, minimum=2),
            threads=None if self.threads is None else _size("threads", self.threads),
        )

    def to_json(self) -> dict[str, Any]:
        """The fields by name; links, losses and activations as their specifications."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: getattr(value, "name", value) for name, value in values.items()}


@dataclass(frozen=True)
class ExperimentResult:
    """What one run measured, possibly before it was over.

    **Arguments**

    - `configuration`: the resolved configuration, with the threads of the largest pool in
      force, the centring that was fitted (None where stage 1 did not end), and versions.
    - `alignment`, `span_recovery`, `seconds`: over t = 0 … `steps`; a step's time leaves
      measuring out and is 0 at t = 0.
    - `overlaps`, `principal_cosines`: `(steps + 1, r)`.
    - `test_error`: normalised, 1 = predicting the mean; None if it was not reached.
    - `baselines`: the same for each of `BASELINES`.
    - `interrupted`, `error`: why the run is not complete.
    - `subspace`: U `(r, d)`; `a`, `b`: `(m,)` of stage 1.
    - `weights`: `(steps + 1, m, d)` if they were to be kept, else None.
    - `trainer`: fitted as far as the run came.
    """

    configuration: dict[str, Any]
    alignment: list[float]
    span_recovery: list[float]
    overlaps: list[list[float]]
    principal_cosines: list[list[float]]
    seconds: list[float]
    test_error: float | None
    baselines: dict[str, float | None]
    interrupted: bool
    error: str | None
    subspace: NDArray[np.float64]
    a: NDArray[np.floating[Any]]
    b: NDArray[np.floating[Any]]
    weights: NDArray[np.floating[Any]] | None
    trainer: LayerwiseTrainer

    @property
    def steps(self) -> int:
        """Steps that were taken: `configuration["steps"]` unless the run was cut short."""
        return max(len(self.alignment) - 1, 0)

    def to_json(self) -> dict[str, Any]:
        """Everything but the arrays, as a dictionary of numbers, strings and lists."""
        return {
            "alignment": self.alignment,
            "span_recovery": self.span_recovery,
            "overlaps": self.overlaps,
            "principal_cosines": self.principal_cosines,
            "seconds": self.seconds,
            "test_error": self.test_error,
            "baselines": self.baselines,
            "steps": self.steps,
            "interrupted": self.interrupted,
            "error": self.error,
            "configuration": self.configuration,
        }

    def arrays(self) -> dict[str, NDArray[np.floating[Any]]]:
        """The trajectory, as `--save` keeps it. **Raises** `InputError` if it was not kept."""
        if self.weights is None:
            raise InputError("the weights were not kept; run with keep_weights=True")
        return {
            "weights": self.weights,
            "a": self.a,
            "b": self.b,
            "subspace": self.subspace,
            "alignment": np.array(self.alignment),
            "span_recovery": np.array(self.span_recovery),
        }


def _size(argument: str, value: Any, *, minimum: int = 1) -> int:
    """A count, small enough to be computed with."""
    count = integer(argument, value, minimum=minimum)
    if count > 10**15:
        raise InputError(f"{argument}={count}: too large for any machine")
    return count


def run_experiment(
    config: ExperimentConfig,
    *,
    on_step: OnStep | None = None,
    on_progress: OnProgress | None = None,
    keep_weights: bool = False,
) -> ExperimentResult:
    """Run an experiment to its end.

    **Arguments**

    - `on_step`: sees the recorder after each step of stage 1, t = 0 included.
    - `on_progress`: is told the phase of the run and how far it is.
    - `keep_weights`: keep the trajectory `(steps + 1, m, d)`.

    **Raises** `InputError` for a configuration that cannot be run, before any work is done
    wherever possible; `DivergenceError` when the weights leave the finite numbers.
    """
    experiment = Experiment(
        config, on_step=on_step, on_progress=on_progress, keep_weights=keep_weights
    )
    return experiment.run()


class Experiment:
    """One run that can be stopped: `result` tells at any time what there is so far.

    Arguments and exceptions as for `run_experiment`; the constructor makes all checks that
    need no data, and a rehearsal of zero steps.
    """

    def __init__(
        self,
        config: ExperimentConfig,
        *,
        on_step: OnStep | None = None,
        on_progress: OnProgress | None = None,
        keep_weights: bool = False,
    ) -> None:
        self.config = config.resolved()
        _check_memory(self.config, keep_weights=keep_weights)
        _check_removal(self.config)
        self.model = MultiIndexModel(
            self.config.link, self.config.dim, noise=self.config.noise, seed=self.config.seed
        )
        self.trainer = _trainer(self.config)
        self.recorder = Recorder(self.model.subspace, keep_weights=keep_weights, on_step=on_step)
        with thread_limit(self.config.threads):
            self._start = _rehearse(self.config, self.model)
            self._threads = _threads()
        self._progress: OnProgress = on_progress or _no_progress
        self._errors: dict[str, float] = {}

    def run(self) -> ExperimentResult:
        """Both stages and the test. **Raises** as `run_experiment`."""
        try:
            with thread_limit(self.config.threads):
                self._train_first_layer()
                baselines = self._train_readout()
                self._test(baselines)
        except Exception as error:
            if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
                raise InputError(f"out of memory: {_first_line(error)}") from error
            raise
        return self.result()

    def result(self, stopped_by: BaseException | None = None) -> ExperimentResult:
        """What has been recorded so far; `stopped_by` says why it is not more."""
        recorder = self.recorder
        columns: tuple[Sized, ...] = (
            recorder.alignment,
            recorder.span_recovery,
            recorder.overlaps,
            recorder.cosines,
            recorder.seconds,
            *([recorder.weights] if recorder.keep_weights else []),
        )
        whole = min(len(column) for column in columns)  # a signal may come amid a recording
        return ExperimentResult(
            configuration=self._configuration(),
            alignment=recorder.alignment[:whole],
            span_recovery=recorder.span_recovery[:whole],
            overlaps=[values.tolist() for values in recorder.overlaps[:whole]],
            principal_cosines=[values.tolist() for values in recorder.cosines[:whole]],
            seconds=recorder.seconds[:whole],
            test_error=self._errors.get("trainer"),
            baselines={name: self._errors.get(name) for name in BASELINES},
            interrupted=isinstance(stopped_by, KeyboardInterrupt),
            error=str(stopped_by) if isinstance(stopped_by, MimverifyError) else None,
            subspace=self.model.subspace,
            a=self._start.network_.a,
            b=self._start.network_.b,
            weights=self._weights(whole),
            trainer=self.trainer,
        )

    # -- phases ----------------------------------------------------------------------------

    # One stage's inputs are in memory at a time: each phase drops them when it returns.

    def _train_first_layer(self) -> None:
        data = self._draw("stage1")
        steps = self.config.steps

        def observe(t: int, W: Any) -> None:
            self.recorder(t, W)
            self._progress("stage 1: steps", t, steps)

        self._progress("stage 1: steps", 0, steps)
        self.trainer.fit_first_layer(data.X, data.y, observe=observe)

    def _train_readout(self) -> dict[str, Predictor]:
        data = self._draw("stage2")
        self._progress("stage 2: output weights", 0, None)
        self.trainer.fit_readout(data.X, data.y)
        self._progress("baselines", 0, None)
        return baseline_predictors(
            self.model,
            data,
            neurons=self.config.readout_neurons,
            ridge=self.config.ridge,
            seed=self.config.seed,
        )

    def _test(self, baselines: dict[str, Predictor]) -> None:
        # On d-dimensional inputs, though `reduce_model` would do for the network: the linear
        # baseline lives outside the span of W and U, all predictors should meet the very same
        # rows, and drawing them costs less than drawing one stage's data did.
        tested = 0

        def predict(X: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
            nonlocal tested
            prediction = self.trainer.predict(X)
            tested += X.shape[0]
            self._progress("test", tested, self.config.test_samples)
            return prediction

        self._progress("test", 0, self.config.test_samples)
        predictors = {"trainer": predict, **baselines}
        self._errors = test_errors(self.model, predictors, samples=self.config.test_samples)

    def _draw(self, purpose: str) -> Dataset:
        """`MultiIndexModel.sample`, telling how far it is."""
        n = self.config.samples
        assert n is not None  # resolved
        X = np.empty((n, self.config.dim), dtype=self.config.dtype)
        y = np.empty(n, dtype=self.config.dtype)
        phase = f"{purpose[:-1]} {purpose[-1]}: drawing data"
        self._progress(phase, 0, n)
        for rows, block in self.model.blocks(n, purpose=purpose):
            X[rows], y[rows] = block.X, block.y
            self._progress(phase, rows.stop, n)
        return Dataset(X, y)

    # -- the record ------------------------------------------------------------------------

    def _configuration(self) -> dict[str, Any]:
        centring = getattr(self.trainer, "centring_", None)
        return {
            **self.config.to_json(),
            "centring_constant": None if centring is None else centring.constant,
            "centring_offset": None if centring is None else centring.offset,
            "threads": self._threads,
            "versions": _versions(self.config.backend),
        }

    def _weights(self, whole: int) -> NDArray[np.floating[Any]] | None:
        if not self.recorder.keep_weights:
            return None
        if whole == 0:
            return self._start.network_.W[None][:0]
        return np.stack(self.recorder.weights[:whole])


def _no_progress(phase: str, done: int, total: int | None) -> None:
    pass


def _trainer(config: ExperimentConfig) -> LayerwiseTrainer:
    same = {field.name for field in fields(config)} & set(LayerwiseTrainer().get_params())
    return LayerwiseTrainer(
        random_state=config.seed, **{name: getattr(config, name) for name in same}
    )


# -- refusals before the work ----------------------------------------------------------------


def _check_removal(config: ExperimentConfig) -> None:
    """What the regression would refuse, before the data is drawn. Raises `InputError`."""
    if not config.remove_linear_part:
        return
    if not config.centre:
        raise InputError(
            "centre=False, remove_linear_part=True: the regression fits the constant too; "
            "give one of the two"
        )
    assert isinstance(config.loss, Loss)
    assert config.samples is not None
    if not config.loss.smooth:
        raise InputError(
            f"loss={config.loss.name!r}: its regression does not remove the linear part; "
            "use a smooth loss such as 'huber'"
        )
    if config.samples <= config.dim + 1:
        raise InputError(
            f"samples={config.samples}: removing the linear part needs more than "
            f"dim + 1 = {config.dim + 1}"
        )


def _rehearse(config: ExperimentConfig, model: MultiIndexModel) -> LayerwiseTrainer:
    """Zero steps on a few rows: whatever is wrong shows before the data is drawn.

    Returns the trainer at its start, `network_`. **Raises** `InputError`, also for a
    user's link or loss that raises.
    """
    try:
        X = model.block(0, _PROBE_ROWS).X
    except MimverifyError:
        raise
    except Exception as error:
        raise InputError(f"link {model.link.name}: raised {_first_line(error)}") from error
    y = np.linspace(-1.0, 1.0, len(X))
    _probe_loss(config, y)
    rehearsal = _trainer(config).set_params(steps=0, centre=False, remove_linear_part=False)
    return rehearsal.fit_first_layer(X, y)


def _probe_loss(config: ExperimentConfig, y: NDArray[np.float64]) -> None:
    loss = get_loss(config.loss)
    labels = get_backend(config.backend, config.dtype, config.device).asarray(y)
    try:
        shape = tuple(loss.derivative(0 * labels, labels).shape)
    except Exception as error:
        raise InputError(f"loss {loss.name}: raised {_first_line(error)}") from error
    if shape != y.shape:
        raise InputError(
            f"loss {loss.name}: l'(f, y) returned shape {shape} for f and y of shape {y.shape}"
        )


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__


def _check_memory(config: ExperimentConfig, *, keep_weights: bool) -> None:
    """Refuse what cannot fit, with the figures. Raises `InputError`."""
    needed, available = memory_needed(config, keep_weights=keep_weights), physical_memory()
    if available is not None and needed > available:
        raise InputError(
            f"dim={config.dim}, samples={config.samples}, neurons={config.neurons}, "
            f"readout_neurons={config.readout_neurons}: needs about {_bytes(needed)} of memory, "
            f"this machine has {_bytes(available)}"
        )


def memory_needed(config: ExperimentConfig, *, keep_weights: bool = False) -> int:
    """Bytes at the peak, roughly, of a resolved configuration.

    The inputs `(n, d)` of one stage at a time, with one byte an entry for the check that
    they are finite; two copies of their projections on the neurons, or on the oracle's
    directions; the weights; stage 2's Gram matrix; the test set's labels and predictions.
    """
    n, d, m, p = config.samples, config.dim, config.neurons, config.readout_neurons
    assert n is not None
    assert config.steps is not None
    size = np.dtype(config.dtype).itemsize
    copies = 4 + (2 * (config.steps + 1) if keep_weights else 0)
    directions = max(m, 64)  # as many as `baseline_predictors` gives the oracle at least
    training = n * d * (size + 1) + 2 * n * directions * size + copies * m * d * size
    return training + 8 * (4 * p * p + 8 * config.test_samples)


def physical_memory() -> int | None:
    """Bytes of memory that this process can have at most; None where that is not told."""
    try:
        limits = [os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")]
    except (AttributeError, ValueError, OSError):  # not a POSIX system
        return None
    try:
        with open("/sys/fs/cgroup/memory.max", encoding="ascii") as file:
            limits.append(int(file.read()))
    except (OSError, ValueError):  # not in a container, or one without a limit ("max")
        pass
    return min(limits)


def _bytes(count: int) -> str:
    units = ("B", "kB", "MB", "GB", "TB", "PB", "EB", "ZB", "YB")
    power = min((len(str(count)) - 1) // 3, len(units) - 1)
    return f"{count / 1000**power:.3g} {units[power]}"


# -- the environment ------------------------------------------------------------------------


def _threads() -> int:
    """Threads of the largest pool in force."""
    return max((int(pool["num_threads"]) for pool in threadpool_info()), default=1)


def _versions(backend: str) -> dict[str, str]:
    import scipy

    versions = {
        "mimverify": __version__,
        "numpy": np.__version__,
        "scipy": scipy.__version__,
        "python": platform.python_version(),
    }
    if backend == "torch":
        import torch  # only where its user has loaded it already

        versions["torch"] = str(torch.__version__)
    return versions
