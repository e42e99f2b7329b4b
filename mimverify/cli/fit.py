"""`mimverify fit`: the reference trainer on a user's own data, read from disk at every pass."""

from __future__ import annotations

import inspect
import io
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import click
import numpy as np
from numpy.typing import NDArray
from rich import box
from rich.console import Console, RenderableType
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from mimverify.backends import BACKENDS, Backend, get_backend
from mimverify.cli.options import (
    check_distinct,
    check_writable,
    deliver,
    json_option,
    seed_option,
    threads_option,
)
from mimverify.designs.files import NpyRows, ParquetRows, npy_labels, parquet_labels
from mimverify.designs.rows import RowSource
from mimverify.designs.streamed import OnRows, StreamedDesign, streamed_bytes
from mimverify.errors import InputError, MimverifyError
from mimverify.files import write_whole
from mimverify.measure.prediction import normalised_error
from mimverify.memory import bytes_text, check_fits
from mimverify.network import ACTIVATIONS, LOSSES, get_activation, get_loss
from mimverify.threads import available_cores, thread_limit
from mimverify.training import LayerwiseTrainer, default_steps
from mimverify.validation import choice, dtype_name, integer, not_constant, number
from mimverify.versions import software_versions

_Command = TypeVar("_Command", bound=Callable[..., Any])

#: Directions whose shares the table shows.
_SHOWN = 6

_EPILOG = f"""
Losses: {", ".join(LOSSES)}; with delta, 'huber:0.5'.

Activations: {", ".join(ACTIVATIONS)}.

\b
Examples:
  mimverify fit X.npy --labels y.npy
  mimverify fit table.parquet --labels price --dtype float32 --json fit.json
  mimverify fit X.npy --labels y.npy --activation softplus --remove-linear-part

Exit code: 0 the run is complete; 1 it diverged; 2 wrong usage or input; 130 and 143
after Ctrl-C and SIGTERM. The steps finished so far are reported in any case.
"""


def _parameter(name: str, *declarations: str, **settings: Any) -> Callable[[_Command], _Command]:
    """An option that sets the argument `name` of `LayerwiseTrainer`, with its default."""
    default = inspect.signature(LayerwiseTrainer).parameters[name].default
    if default is not None:
        settings.setdefault("show_default", True)
    return click.option(*declarations, name, default=default, **settings)


