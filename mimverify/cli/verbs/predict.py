"""`mimverify predict`: the trajectory of stage 1, and the test error, before anything is run."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import click
from rich import box
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from mimverify.cli.exit_codes import ExitCodes
from mimverify.cli.number_types import Count, Number
from mimverify.cli.options import (
    check_distinct,
    check_figure,
    check_writable,
    deliver,
    figure_option,
    json_option,
    seed_option,
    show,
)
from mimverify.cli.problem_options import problem_option
from mimverify.cli.under_way import under_way
from mimverify.network import LOSSES
from mimverify.pages.figures import save_figure
from mimverify.problems import LINKS
from mimverify.support.errors import InputError
from mimverify.support.strict_json import Json

if TYPE_CHECKING:
    from mimverify.theory import ErrorExponent, Prediction, SamplesForError, TestErrorPrediction

SECTION = "Ask the theory"
EXIT_CODES = ExitCodes(success="predicted")

_EPILOG = f"""
Links: {", ".join(LINKS)}; some take parameters ('quadratic:1,-0.5'), and 'module:function' names
your own.

Losses: {", ".join(LOSSES)}; with delta, 'huber:0.5'.

\b
Examples:
  mimverify predict cos2z --dim 1024 --samples 16384 --steps 8
  mimverify predict tanh3 --loss huber --dim 100000000 --samples 1600000000
  mimverify predict z1z2 --loss l1 --noise 0.3 --json -
  mimverify predict cos2z --steps 12 --figure cos2z.pdf
  # after stage 2, and the samples for an error of 0.1
  mimverify predict cos2z --dim 1024 --test-error --target-error 0.1

