"""One run on files: stage 1, stage 2 and the test on rows that stay on disk."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable
from typing import Any

import numpy as np

from mimverify.backends import BACKENDS, get_backend
from mimverify.designs.streamed import StreamedDesign, streamed_bytes
from mimverify.fitting.progress import OnPass, count_passes, no_passes
from mimverify.fitting.recorder import SpectrumRecorder
from mimverify.fitting.result import FitResult
from mimverify.fitting.sources import file_name, open_files
from mimverify.fitting.split import Split, row_count
from mimverify.measure.predictors import normalised_error
from mimverify.network.activations import get_activation
from mimverify.network.losses import get_loss
from mimverify.support.errors import InputError, MimverifyError
from mimverify.support.memory import bytes_text, check_fits
from mimverify.support.threads import available_cores, thread_limit
from mimverify.support.validation import (
    choice,
    dtype_name,
    integer,
    not_constant,
    number,
    parallel_count,
    size,
    step_count,
)
from mimverify.support.versions import software_versions
from mimverify.training.schedules import default_steps
from mimverify.training.stage2 import READOUTS
from mimverify.training.trainer import LayerwiseTrainer

#: Arguments of `LayerwiseTrainer` that a run on files takes under the same name.
PARAMETERS = (
    "steps", "neurons", "loss", "activation", "backend", "device", "schedule", "eta", "beta",
    "init_norm", "remove_linear_part", "centre", "ridge", "readout", "readout_neurons",
)  # fmt: skip


def fit_files(
    inputs: str | os.PathLike[str],
    labels: str | os.PathLike[str],
    *,
    test_fraction: float = 0.1,
    dtype: str = "float64",
    seed: int = 0,
    threads: int | None = None,
    on_step: Callable[[SpectrumRecorder], None] | None = None,
    on_pass: OnPass | None = None,
    **parameters: Any,
) -> FitResult:
    """Train both layers on data that need not fit in memory, and test them. See `FileFit`.

    The first half of the rows trains the first layer and the second half the output weights,
    after the last rows are set aside for the test: rows should come in random order. The
    theory is about columns that are independent N(0, 1); they are taken as they are.

    **Arguments**

    - `inputs`: X, a .npy file `(n, d)` or a Parquet file, read again at every pass.
    - `labels`: y, a .npy file `(n,)`, or the name of a column of the Parquet file `inputs`,
      whose other columns are then X. They are held in memory.
    - `test_fraction`: fraction of the rows, the last ones, kept for the test; 0: none.
    - `dtype`: `"float32"` or `"float64"`, which the rows are computed in.
    - `seed`: of the start and of stage 2's biases.
    - `threads`: threads that read and compute; None: one for each core.
    - `on_step`: called with the recorder after each step of stage 1, t = 0 included.
    - `on_pass`: called with the stage, the number of the pass, the rows done and all rows.
    - `parameters`: those of `PARAMETERS`, as for `LayerwiseTrainer`, with its defaults.

    **Raises** `InputError` for a file that is missing, damaged, of another shape or changed
    meanwhile, numbers that are not finite, constant labels, other bad arguments, and what
    cannot fit in memory; `DivergenceError` when the weights leave the finite numbers.
    """
    run = FileFit(
        inputs,
        labels,
        test_fraction=test_fraction,
        dtype=dtype,
        seed=seed,
        threads=threads,
        on_step=on_step,
        on_pass=on_pass,
        **parameters,
    )
    return run.run()


class FileFit:
    """One run on files that can be stopped: `result` returns at any time what there is so far.

    Arguments and exceptions as for `fit_files`; the constructor opens the files and checks
    all but the rows and what the trainer checks before its first pass over them.

    `memory` is the estimate of the run's peak in bytes; `announcement` states it in a line.
    """

    def __init__(
        self,
        inputs: str | os.PathLike[str],
        labels: str | os.PathLike[str],
        *,
        test_fraction: float = 0.1,
        dtype: str = "float64",
        seed: int = 0,
        threads: int | None = None,
        on_step: Callable[[SpectrumRecorder], None] | None = None,
        on_pass: OnPass | None = None,
        **parameters: Any,
    ) -> None:
        parameters = _with_defaults(parameters)
        # Used only after stage 1, which may take hours.
        parameters |= {
            "ridge": number("ridge", parameters["ridge"], minimum=0.0, exclusive=True),
            "readout": choice("readout", parameters["readout"], READOUTS),
            "readout_neurons": size("readout_neurons", parameters["readout_neurons"]),
        }
        inputs, labels = file_name("inputs", inputs), file_name("labels", labels)
        self._rows, self._labels = open_files(inputs, labels)
        backend = choice("backend", parameters["backend"], BACKENDS)
        self._backend = get_backend(backend, dtype_name("dtype", dtype), parameters["device"])
        self._threads = available_cores() if threads is None else parallel_count("threads", threads)
        self._check_squares()
        self._split = Split.of(self._rows.n_rows, test_fraction)
        steps = parameters["steps"]
        if steps is None:
            steps = default_steps(row_count(self._split.first), self._rows.dim)
        parameters |= {
            "backend": backend,
            "steps": step_count("steps", steps),
            "neurons": integer("neurons", parameters["neurons"], minimum=2),
            "loss": get_loss(parameters["loss"]),
            "activation": get_activation(parameters["activation"]),
        }
        seed = integer("seed", seed, minimum=0, maximum=2**32 - 1)
        self.trainer = LayerwiseTrainer(**parameters, random_state=seed)
        self.memory = self._memory_need(parameters["neurons"])
        check_fits(self.memory, f"{inputs} with {parameters['neurons']} neurons")
        self.recorder = SpectrumRecorder(self._backend, on_step)
        self._on_pass = on_pass or no_passes
        self._test_error: float | None = None
        self._baselines: dict[str, float | None] = {"mean": None}
        versions = software_versions("numpy")
        self._configuration = {
            "inputs": inputs,
            "labels": labels,
            "memory": self.memory,
            "rows": self._rows.n_rows,
            "dim": self._rows.dim,
            "test_fraction": float(test_fraction),
            "stage1_rows": row_count(self._split.first),
            "stage2_rows": row_count(self._split.second),
            "test_rows": row_count(self._split.test),
            **{name: getattr(value, "name", value) for name, value in parameters.items()},
            "dtype": self._backend.dtype,
            "seed": seed,
            "threads": self._threads,
            "versions": {name: versions[name] for name in ("mimverify", "numpy")},
        }

    @property
    def announcement(self) -> str:
        """The memory that the run will take, in one line."""
        return f"memory: {bytes_text(self.memory)}"

    def run(self) -> FitResult:
        """Both stages and the test. **Raises** as `fit_files`."""
        # Threads that read also do the arithmetic, where there can be several.
        with thread_limit(self._threads if self._rows.in_order else 1):
            self._train()
        return self.result()

    def result(self, stopped_by: BaseException | None = None) -> FitResult:
        """What has been measured so far; `stopped_by`: the exception that ended the run early."""
        recorder = self.recorder
        complete = len(recorder.singular_values)  # a signal may interrupt a recording
        return FitResult(
            configuration=self._configuration,
            singular_values=recorder.singular_values[:complete],
            seconds=recorder.seconds[:complete],
            test_error=self._test_error,
            baselines=self._baselines,
            interrupted=isinstance(stopped_by, KeyboardInterrupt),
            error=str(stopped_by) if isinstance(stopped_by, MimverifyError) else None,
            trainer=self.trainer,
        )

    def _check_squares(self) -> None:
        """**Raises** `InputError` for labels whose sum of squares overflows: no error is finite."""
        dtype = self._backend.dtype
        largest = float(np.abs(self._labels).max())
        limit = float(np.sqrt(np.finfo(dtype).max / len(self._labels)))
        if largest > limit:
            raise InputError(
                f"labels: the largest is {largest:.3g} in size: expected at most {limit:.3g}, so "
                f"that their squares stay finite in {dtype}"
            )

    # -- stages ----------------------------------------------------------------------------

    def _train(self) -> None:
        split, y = self._split, self._labels
        for rows in (split.first, split.second, split.test):
            if rows is not None:
                not_constant(y[rows])
        self.trainer.fit_first_layer(
            self._design(split.first, "stage 1"), y[split.first], observe=self.recorder
        )
        self.trainer.fit_readout(self._design(split.second, "stage 2"), y[split.second])
        if split.test is not None:
            self._test(split.test, float(y[split.second].mean(dtype=np.float64)))

    def _test(self, rows: slice, mean: float) -> None:
        y = self._labels[rows]
        prediction = np.empty(len(y))
        for block_rows, block in self._design(rows, "test").blocks():
            prediction[block_rows] = self.trainer.predict(self._backend.to_numpy(block))
        error = normalised_error(prediction, y)
        self._baselines = {"mean": normalised_error(np.full(len(y), mean), y)}
        self._test_error = error

    def _design(self, rows: slice, stage: str) -> StreamedDesign:
        return StreamedDesign(
            self._rows[rows],
            self._backend,
            threads=self._threads,
            on_progress=count_passes(stage, row_count(rows), self._on_pass),
        )

    def _memory_need(self, neurons: int) -> int:
        """Blocks of a pass; labels with a float64 copy; weights, gradient and their copies."""
        rows = self._rows
        blocks = streamed_bytes(
            rows.dim, self._backend, self._threads, neurons, least=rows.least_rows
        )
        return blocks + 16 * rows.n_rows + 6 * 8 * neurons * rows.dim


def _with_defaults(given: dict[str, Any]) -> dict[str, Any]:
    """All of `PARAMETERS`. **Raises** `InputError` for any other name."""
    known = {choice("parameter", name, PARAMETERS): value for name, value in given.items()}
    defaults = inspect.signature(LayerwiseTrainer).parameters
    missing = (name for name in PARAMETERS if name not in known)
    return known | {name: defaults[name].default for name in missing}
