"""`mimverify limits`: what the best estimator and the best known algorithm reach."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich import box
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from mimverify.cli.exit_codes import ExitCodes
from mimverify.cli.options import (
    PageConsole,
    check_distinct,
    check_figure,
    check_writable,
    deliver,
    figure_option,
    json_option,
)
from mimverify.cli.problem_options import problem_option
from mimverify.pages.figures import check_format
from mimverify.problems import LINKS
from mimverify.support.files import atomic_write

if TYPE_CHECKING:
    from mimverify.theory import BayesLimits
    from mimverify.theory.limits.bayes_limits import LearningJump, Threshold

SECTION = "Ask the theory"
EXIT_CODES = ExitCodes(success="whatever was found")

_EPILOG = f"""
Links: {", ".join(LINKS)}; some take parameters ('quadratic:1,-0.5'), and 'module:function' names
your own.

\b
Examples:
  mimverify limits cos2z
  mimverify limits phase-retrieval --noise 0.3 --ratio 1 --ratio 2
  mimverify limits he2 --figure limits.png --json limits.json

{EXIT_CODES}
"""

#: One feature takes no time; of several each ratio takes seconds, or a minute.
_DEFAULT_RATIOS = {1: (0.5, 0.8, 1.2, 1.6, 2.0, 3.0, 5.0), 2: (1.0, 2.0, 4.0), 3: (2.0,)}


@click.command(epilog=_EPILOG)
@click.argument("link")
@problem_option("ratio", "ratios", multiple=True, help="Sample ratios n/d; repeat the option.")
@problem_option("noise")
@problem_option("rank")
@figure_option("Draw alignment against n/d")
@json_option
@click.option("--quiet", "-q", is_flag=True, help="No progress on standard error.")
def limits(
    link: str,
    ratios: tuple[float, ...],
    noise: float,
    rank: int | None,
    figure_path: str | None,
    json_path: str | None,
    quiet: bool,
) -> None:
    """What can be learned about LINK from n = ratio · d samples, by whatever means, as d → ∞.

    Shown: the alignment with the hidden subspace, and the squared error in y, of the posterior
    mean (no estimator is better) and of approximate message passing (no polynomial algorithm is
    known to be better); the ratios at which either begins, jumps and becomes exact; and the hard
    phase between both. Nothing is trained or sampled.
    """
    from mimverify.problems import get_link
    from mimverify.theory import bayes_limits
    from mimverify.theory.limits.limits_figure import draw_limits

    check_writable("--json", json_path)
    check_figure(figure_path)
    check_distinct({"--json": json_path, "--figure": figure_path})
    resolved = get_link(link, rank=rank)
    console = PageConsole(stderr=True)
    shown = not quiet and sys.stderr.isatty()
    with console.status("", spinner="dots") as status:
        if not shown:
            status.stop()
        found = bayes_limits(
            resolved,
            noise=noise,
            ratios=ratios or _DEFAULT_RATIOS.get(resolved.rank, ()),
            on_progress=status.update,
        )
    picture = None if figure_path is None else draw_limits(found, check_format("", figure_path))
    deliver(json_path, found.to_json, lambda: _page(found, figure_path))
    if figure_path is not None and picture is not None:
        atomic_write(Path(figure_path), picture)


def _page(found: BayesLimits, figure_path: str | None) -> list[RenderableType]:
    link = found.link
    noise = f" + {found.noise:g} · N(0, 1)" if found.noise else ""
    formula = f", y = {link.formula}{noise}" if link.formula else ""
    parts: list[RenderableType] = [
        Text(f"{link.name}: rank {link.rank}{formula}; the limits for d → ∞", style="bold"),
        _thresholds(found),
    ]
    parts += [Text(note + ".", style="yellow") for note in found.notes]
    if found.points:
        parts += [_points(found)]
        parts += [
            f"n/d = {point.ratio:g}: {point.reason}." for point in found.points if point.reason
        ]
        parts.append(
            "alignment: mean squared cosine with the hidden subspace, tr q/r. error in y: of the "
            "best prediction for a fresh input; predicting the mean has "
            f"{found.label_variance:.4g}. ±: estimated numerical error, where larger than the last "
            "digit."
        )
    parts.append(f"Rests on: {found.rests_on}.")
    if figure_path is not None:
        parts.append(f"Figure: {figure_path}")
    return parts


def _thresholds(found: BayesLimits) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    rows = (
        ("α_IT", found.alpha_it, "n/d from which any estimator has an overlap with U"),
        ("α_c", found.alpha_c, "n/d below which the algorithm stays at zero"),
        ("α_IT, exact", found.alpha_it_exact, "n/d from which U is determined exactly"),
        ("α_alg", found.alpha_alg, "n/d from which the algorithm determines U exactly"),
    )
    for name, threshold, meaning in rows:
        value = "none" if threshold.value is None else shown_threshold(threshold)
        table.add_row(name, value, meaning if threshold.value is not None else threshold.reason)
    for name, jumps in (("algorithm", found.jumps), ("optimum", found.jumps_it)):
        if jumps:
            table.add_row(f"jumps of the {name}", "", "; ".join(map(_jump, jumps)))
    if found.hard_phase is not None:
        intervals = [
            f"{low:.5g} < n/d" + ("" if high is None else f" < {high:.5g}")
            for low, high in found.hard_phase
        ]
        text = "; ".join(intervals) or "none: the algorithm is optimal at every n/d"
        table.add_row("hard phase", "", text)
    return table


def _jump(jump: LearningJump) -> str:
    return f"at {jump.ratio:.5g} from {jump.low:.4f} to {jump.high:.4f}"


def shown_threshold(threshold: Threshold) -> str:
    """The value to the digits that its error leaves, at most six."""
    value, error = threshold.value, threshold.error
    assert value is not None
    if error is None or error < 5e-6 * max(abs(value), 1e-300) or value == 0:
        return f"{value:.6g}"
    return f"{value:.5g} ± {error:.1g}"


def _points(found: BayesLimits) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("n/d", justify="right", no_wrap=True)
    for heading in ("algorithm", "optimum", "its error in y", "optimum's"):
        table.add_column(heading, justify="right", no_wrap=True)
    for point in found.points:
        table.add_row(
            f"{point.ratio:g}",
            _value(point.alignment, point.alignment_error),
            _value(point.alignment_it, point.alignment_it_error),
            _value(point.label_error, point.label_error_error),
            _value(point.label_error_it, point.label_error_it_error),
        )
    return table


def _value(value: float | None, error: float | None) -> str:
    if value is None:
        return "unknown"
    digits = f"{value:.5f}" if value < 100 else f"{value:.5g}"
    return digits if error is None or error < 5e-6 else f"{digits} ± {error:.1g}"
