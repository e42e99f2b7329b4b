"""`mimverify fit`: the reference trainer on a user's own data, read from disk at every pass."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
from rich import box
from rich.console import RenderableType
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from mimverify.cli.exit_codes import ExitCodes
from mimverify.cli.number_types import Count, Number
from mimverify.cli.options import (
    PageConsole,
    check_distinct,
    check_writable,
    deliver,
    json_option,
    seed_option,
    threads_option,
    write_arrays,
)
from mimverify.cli.problem_options import problem_option
from mimverify.cli.progress_bars import ProgressBars
from mimverify.network import ACTIVATIONS, LOSSES
from mimverify.support.errors import InputError, MimverifyError

if TYPE_CHECKING:
    from mimverify.fitting import FitResult, SpectrumRecorder

SECTION = "Train"
EXIT_CODES = ExitCodes(
    success="the run is complete",
    failure="it diverged",
)

_Command = TypeVar("_Command", bound=Callable[..., Any])

#: Columns of the table of shares.
_SHOWN = 6

_EPILOG = f"""
Losses: {", ".join(LOSSES)}; with delta, 'huber:0.5'.

Activations: {", ".join(ACTIVATIONS)}.

\b
Examples:
  mimverify fit X.npy --labels y.npy
  mimverify fit table.parquet --labels price --dtype float32 --json fit.json
  mimverify fit X.npy --labels y.npy --activation softplus --remove-linear-part

{EXIT_CODES} The steps finished so far are reported in any case.
"""


def _parameter(name: str, *declarations: str, **settings: Any) -> Callable[[_Command], _Command]:
    """An option that sets the argument `name` of `LayerwiseTrainer`, with its default."""
    from mimverify.training import LayerwiseTrainer

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
    "--test-fraction", type=Number(minimum=0, below=1), default=0.1,
    show_default=True, metavar="F",
    help="Share of the rows, the last ones, kept for the test; 0: none.",
)  # fmt: skip
@problem_option("steps")
@problem_option("neurons")
@problem_option("loss")
@problem_option("activation")
@problem_option("backend")
@problem_option("device")
@problem_option("dtype")
@_parameter(
    "schedule", "--schedule", metavar="scale-free|constant",
    help="Step sizes: beta = 1/eta with eta such that the largest neuron keeps its norm, or "
    "the eta and beta given.",
)  # fmt: skip
@_parameter("eta", "--eta", type=Number(), help="Learning rate of the constant schedule.")
@_parameter("beta", "--beta", type=Number(), help="Weight decay of the constant schedule.")
@_parameter("init_norm", "--init-norm", type=Number(), help="Norm of each neuron at the start.")
@_parameter(
    "remove_linear_part", "--remove-linear-part/--keep-linear-part",
    help="First regress the labels on the inputs, with the same loss; for activations with a "
    "slope at zero.",
)  # fmt: skip
@_parameter(
    "centre", "--centre/--no-centre", help="First fit the constant output, with the same loss."
)
@_parameter(
    "ridge", "--ridge", type=Number(), help="Penalty of stage 2, per unit feature variance."
)
@_parameter(
    "readout", "--readout", metavar="closed-form|gradient-descent", help="Solver of stage 2."
)
@_parameter(
    "readout_neurons", "--readout-neurons", type=Count(), help="Random features of stage 2."
)
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
    json_path: str | None,
    save_path: str | None,
    quiet: bool,
    **options: Any,
) -> None:
    """Train a two-layer network, layer by layer, on data that need not fit in memory.

    X is a .npy file (n, d) or a Parquet file, which is read again at every pass. The first
    half of the rows trains the first layer and the second half the output weights, after
    the last rows are set aside for the test: rows should come in random order. The theory
    is about columns that are independent N(0, 1); they are taken as they are.

    Shown for each step of stage 1: how the weights' squared norm is divided over their
    singular directions. As many large shares, as many directions were learned.
    """
    from mimverify.fitting import FileFit

    check_writable("--json", json_path)
    if save_path is not None and Path(save_path).suffix != ".npz":
        raise InputError(f"--save={save_path!r}: expected a name that ends in .npz")
    check_writable("--save", save_path)
    for argument, path in (("X", inputs), ("--labels", labels)):
        check_distinct({argument: path, "--json": json_path, "--save": save_path})
    with _progress(quiet) as progress:

        def on_step(recorder: SpectrumRecorder) -> None:
            # Only after the first one: until then the trainer may refuse its arguments.
            if len(recorder.singular_values) == 1 and not quiet and json_path != "-":
                progress.stop()
                click.echo(run.announcement)
                progress.start()

        with _arguments_as_typed():
            run = FileFit(inputs, labels, on_step=on_step, on_pass=_Passes(progress), **options)
        try:
            result = run.run()
        except (KeyboardInterrupt, MimverifyError) as error:
            result = run.result(stopped_by=error)
            if result.singular_values:  # else the error message suffices
                progress.stop()
                _report(result, json_path, quiet)
            raise
    try:
        if save_path is not None:
            write_arrays(save_path, result.arrays())
    finally:
        _report(result, json_path, quiet)


@contextmanager
def _arguments_as_typed() -> Iterator[None]:
    """Errors name `inputs` and `labels` as on the command line."""
    try:
        yield
    except InputError as error:
        text = str(error)
        for argument, typed in (("inputs=", "X="), ("labels=", "--labels=")):
            if text.startswith(argument):
                raise InputError(typed + text.removeprefix(argument)) from None
        raise


def _report(result: FitResult, json_path: str | None, quiet: bool) -> None:
    deliver(json_path, result.to_json, lambda: [] if quiet else _page(result))


# -- output ------------------------------------------------------------------------------------


def _progress(quiet: bool) -> Progress:
    """On standard error, if that is a terminal."""
    return ProgressBars(
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        TextColumn("{task.completed} of {task.total} rows"),
        TimeElapsedColumn(),
        console=PageConsole(stderr=True),
        transient=True,
        disable=quiet or not sys.stderr.isatty(),
    )


@dataclass
class _Passes:
    """Shows the rows of the current pass, one task for each stage."""

    progress: Progress
    _stage: str = ""
    _task: TaskID | None = None

    def __call__(self, stage: str, number: int, done: int, rows: int) -> None:
        """`done` of `rows` are done in a stage's pass."""
        description = f"{stage}, pass {number}"
        if self._task is None or stage != self._stage:
            if self._task is not None:
                self.progress.remove_task(self._task)
            self._stage = stage
            self._task = self.progress.add_task(description, total=None)
        if done:  # a stage that has just begun shows no length
            self.progress.update(self._task, description=description, completed=done, total=rows)


