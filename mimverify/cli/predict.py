"""`mimverify predict`: the trajectory of stage 1 before it is run."""

from __future__ import annotations

import click
from rich import box
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from mimverify.cli.exit_codes import exit_codes
from mimverify.cli.number_types import Number
from mimverify.cli.options import (
    check_writable,
    deliver,
    json_option,
    seed_option,
)
from mimverify.cli.problem_options import problem_option
from mimverify.network import LOSSES
from mimverify.problems import LINKS
from mimverify.theory import Prediction
from mimverify.theory import predict as predict_run
from mimverify.theory.prediction import shown_samples, shown_share
from mimverify.training import default_samples, default_steps

_EPILOG = f"""
Links: {", ".join(LINKS)}; some take parameters ('quadratic:1,-0.5'), and 'module:function' names
your own.

Losses: {", ".join(LOSSES)}; with delta, 'huber:0.5'.

\b
Examples:
  mimverify predict cos2z --dim 1024 --samples 16384 --steps 8
  mimverify predict tanh3 --loss huber --dim 100000000 --samples 1600000000
  mimverify predict z1z2 --loss l1 --noise 0.3 --json -

{exit_codes("predict")}
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
@seed_option
@json_option
def predict(
    link: str,
    dim: int,
    samples: int | None,
    steps: int | None,
    json_path: str | None,
    **settings: object,
) -> None:
    """Predict stage 1 on LINK: alignment and span recovery after every step, and the samples
    that each number of steps needs.

    Nothing is trained. Where the loss leaves T(y) unbounded, labels are simulated, since the
    largest of a finite sample matter.
    """
    check_writable("--json", json_path)
    samples = default_samples(dim) if samples is None else samples
    steps = default_steps(samples, dim) if steps is None else steps
    found = predict_run(
        link,
        dim=dim,
        samples=samples,
        steps=steps,
        **settings,  # type: ignore[arg-type]
    )
    deliver(json_path, found.to_json, lambda: _page(found))


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
