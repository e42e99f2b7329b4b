"""`mimverify train`: one run of the reference trainer, measured along the way."""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar

import click
from rich import box
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from mimverify.cli.exit_codes import ExitCodes
from mimverify.cli.number_types import Count, Number
from mimverify.cli.options import (
    PageConsole,
    check_distinct,
    check_figure,
    check_writable,
    figure_option,
    json_option,
    seed_option,
    threads_option,
    write_arrays,
    write_json,
)
from mimverify.cli.problem_options import problem_option
from mimverify.experiment import DESIGNS, designs_where, processes_of, stages_for
from mimverify.network import ACTIVATIONS, LOSSES
from mimverify.pages.figures import save_figure
from mimverify.problems import LINKS, input_names
from mimverify.support.errors import InputError, MimverifyError
from mimverify.support.strict_json import Json

if TYPE_CHECKING:
    from mimverify.cli.forecast import Forecast, Interval
    from mimverify.designs.distributed import Communicator
    from mimverify.experiment import ExperimentConfig, ExperimentResult
    from mimverify.measure import Recorder
    from mimverify.support.arrays import Float64Array
    from mimverify.training import LayerwiseTrainer

SECTION = "Train"
EXIT_CODES = ExitCodes(
    success="the run is complete",
    failure="it diverged, or a process of it died",
)

_Command = TypeVar("_Command", bound=Callable[..., Any])

_EPILOG = f"""
Links: {", ".join(LINKS)}. Some take parameters: 'quadratic:1,-0.5',
'polynomial:rank=2,degree=4,seed=7', 'relu-network:rank=2,width=8,seed=0'.

Losses: {", ".join(LOSSES)}; with delta, 'huber:0.5'.

Activations: {", ".join(ACTIVATIONS)}.

Inputs: {", ".join(input_names())}; with parameters 'student-t:5', 'ar:0.6',
'gaussian-mixture:0.1,3', 'rows:FILE.npy'; or 'module:law'.

\b
Examples:
  mimverify train cos2z --predict
  mimverify train cos2z --predict --figure cos2z.png
  mimverify train tanh3 --dim 512 --neurons 128 --json tanh3.json
  mimverify train cos2z --inputs uniform --subspace axes
  mimverify train relu-sum --activation softplus --loss squared \\
      --remove-linear-part
  mimverify train my_links:ridge --rank 2 --backend torch --dtype float32
  # no d x n matrix: only the directions that training asks for
  mimverify train cos2z --dim 100000 --samples 4000000 --neurons 8 \\
      --dtype float32 --readout-neurons 32 --design lazy
  torchrun --nproc-per-node 2 -m mimverify train cos2z --design sharded
  # plain gradient descent from the symmetric start
  mimverify train he2 --steps 20 --schedule constant --eta 50 --no-centre

{EXIT_CODES} The steps finished so far are reported in any case.
"""


_HELD = " ".join(f"{name}: {stages_for(name).summary}." for name in DESIGNS)


def _field_option(name: str, *declarations: str, **settings: Any) -> Callable[[_Command], _Command]:
    """An option that sets the field `name` of `ExperimentConfig`, with the field's default."""
    from mimverify.experiment import ExperimentConfig

    default = next(field.default for field in fields(ExperimentConfig) if field.name == name)
    if default is not None:
        settings.setdefault("show_default", True)
    return click.option(*declarations, name, default=default, **settings)