@click.command(epilog=_EPILOG)
@click.argument("inputs", metavar="X")
@click.option(
    "--labels", required=True, metavar="Y",
    help="Labels: a .npy file, or the name of a column of the Parquet file X.",
)  # fmt: skip
@click.option(
    "--test-fraction", type=click.FloatRange(0, 1, max_open=True), default=0.1,
    show_default=True, metavar="F",
    help="Share of the rows, the last ones, kept for the test; 0: none.",
)  # fmt: skip
@_parameter(
    "steps", "--steps", type=int, metavar="T",
    help="Steps of stage 1 (default: ceil(log d / log(n/d)) + 2, which needs n > d).",
)  # fmt: skip
@_parameter("neurons", "--neurons", type=int, metavar="M", help="Neurons m, an even number.")
@_parameter("loss", "--loss", metavar="L", help="Loss of stage 1; see below.")
@_parameter("activation", "--activation", metavar="A", help="Activation; see below.")
@_parameter("backend", "--backend", metavar="numpy|torch", help="Array library.")
@_parameter("device", "--device", help="Torch device, such as 'cuda'.")
@click.option(
    "--dtype", default="float64", show_default=True, metavar="F", help="float32 or float64."
)
@_parameter(
    "schedule", "--schedule", metavar="scale-free|constant",
    help="Step sizes: beta = 1/eta with eta such that the largest neuron keeps its norm, or "
    "the eta and beta given.",
)  # fmt: skip
@_parameter("eta", "--eta", type=float, help="Learning rate of the constant schedule.")
@_parameter("beta", "--beta", type=float, help="Weight decay of the constant schedule.")
@_parameter("init_norm", "--init-norm", type=float, help="Norm of each neuron at the start.")
@_parameter(
    "remove_linear_part", "--remove-linear-part/--keep-linear-part",
    help="First regress the labels on the inputs, with the same loss; for activations with a "
    "slope at zero.",
)  # fmt: skip
@_parameter(
    "centre", "--centre/--no-centre", help="First fit the constant output, with the same loss."
)
@_parameter("ridge", "--ridge", type=float, help="Penalty of stage 2, per unit feature variance.")
@_parameter(
    "readout", "--readout", metavar="closed-form|gradient-descent", help="Solver of stage 2."
)
@_parameter("readout_neurons", "--readout-neurons", type=int, help="Random features of stage 2.")
@seed_option
@threads_option
@json_option
@click.option(
    "--save", "save_path", metavar="FILE.npz",
    help="Keep the trained network: W (m, d), a, b, the output weights and what they read.",
)  # fmt: skip
@click.option("--quiet", "-q", is_flag=True, help="No table and no progress, only errors.")
def fit(
    inputs: str,
    labels: str,
    test_fraction: float,
    dtype: str,
    seed: int,
    threads: int | None,
    json_path: str | None,
    save_path: str | None,
    quiet: bool,
    **parameters: Any,
) -> None:
    """Train a two-layer network, layer by layer, on data that need not fit in memory.

    X is a .npy file (n, d) or a Parquet file, which is read again at every pass. The first
    half of the rows trains the first layer and the second half the output weights, after
    the last rows are set aside for the test: rows should come in random order. The theory
    is about columns that are independent N(0, 1); they are taken as they are.

    Shown for each step of stage 1: how the weights' squared norm is divided over their
    singular directions. As many large shares, as many directions were learned.
    """
    check_writable("--json", json_path)
    if save_path is not None and Path(save_path).suffix != ".npz":
        raise InputError(f"--save={save_path!r}: expected a name that ends in .npz")
    check_writable("--save", save_path)
    for argument, path in (("X", inputs), ("--labels", labels)):
        check_distinct({argument: path, "--json": json_path, "--save": save_path})
    with _progress(quiet) as progress:
        run = _Run(
            inputs, labels, test_fraction, dtype, seed, threads, parameters, _Passes(progress)
        )

        def announce() -> None:
            if not quiet and json_path != "-":
                progress.stop()
                click.echo(f"memory: {bytes_text(run.memory)}")
                progress.start()

        try:
            with thread_limit(run.blas_threads):
                run.train(announce)
        except (KeyboardInterrupt, MimverifyError) as error:
            run.interrupted = isinstance(error, KeyboardInterrupt)
            run.error = str(error) if isinstance(error, MimverifyError) else None
            if run.singular_values:  # else the error says it all
                progress.stop()
                _report(run, json_path, quiet)
            raise
    if save_path is not None:
        write_whole(Path(save_path), _npz(run.trainer))
    _report(run, json_path, quiet)


def _report(run: _Run, json_path: str | None, quiet: bool) -> None:
    deliver(json_path, run.to_json, lambda: [] if quiet else _page(run))


# -- the run ------------------------------------------------------------------------------------