def _page(result: FitResult) -> list[RenderableType]:
    text = (
        "{inputs}: d = {dim}, {stage1_rows} + {stage2_rows} rows for the two stages, {test_rows} "
        "for the test, {neurons} neurons, loss {loss}, activation {activation}, {schedule} "
        "schedule, {backend} {dtype} on {device}, seed {seed}"
    )
    blocks: list[RenderableType] = [Text(text.format(**result.configuration), style="bold")]
    blocks += [
        _shares_table(result),
        "share k: of the weights' squared norm, in their k-th direction.",
    ]
    if result.test_error is not None:
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
        table.add_column("predictor")
        table.add_column("test error", justify="right")
        table.add_row("this network", f"{result.test_error:.4f}", style="bold")
        table.add_row("predicting the mean", f"{result.baselines['mean']:.4f}")
        blocks += [
            table,
            f"Mean squared error on the last {result.configuration['test_rows']} rows over the "
            "variance of their labels.",
        ]
    elif result.interrupted:
        planned = result.configuration["steps"]
        blocks.append(f"Interrupted after step {result.steps} of {planned}; no test error.")
    return blocks


def _shares_table(result: FitResult) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    shares = result.shares
    shown = min(_SHOWN, len(shares[0]))
    for heading in ("step", *(f"share {k + 1}" for k in range(shown)), "time"):
        table.add_column(heading, justify="right", no_wrap=True)
    for t, (values, seconds) in enumerate(zip(shares, result.seconds, strict=True)):
        cells = (f"{value:.4f}" for value in values[:shown])
        table.add_row(str(t), *cells, f"{seconds:.2f} s" if t else "")
    return table