{EXIT_CODES}
"""


@click.command(epilog=_EPILOG)
@click.argument("link")
@problem_option("dim")
@problem_option("samples")
@problem_option("steps")
@problem_option("neurons", help="Neurons m.")
@problem_option("loss")
@problem_option("noise")
@problem_option("rank")
@click.option(
    "--decay", type=Number(), default=1.0, show_default=True, metavar="P",
    help="eta times beta; 1 is power iteration.",
)  # fmt: skip
@click.option(
    "--rate", type=Number(), default=1.0, show_default=True, metavar="P",
    help="eta times |a|; matters only where --decay is not 1.",
)  # fmt: skip
@click.option(
    "--remove-linear-part/--keep-linear-part", "linear_part_removed", default=False,
    help="The labels' linear part is regressed out first (squared loss).",
)  # fmt: skip
@click.option(
    "--test-error", is_flag=True,
    help="Also predict the test error after stage 2, what it is made of, and its exponent in d.",
)  # fmt: skip
@click.option(
    "--target-error", type=Number(), metavar="E",
    help="Also predict the samples of each stage for this test error.",
)  # fmt: skip
@click.option(
    "--readout-samples", type=Count(), metavar="N",
    help="Samples of stage 2, for the test error (default: those of stage 1).",
)  # fmt: skip
@click.option(
    "--readout-neurons", type=Count(), default=256, show_default=True,
    help="Random features of stage 2, for the test error.",
)  # fmt: skip
@click.option(
    "--ridge", type=Number(), default=1e-3, show_default=True,
    help="Penalty of stage 2, per unit feature variance, for the test error.",
)  # fmt: skip
@problem_option("activation", help="Activation, for the test error.")
@seed_option
@json_option
@figure_option("Draw alignment and span recovery by step, with the central 95 % of runs")
def predict(
    link: str,
    dim: int,
    samples: int | None,
    steps: int | None,
    json_path: str | None,
    figure_path: str | None,
    test_error: bool,
    target_error: float | None,
    readout_samples: int | None,
    **settings: Any,
) -> None:
    """Predict stage 1 on LINK: alignment and span recovery after every step, and the samples
    that each number of steps needs; with --test-error, stage 2 as well.

    Nothing is trained. Where the loss leaves T(y) unbounded, labels are simulated, since the
    largest of a finite sample matter.
    """
    from mimverify.theory import (
        ErrorExponent,
        Prediction,
        SamplesForError,
        TestErrorPrediction,
        error_exponent,
        predict_test_error,
        samples_for_error,
    )
    from mimverify.theory import predict as predict_run
    from mimverify.theory.kept import kept
    from mimverify.training import default_samples, default_steps

    check_writable("--json", json_path)
    check_figure(figure_path)
    check_distinct({"--json": json_path, "--figure": figure_path})
    of_stage1 = {name: settings.pop(name) for name in ("decay", "rate", "linear_part_removed")}
    of_stage2 = {name: settings.pop(name) for name in ("readout_neurons", "ridge", "activation")}
    wanted = test_error or target_error is not None
    if wanted and (of_stage1["decay"] != 1 or of_stage1["linear_part_removed"]):
        raise InputError(
            "--test-error: is predicted for power iteration alone: expected neither --decay nor "
            "--remove-linear-part"
        )
    n = default_samples(dim) if samples is None else samples
    with under_way(f"{link}: stage 1"):
        found = kept(
            predict_run,
            Prediction,
            link,
            dim=dim,
            samples=n,
            steps=default_steps(n, dim) if steps is None else steps,
            **settings,
            **of_stage1,
        )
    if json_path != "-":  # before the test error, which takes several seconds
        show(_page(found))
    errors = _Errors()
    if test_error:
        with under_way(f"{link}: the test error after stage 2") as say:
            after = kept(
                predict_test_error, TestErrorPrediction, link, dim=dim, samples=n,
                steps=found.steps, readout_samples=readout_samples, **settings, **of_stage2,
            )  # fmt: skip
            exponent = None
            if dim >= 3:
                say(f"{link}: the exponent of the test error in d")
                exponent = kept(
                    error_exponent, ErrorExponent, link, dim=dim, steps=steps,
                    **settings, **of_stage2,
                )  # fmt: skip
        errors = _Errors(after, exponent)
    if target_error is not None:
        with under_way(f"{link}: samples for a test error of {target_error:g}"):
            needed = kept(
                samples_for_error, SamplesForError, link, target=target_error, dim=dim,
                steps=steps, **settings, **of_stage2,
            )  # fmt: skip
        errors = replace(errors, needed=needed)
    deliver(
        json_path,
        lambda: {**found.to_json(), **errors.to_json()},
        errors.page,
    )
    if figure_path is not None:
        _draw(found, errors, figure_path)


def _draw(found: Prediction, errors: _Errors, path: str) -> None:
    import numpy as np

    from mimverify.theory.trajectory_figure import (
        ByStep,
        ErrorBars,
        trajectory_figure,
        trajectory_size,
    )

    low, high = found.trajectory.run_interval(found.neurons)
    numbers = [ByStep("alignment", predicted=(found.run_mean, low, high))]
    if found.span is not None:
        unknown = np.full(1, np.nan)  # the start has no prediction
        span = [np.append(unknown, x) for x in (found.span.median, found.span.low, found.span.high)]
        numbers.append(ByStep("span recovery", (span[0], span[1], span[2])))
    error = None
    if errors.found is not None:
        error = ErrorBars((errors.found.median, errors.found.low, errors.found.high))
    title = f"{found.link}, d = {found.dim}, n = {found.samples}, loss {found.loss}"
    save_figure(trajectory_figure(title, numbers, error), path, size=trajectory_size(error))


@dataclass(frozen=True)
class _Errors:
    """What was asked about the test error."""

    found: TestErrorPrediction | None = None
    exponent: ErrorExponent | None = None
    needed: SamplesForError | None = None

    def to_json(self) -> Json:
        """Their records by name."""
        record: Json = {}
        if self.found is not None:
            whole = self.found.to_json()
            record["test_error"] = whole["test_error"]
            record["test_error_settings"] = {
                name: whole[name]
                for name in (
                    "activation", "readout_samples", "readout_neurons", "ridge", "test_samples",
                    "runs", "notes",
                )
            }  # fmt: skip
        if self.exponent is not None:
            record["test_error_exponent"] = self.exponent.to_json()
        if self.needed is not None:
            record["samples_for_error"] = self.needed.to_json()
        return record

    def page(self) -> list[RenderableType]:
        """Tables, with a line for each number that stands alone."""
        parts: list[RenderableType] = []
        if self.found is not None:
            parts += [Text(note + ".", style="yellow") for note in self.found.notes]
            parts.append(_test_error(self.found))
        if self.exponent is not None:
            first, second = self.exponent.dims
            parts.append(
                f"from d = {first} to {second} at n = d log² d the error goes with "
                f"d^{-self.exponent.exponent:.3f} (± {self.exponent.standard_error:.3f})."
            )
        if self.needed is not None:
            parts.append(_needed(self.needed))
        return parts


def _test_error(found: TestErrorPrediction) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in ("test error", "", ""):
        table.add_column(heading, no_wrap=True)
    table.add_row(
        "median, 95 % of runs", f"{found.median:.4f}", f"{found.low:.4f} … {found.high:.4f}"
    )
    table.add_row("mean", f"{found.mean:.4f}", "")
    parts = found.decomposition
    for name, value in (
        ("  label noise", parts.label_noise),
        ("  stage 1: unknown to all neurons", parts.stage1),
        (f"  {found.readout_neurons} features", parts.features),
        ("  ridge", parts.ridge),
        (f"  {found.readout_samples} samples of stage 2", parts.samples),
    ):
        table.add_row(name, f"{value:.4f}", "")
    table.caption = "1 is the error of predicting the mean; its parts add up to the mean."
    table.caption_justify = "left"
    return table


def _needed(needed: SamplesForError) -> str:
    if needed.samples is None:
        return (
            f"no number of samples that was tried leads to a test error of {needed.target:g}: at "
            f"the most it is {needed.error:.4g}."
        )
    if needed.low is None or needed.high is None:
        return f"a test error of {needed.target:g} takes at most {needed.samples:,} samples."
    return (
        f"a test error of {needed.target:g} takes {needed.samples:,} samples in each stage "
        f"({needed.low:,} … {needed.high:,} by the prediction's standard error), T = "
        f"{needed.steps}."
    )


def _page(found: Prediction) -> list[RenderableType]:
    noise = f", noise {found.noise:g}" if found.noise else ""
    parts: list[RenderableType] = [
        Text(
            f"{found.link}: d = {found.dim}, n = {found.samples} (n/d = "
            f"{found.samples / found.dim:.4g}), loss {found.loss}{noise}, {2 * found.neurons} "
            "neurons",
            style="bold",
        )
    ]
    parts += [Text(note + ".", style="yellow") for note in found.notes]
    parts += [_steps(found), _legend(found)]
    if found.span is not None:
        parts.append(_sample_sizes(found))
    parts.append(_spectrum(found))
    return parts


def _steps(found: Prediction) -> Table:
    from mimverify.theory.prediction import shown_share

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in ("step", "alignment", "95 % of runs", "span recovery", "95 % of runs"):
        table.add_column(heading, justify="right", no_wrap=True)
    low, high = found.trajectory.run_interval(found.neurons)
    for t, aligned in enumerate(found.run_mean):
        runs = f"{shown_share(low[t])} … {shown_share(high[t])}"
        row = [str(t), shown_share(float(aligned)), runs]
        if t and found.span is not None:
            row += [
                f"{found.span.median[t - 1]:.4f}",
                f"{found.span.low[t - 1]:.4f} … {found.span.high[t - 1]:.4f}",
            ]
        table.add_row(*row)
    return table


def _sample_sizes(found: Prediction) -> Table:
    from mimverify.theory.prediction import shown_samples

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in ("steps", "n_half", "exponent"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.caption = (
        "n_half: samples after which the alignment reaches 1/2 in so many steps, ∝ d^exponent here."
    )
    table.caption_justify = "left"
    for t, n in enumerate(found.n_half, start=1):
        exponent = found.local_exponents[t - 1]
        table.add_row(str(t), shown_samples(n), "" if exponent is None else f"{exponent:.3f}")
    return table


def _legend(found: Prediction) -> str:
    return (
        "alignment: mean over runs, by theory D1 (by chance "
        f"{found.trajectory.alignment[0]:.2g}). span recovery: median over runs of the cosine of "
        "the worst angle."
    )


def _spectrum(found: Prediction) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    lower, upper = found.edges
    table.add_row("bulk of H", f"{lower:.4g} … {upper:.4g}")
    outliers = ", ".join(
        f"{outlier.location:.4g} (overlap {outlier.squared_overlap:.3f})"
        for outlier in found.outliers[:8]
    )
    more = len(found.outliers) - 8
    table.add_row("outliers", (outliers or "none") + (f", and {more} more" if more > 0 else ""))
    floor = "none: no outlier leads" if found.floor is None else f"{found.floor:.4g}"
    table.add_row("floor of 1 − A", floor)
    recommended = found.recommended
    steps = "none" if recommended.steps is None else str(recommended.steps)
    table.add_row("recommended steps", f"{steps}: {recommended.reason}")
    if found.window is not None:
        window = found.window
        if window.first is None:
            span = window.reason
        else:
            last = "no end" if window.last is None else str(window.last)
            span = f"from {window.first} to {last}: {window.reason}"
        table.add_row(f"span recovery ≥ {window.level:g}", span)
    return table