class _Run:
    """One training run on files, and what it measured so far. Checks all but the rows first."""

    def __init__(
        self,
        inputs: str,
        labels: str,
        test_fraction: float,
        dtype: str,
        seed: int,
        threads: int | None,
        parameters: dict[str, Any],
        passes: _Passes,
    ) -> None:
        self.rows, self.labels = _open(inputs, labels)
        backend = choice("backend", parameters["backend"], BACKENDS)
        self.backend: Backend = get_backend(
            backend, dtype_name("dtype", dtype), parameters["device"]
        )
        self.threads = available_cores() if threads is None else threads
        # Threads that read do the arithmetic as well, where there can be several.
        self.blas_threads = self.threads if self.rows.in_order else 1
        self.split = _Split.of(self.rows.n_rows, test_fraction)
        first = self.split.first
        steps = parameters["steps"]
        self.steps = (
            default_steps(first.stop - first.start, self.rows.dim)
            if steps is None
            else integer("steps", steps, minimum=0)
        )
        parameters |= {
            "backend": backend,
            "steps": self.steps,
            "loss": get_loss(parameters["loss"]),
            "activation": get_activation(parameters["activation"]),
        }
        self.trainer = LayerwiseTrainer(**parameters, random_state=seed)
        # Blocks of a pass; labels with a float64 copy; weights, gradient and their copies.
        self.memory = (
            streamed_bytes(
                self.rows.dim, self.backend, self.threads, parameters["neurons"],
                least=self.rows.least_rows,
            )
            + 16 * self.rows.n_rows
            + 6 * 8 * parameters["neurons"] * self.rows.dim
        )  # fmt: skip
        check_fits(self.memory, f"{inputs} with {parameters['neurons']} neurons")
        versions = software_versions("numpy")
        self.configuration = {
            "inputs": inputs,
            "labels": labels,
            "memory": self.memory,
            "rows": self.rows.n_rows,
            "dim": self.rows.dim,
            "test_fraction": test_fraction,
            "stage1_rows": self.split.size("first"),
            "stage2_rows": self.split.size("second"),
            "test_rows": self.split.size("test"),
            **{name: getattr(value, "name", value) for name, value in parameters.items()},
            "dtype": self.backend.dtype,
            "seed": seed,
            "threads": self.threads,
            "versions": {name: versions[name] for name in ("mimverify", "numpy")},
        }
        self._passes = passes
        self.singular_values: list[NDArray[np.floating[Any]]] = []
        self.seconds: list[float] = []
        self.test_error: float | None = None
        self.baselines: dict[str, float | None] = {"mean": None}
        self.interrupted = False
        self.error: str | None = None

    def train(self, announce: Callable[[], None]) -> None:
        """Both stages and the test; `announce` is called before the first pass over the rows."""
        split, y = self.split, self.labels
        for part in (split.first, split.second, split.test):
            if part is not None:
                not_constant(y[part])
        self.trainer.fit_first_layer(
            self._design(split.first, "stage 1"), y[split.first], observe=self._observe(announce)
        )
        self.trainer.fit_readout(self._design(split.second, "stage 2"), y[split.second])
        if split.test is not None:
            self._test(split.test, float(y[split.second].mean(dtype=np.float64)))

    def _design(self, rows: slice, phase: str) -> StreamedDesign:
        return StreamedDesign(
            self.rows[rows],
            self.backend,
            threads=self.threads,
            on_progress=self._passes.phase(phase),
        )

    def _observe(self, announce: Callable[[], None]) -> Callable[[int, Any], None]:
        resumed = time.perf_counter()

        def observe(t: int, W: Any) -> None:
            nonlocal resumed
            if t == 0:
                announce()
            seconds = time.perf_counter() - resumed if t else 0.0
            weights = self.backend.to_numpy(W).astype(np.float64)
            self.seconds.append(seconds)
            self.singular_values.append(np.asarray(np.linalg.svd(weights, compute_uv=False)))
            resumed = time.perf_counter()

        return observe

    def _test(self, rows: slice, mean: float) -> None:
        y = self.labels[rows]
        prediction = np.empty(len(y))
        for part, block in self._design(rows, "test").blocks():
            prediction[part] = self.trainer.predict(self.backend.to_numpy(block))
        self.test_error = normalised_error(prediction, y)
        self.baselines = {"mean": normalised_error(np.full(len(y), mean), y)}

    def shares(self) -> list[NDArray[np.floating[Any]]]:
        """Shares of ‖W‖² in W's singular directions, largest first, at t = 0, 1, …"""
        squares = [
            (values / max(values[0], np.finfo(float).tiny)) ** 2 for values in self.singular_values
        ]
        return [values / values.sum() for values in squares]

    def to_json(self) -> dict[str, Any]:
        """What was measured, as numbers, strings and lists."""
        return {
            "singular_values": [values.tolist() for values in self.singular_values],
            "shares": [values.tolist() for values in self.shares()],
            "seconds": self.seconds,
            "test_error": self.test_error,
            "baselines": self.baselines,
            "steps": max(len(self.singular_values) - 1, 0),
            "interrupted": self.interrupted,
            "error": self.error,
            "configuration": self.configuration,
        }


@dataclass(frozen=True)
class _Split:
    """Rows of stage 1, of stage 2 and of the test set, in the order of the data."""

    first: slice
    second: slice
    test: slice | None

    @classmethod
    def of(cls, n: int, test_fraction: float) -> _Split:
        number("test_fraction", test_fraction, minimum=0.0)  # NaN is inside any range of click's
        held_out = round(n * test_fraction)
        trained = n - held_out
        if trained < 2 or (test_fraction > 0 and held_out < 2):
            raise InputError(
                f"test_fraction={test_fraction:g} of {n} rows: expected at least two rows for the "
                "test (or 0, for none) and one for each stage"
            )
        half = trained // 2
        return cls(slice(0, half), slice(half, trained), slice(trained, n) if held_out else None)

    def size(self, part: str) -> int:
        rows: slice | None = getattr(self, part)
        return 0 if rows is None else rows.stop - rows.start