@click.command(epilog=_EPILOG)
@click.argument("link")
@problem_option("dim")
@problem_option(
    "samples",
    help="Samples of each stage: stage 1 trains on N, stage 2 on N fresh ones, and the test set "
    "is fresh as well (default: d log² d).",
)
@problem_option("steps")
@problem_option("neurons")
@problem_option("loss")
@problem_option("activation")
@problem_option("noise")
@problem_option("inputs")
@problem_option("subspace")
@problem_option("rank")
@problem_option("backend")
@problem_option("device")
@problem_option("dtype")
@_field_option(
    "schedule", "--schedule", metavar="scale-free|constant",
    help="Step sizes: beta = 1/eta with eta such that the largest neuron keeps its norm, or "
    "the eta and beta given.",
)  # fmt: skip
@_field_option("eta", "--eta", type=Number(), help="Learning rate of the constant schedule.")
@_field_option(
    "beta", "--beta", type=Number(), help="Weight decay of the constant schedule (default: 0)."
)
@_field_option("init_norm", "--init-norm", type=Number(), help="Norm of each neuron at the start.")
@_field_option(
    "remove_linear_part", "--remove-linear-part/--keep-linear-part",
    help="First regress the labels on the inputs, with the same loss; for activations with a "
    "slope at zero.",
)  # fmt: skip
@_field_option(
    "centre", "--centre/--no-centre", help="First fit the constant output, with the same loss."
)
@_field_option(
    "ridge", "--ridge", type=Number(), help="Penalty of stage 2, per unit feature variance."
)
@_field_option(
    "readout", "--readout", metavar="closed-form|gradient-descent", help="Solver of stage 2."
)
@_field_option(
    "readout_neurons", "--readout-neurons", type=Count(), help="Random features of stage 2."
)
@_field_option("test_samples", "--test-samples", type=Count(), help="Samples of the test set.")
@_field_option(
    "design", "--design", metavar="|".join(DESIGNS),
    help=f"How the inputs are held. {_HELD}",
)  # fmt: skip
@_field_option(
    "baselines", "--baselines/--no-baselines",
    help="Also fit the baselines of the test error.",
)  # fmt: skip
@_field_option(
    "checkpoint", "--checkpoint", metavar="FILE.npz",
    help="Keep the run as of its last step in this file.",
)  # fmt: skip
@_field_option("resume", "--resume", is_flag=True, help="Go on from the checkpoint.")
@seed_option
@threads_option
@click.option(
    "--predict", "predicted", is_flag=True,
    help="Show what theory predicts beside what is measured: alignment, span recovery and test "
    "error.",
)  # fmt: skip
@figure_option("Draw alignment, span recovery and test error, with --predict over the prediction")
@json_option
@click.option(
    "--save", "save_path", metavar="FILE.npz",
    help="Keep the trajectory: weights (T + 1, m, d), a, b, subspace, alignment, span_recovery. "
    "Not with --resume.",
)  # fmt: skip
@click.option("--quiet", "-q", is_flag=True, help="No tables and no progress, only errors.")
def train(
    json_path: str | None,
    save_path: str | None,
    figure_path: str | None,
    quiet: bool,
    predicted: bool,
    **options: Any,
) -> None:
    """Train a two-layer network on the multi-index model LINK, layer by layer.

    LINK is a name from the list below, or 'module:function' naming a function from hidden
    features (n, r) to labels (n,). Shown for each step of stage 1: the alignment of the
    first layer with the hidden subspace and how much of the subspace it spans; in the end
    the test error beside its baselines.
    """
    from mimverify.experiment import ExperimentConfig

    check_writable("--json", json_path)
    _check_save(save_path)
    check_figure(figure_path)
    check_writable("--checkpoint", options["checkpoint"])
    check_distinct(
        {
            "--json": json_path,
            "--save": save_path,
            "--figure": figure_path,
            "--checkpoint": options["checkpoint"],
        }
    )
    if save_path is not None and options["resume"]:
        raise InputError(
            f"--save={save_path!r}: a checkpoint holds the last weights only, so that with "
            "--resume the trajectory before them cannot be kept: expected one of the two"
        )
    config = ExperimentConfig(**options)
    output = _Output(json_path, save_path, figure_path, quiet, predicted)
    design, processes = config.resolved().design, os.environ.get("WORLD_SIZE", "1")
    if processes != "1" and not stages_for(design).distributed:
        raise InputError(
            f"WORLD_SIZE={processes}, design={design!r}: several processes share a run with "
            f"{designs_where(lambda stages: stages.distributed)} only"
        )
    with processes_of(config) as communicator:
        _run(config, output if communicator.rank == 0 else _SILENT, communicator)