def _open(inputs: str, labels: str) -> tuple[RowSource, NDArray[np.floating[Any]]]:
    """The rows of X and all labels `(n,)`."""
    kind, own_file = Path(inputs).suffix.lower(), Path(labels).suffix.lower() == ".npy"
    rows: RowSource
    if kind == ".npy":
        if not own_file:
            raise InputError(f"--labels={labels!r}: expected a .npy file, as X is one")
        rows = NpyRows(inputs)
    elif kind in (".parquet", ".pq"):
        rows = ParquetRows(inputs, exclude=None if own_file else labels)
    else:
        raise InputError(f"X={inputs!r}: expected a name that ends in .npy or .parquet")
    y = npy_labels(labels) if own_file else parquet_labels(inputs, labels)
    if len(y) != rows.n_rows:
        raise InputError(
            f"--labels={labels!r}: has {len(y)} labels: expected {rows.n_rows}, one for each row "
            f"of {inputs}"
        )
    return rows, y


def _npz(trainer: LayerwiseTrainer) -> bytes:
    network, readout = trainer.network_, trainer.readout_
    arrays: dict[str, Any] = {
        "W": network.W,
        "a": network.a,
        "b": network.b,
        "directions": readout.directions,
        "readout_biases": readout.biases,
        "readout_weights": readout.weights,
        "readout_constant": np.array(readout.constant),
    }
    if readout.linear is not None:
        arrays["linear_part"] = readout.linear
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


# -- what is shown -----------------------------------------------------------------------------


def _progress(quiet: bool) -> Progress:
    """On standard error, if that is a terminal."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        TextColumn("{task.completed} of {task.total} rows"),
        TimeElapsedColumn(),
        console=Console(stderr=True),
        transient=True,
        disable=quiet or not sys.stderr.isatty(),
    )


@dataclass
class _Passes:
    """Counts the passes of each phase and shows the rows of the one that goes on."""

    progress: Progress
    _last: Any = field(default=None)

    def phase(self, name: str) -> OnRows:
        """What the design of a phase is to call after each block."""
        if self._last is not None:
            self.progress.remove_task(self._last)
        task = self._last = self.progress.add_task(f"{name}, pass 1", total=None)
        number = 1

        def on_rows(done: int, rows: int) -> None:
            nonlocal number
            self.progress.update(
                task, description=f"{name}, pass {number}", completed=done, total=rows
            )
            if done == rows:
                number += 1

        return on_rows


def _page(run: _Run) -> list[RenderableType]:
    text = (
        "{inputs}: d = {dim}, {stage1_rows} + {stage2_rows} rows for the two stages, {test_rows} "
        "for the test, {neurons} neurons, loss {loss}, activation {activation}, {schedule} "
        "schedule, {backend} {dtype} on {device}, seed {seed}"
    )
    parts: list[RenderableType] = [Text(text.format(**run.configuration), style="bold")]
    parts += [_shares_table(run), "share k: of the weights' squared norm, in their k-th direction."]
    if run.test_error is not None:
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
        table.add_column("predictor")
        table.add_column("test error", justify="right")
        table.add_row("this network", f"{run.test_error:.4f}", style="bold")
        table.add_row("predicting the mean", f"{run.baselines['mean']:.4f}")
        parts += [
            table,
            f"Mean squared error on the last {run.configuration['test_rows']} rows over the "
            "variance of their labels.",
        ]
    elif run.interrupted:
        taken = len(run.singular_values) - 1
        parts.append(f"Interrupted after step {taken} of {run.steps}; no test error.")
    return parts


def _shares_table(run: _Run) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    shares = run.shares()
    shown = min(_SHOWN, len(shares[0]))
    for heading in ("step", *(f"share {k + 1}" for k in range(shown)), "time"):
        table.add_column(heading, justify="right", no_wrap=True)
    for t, (values, seconds) in enumerate(zip(shares, run.seconds, strict=False)):
        cells = (f"{value:.4f}" for value in values[:shown])
        table.add_row(str(t), *cells, f"{seconds:.2f} s" if t else "")
    return table