@dataclass(frozen=True)
class _Output:
    """The outputs of a run."""

    json_path: str | None = None
    save_path: str | None = None
    figure_path: str | None = None
    quiet: bool = True
    predicted: bool = False


_SILENT = _Output()  # of all processes but the first


def _run(config: ExperimentConfig, output: _Output, communicator: Communicator) -> None:
    from mimverify.cli.forecast import forecast
    from mimverify.experiment import Experiment

    view = _View(out=not output.quiet and output.json_path != "-", progress=not output.quiet)
    experiment = Experiment(
        config,
        on_step=view.on_step,
        on_progress=view.on_progress,
        keep_weights=output.save_path is not None,
        communicator=communicator,
    )
    expected = forecast(experiment.config) if output.predicted else None
    view.show([experiment.announcement])
    try:
        with view:
            result = experiment.run()
    except (KeyboardInterrupt, MimverifyError) as error:
        _report(experiment.result(stopped_by=error), expected, view, output)
        raise
    _report(result, expected, view, output)


def _check_save(path: str | None) -> None:
    if path is not None and Path(path).suffix != ".npz":
        raise InputError(f"--save={path!r}: expected a name that ends in .npz")
    check_writable("--save", path)


def _report(
    result: ExperimentResult,
    expected: Forecast | None,
    view: _View,
    output: _Output,
) -> None:
    json_path, save_path = output.json_path, output.save_path
    stopped = result.interrupted or result.error is not None
    if result.error is not None and not result.alignment:
        return  # the error message suffices
    record = result.to_json()
    if expected is not None:
        record |= expected.to_json()
    saved = save_path is not None and bool(result.alignment)
    try:  # what cannot be written leaves the rest
        if json_path is not None:
            write_json(json_path, record)
    finally:
        try:
            if save_path is not None and saved:
                write_arrays(save_path, result.arrays())
        finally:
            view.show(_tables(result, expected))
    if output.figure_path is not None and result.alignment:
        _draw(result, expected, output.figure_path)
    if saved and stopped:
        view.show([f"{save_path} holds the start and the {_plural(result.steps)} taken."])


def _draw(result: ExperimentResult, expected: Forecast | None, path: str) -> None:
    from mimverify.theory.trajectory_figure import (
        ByStep,
        ErrorBars,
        trajectory_figure,
        trajectory_size,
    )

    predicted: list[tuple[Float64Array, Float64Array, Float64Array] | None] = [None, None]
    if expected is not None:
        predicted = [(x.middle, x.low, x.high) for x in (expected.alignment, expected.span)]
    numbers = [
        ByStep("alignment", predicted[0], result.alignment),
        ByStep("span recovery", predicted[1], result.span_recovery),
    ]
    error = None
    if result.test_error is not None:
        forecasted = None if expected is None else expected.error
        error = ErrorBars(
            None if forecasted is None else (forecasted.median, forecasted.low, forecasted.high),
            result.test_error,
            {
                label: value
                for name, label in _LABELS.items()
                if (value := result.baselines[name]) is not None
            },
        )
    title = "{link}, d = {dim}, n = {samples}, {neurons} neurons, loss {loss}, seed {seed}"
    draw = trajectory_figure(title.format(**result.configuration), numbers, error)
    save_figure(draw, path, size=trajectory_size(error))


# -- output ------------------------------------------------------------------------------------


class _View:
    """Tables on standard output; progress on the first stream that is a terminal, if any.

    **Arguments**

    - `out`: whether tables go to standard output.
    - `progress`: whether progress may be shown at all.
    """

    def __init__(self, *, out: bool, progress: bool) -> None:
        self._out = out
        self._recorder: Recorder | None = None
        self._phase = ""
        columns = (
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[count]}"),
            TimeElapsedColumn(),
        )
        self._progress = Progress(*columns)
        self._task = self._progress.add_task("", total=None, count="")
        self._live: Live | None = None
        # Not rich's own check: FORCE_COLOR makes it treat any file as a terminal.
        terminals = [out and sys.stdout.isatty(), sys.stderr.isatty()]
        if progress and any(terminals):
            self._console = PageConsole(stderr=not terminals[0])
            self._live = Live(
                get_renderable=self._render,
                console=self._console,
                transient=True,
                redirect_stdout=False,
                redirect_stderr=False,
            )

    def __enter__(self) -> _View:
        if self._live is not None:
            self._live.start(refresh=True)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def on_step(self, recorder: Recorder) -> None:
        """A step of stage 1 was recorded."""
        self._recorder = recorder

    def on_progress(self, phase: str, done: int, total: int | None) -> None:
        """`done` of `total` of a phase is done."""
        if self._live is None:
            return
        count = "" if total is None else f"{done} of {total}"
        if phase == self._phase:
            self._progress.update(self._task, completed=done, count=count)
            return
        self._phase = phase
        self._progress.reset(
            self._task, completed=done, total=total, description=phase, count=count
        )
        self._live.refresh()  # a phase without a total may be one long call

    def show(self, blocks: Sequence[RenderableType]) -> None:
        """Print on standard output, if tables go there."""
        if not self._out:
            return
        console = Console(force_terminal=None if sys.stdout.isatty() else False, highlight=False)
        with console.capture() as capture:  # click's echo passes a closed pipe on to `main`
            for block in blocks:
                console.print(block, markup=False)
        for line in capture.get().splitlines():
            click.echo(line.rstrip())  # rich pads lines to the width of their table

    def _render(self) -> RenderableType:
        """The last steps that fit on the screen, above the progress."""
        line = self._progress.get_renderable()
        if self._recorder is None:
            return line
        height = max(self._console.height - 8, 1)
        return Group(_steps_table(_Columns.of(self._recorder), last=height), line)


class _Columns:
    """The columns of the table of steps, all of one length."""

    def __init__(
        self, alignment: Sequence[float], span: Sequence[float], seconds: Sequence[float]
    ) -> None:
        self.rows = list(zip(alignment, span, seconds, strict=False))

    @classmethod
    def of(cls, record: Recorder | ExperimentResult) -> _Columns:
        return cls(record.alignment, record.span_recovery, record.seconds)


def _steps_table(
    columns: _Columns, last: int | None = None, expected: Forecast | None = None
) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    headings: tuple[str, ...] = ("step", "alignment", "span recovery", "time")
    if expected is not None:  # where the times are, it would be too wide
        headings = ("step", "alignment", "predicted", "span recovery", "predicted")
    for heading in headings:
        table.add_column(heading, justify="right", no_wrap=True)
    first = 0 if last is None else max(len(columns.rows) - last, 0)
    for t, (alignment, span, seconds) in enumerate(columns.rows[first:], start=first):
        row = [f"{alignment:.4f}", f"{span:.4f}", _duration(seconds) if t else ""]
        if expected is not None:
            row = [row[0], _shown(expected.alignment, t), row[1], _shown(expected.span, t)]
        table.add_row(str(t), *row)
    return table


def _shown(predicted: Interval, t: int) -> str:
    """The number predicted for step t, and the central 95 % of runs."""
    middle, low, high = (float(x[t]) for x in (predicted.middle, predicted.low, predicted.high))
    return f"{middle:.3f} ({low:.3f}…{high:.3f})" if math.isfinite(middle) else ""


def _tables(result: ExperimentResult, expected: Forecast | None) -> list[RenderableType]:
    blocks: list[RenderableType] = [_headline(result.configuration)]
    blocks += [Text(note, style="yellow") for note in _notes(result.trainer)]
    if expected is not None and expected.note:
        blocks.append(Text(f"{expected.note[0].upper()}{expected.note[1:]}.", style="yellow"))
    if result.alignment:
        table = _steps_table(_Columns.of(result), expected=expected)
        blocks += [table, _legend(result.configuration, predicted=expected is not None)]
    if result.test_error is not None:
        if expected is not None:
            blocks += _doubts(expected)
        blocks += [
            _errors_table(result, expected),
            _explanation(result.configuration),
            "",
            _times(result),
        ]
    elif result.interrupted:
        planned = result.configuration["steps"]
        blocks.append(f"Interrupted after {result.steps} of {_plural(planned)}; no test error.")
    return blocks


def _headline(configuration: Json) -> Text:
    text = (
        "{link}: rank {rank}, d = {dim}, {samples} samples per stage, {neurons} neurons, loss "
        "{loss}, activation {activation}, {schedule} schedule, {backend} {dtype} on {device}, "
        "seed {seed}"
    )
    if configuration["inputs"] != "gaussian":
        text += ", {inputs} inputs"
    if configuration["subspace"] != "haar":
        text += ", hidden directions along {subspace}"
    return Text(text.format(**configuration), style="bold")


def _notes(trainer: LayerwiseTrainer) -> list[str]:
    """Which of the theorem's assumptions do not hold, and the remedy."""
    from mimverify.network import get_activation, get_loss

    activation, loss = get_activation(trainer.activation), get_loss(trainer.loss)
    missing = [name for name, holds in activation.assumptions.items() if not holds]
    if missing:
        missing = [f"activation {activation.name}: not met: {', '.join(missing)}"]
    if not loss.lipschitz:
        missing.append(f"loss {loss.name}: not known to be Lipschitz")
    notes = [f"Outside the theorem's assumptions ({'; '.join(missing)})."] if missing else []
    if activation.slope_at_zero and not trainer.remove_linear_part:
        notes.append(
            f"{activation.name} has a slope at zero: the labels' linear part can swamp the rest; "
            "--remove-linear-part takes it out first."
        )
    return notes


def _doubts(expected: Forecast) -> list[RenderableType]:
    """Why the test error has no prediction, or where it is known to be poor."""
    if expected.error is None:
        return [Text(f"No prediction of the test error: {expected.reason}.", style="yellow")]
    return [Text(f"Predicted test error: {note}.", style="yellow") for note in expected.error.notes]


def _legend(configuration: Json, *, predicted: bool = False) -> str:
    chance = configuration["rank"] / configuration["dim"]
    return (
        f"alignment: share of the weights inside the hidden subspace (by chance {chance:.2g}, at "
        "most 1). span recovery: cosine of the worst angle between hidden and learned subspace "
        "(1: every direction is found)."
        + (" predicted: mean (of the span: median) and the central 95 % of runs." * predicted)
    )


_LABELS = {
    "oracle_subspace": "true subspace (oracle)",
    "linear": "linear regression",
    "mean": "predicting the mean",
}


def _errors_table(result: ExperimentResult, expected: Forecast | None) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("predictor")
    table.add_column("test error", justify="right")
    theory = []
    forecasted = None if expected is None else expected.error
    if forecasted is not None:
        for heading in ("predicted", "95 % of runs"):
            table.add_column(heading, justify="right", no_wrap=True)
        theory = [f"{forecasted.median:.4f}", f"{forecasted.low:.4f} … {forecasted.high:.4f}"]
    table.add_row("this network", f"{result.test_error:.4f}", *theory, style="bold")
    for name, label in _LABELS.items():
        error = result.baselines[name]
        if error is not None:  # not requested, or not available for this design
            table.add_row(label, f"{error:.4f}")
    return table


def _explanation(configuration: Json) -> str:
    text = (
        f"Mean squared error on {configuration['test_samples']} fresh samples over the variance of "
        "their labels: 1 is no better than predicting the mean."
    )
    if configuration["baselines"]:
        text += (
            " The oracle has the same output layer on the true hidden subspace: about the best "
            "that any first layer could do here."
        )
    return text


def _times(result: ExperimentResult) -> str:
    total = sum(result.phases.values())
    blocks = [f"{name} {seconds / total:.0%}" for name, seconds in result.phases.items()]
    return f"Time: {_duration(total)}, of which {'; '.join(blocks)}.".replace("%", " %")


def _duration(seconds: float) -> str:
    return f"{seconds:.2f} s" if seconds >= 1 else f"{1000 * seconds:.1f} ms"


def _plural(steps: int) -> str:
    return f"{steps} step" if steps == 1 else f"{steps} steps"
