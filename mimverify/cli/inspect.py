"""`mimverify inspect`: the theory's analysis of a link, before any training."""

from __future__ import annotations

import math

import click
import numpy as np
from rich import box
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from mimverify.cli.exit_codes import exit_codes
from mimverify.cli.options import check_writable, deliver, json_option
from mimverify.cli.problem_options import problem_option
from mimverify.network import LOSSES
from mimverify.problems import LINKS
from mimverify.theory import LinkInspection, TransformAnalysis, inspect_link
from mimverify.theory.inspection import gap

_EPILOG = f"""
Links: {", ".join(LINKS)}; some take parameters ('quadratic:1,-0.5'), and 'module:function' names
your own.

Losses: {", ".join(LOSSES)}; with delta, 'huber:0.5'.

\b
Examples:
  mimverify inspect cos2z
  mimverify inspect tanh3 --loss huber
  mimverify inspect my_links:ridge --rank 2 --loss l1 --json -

{exit_codes("inspect")}
"""


@click.command(epilog=_EPILOG)
@click.argument("link")
@problem_option("loss")
@problem_option("noise")
@problem_option("rank")
@json_option
def inspect(link: str, loss: str, noise: float, rank: int | None, json_path: str | None) -> None:
    """Analyse LINK: does the theorem apply, which loss suits it, how far from the limit.

    Shown: the paper's assumptions one by one; this project's extensions of them, what a broken
    one means and what would repair it; the eigenvalues of Λ = E[T(y)(zzᵀ − I)] on which the
    first layer performs power iteration; sample ratios n/d below which nothing is found; every
    built-in loss beside the one asked for.
    """
    check_writable("--json", json_path)
    found = inspect_link(link, loss, noise=noise, rank=rank)
    deliver(json_path, found.to_json, lambda: _page(found))


def _page(found: LinkInspection) -> list[RenderableType]:
    link, analysis = found.link, found.analysis
    noise = f" + {found.noise:g} · N(0, 1)" if found.noise else ""
    formula = f", y = {link.formula}{noise}" if link.formula else ""
    parts: list[RenderableType] = [
        Text(f"{link.name}: rank {link.rank}{formula}; loss {found.loss.name}", style="bold"),
        _paper(found),
        _assumptions(found),
    ]
    if found.control:
        parts.append(Text(f"Negative control: {found.control}.", style="yellow"))
    parts += [_directions(analysis), _numbers(found), _losses(found)]
    best = found.best_loss or "none"
    parts.append(f"Best built-in loss: {best} ({found.best_reason}).")
    parts += [f"{name}: {reason}" for name, reason in found.unusable.items()]
    return parts


_MARKS = {True: ("holds", "green"), False: ("broken", "red"), None: ("undetermined", "yellow")}


_ANSWERS = {True: ("yes", "green"), False: ("no", "red"), None: ("unknown", "yellow")}


def _paper(found: LinkInspection) -> Table:
    table = _table("the paper's assumption", "", "why")
    for name, assumption in found.paper.items():
        answer, style = _ANSWERS[assumption.holds]
        why = assumption.reason
        if assumption.holds is not True:
            why += f". Here instead: {assumption.extension}"
        table.add_row(name, Text(answer, style=style), why + ".")
    table.caption = (
        "Besides: a symmetric start, σ smooth with σ'(0) = 0, and T1 growing with d "
        "(docs/theory.md#assumptions)."
    )
    table.caption_justify = "left"
    return table


def _assumptions(found: LinkInspection) -> Table:
    """What the predictions need: extensions of the paper's."""
    table = _table("extension of this project", "", "why")
    for name, assumption in found.assumptions.items():
        mark, style = _MARKS[assumption.holds]
        why = assumption.reason
        if assumption.repair and assumption.holds is not True:
            why += f". Repair: {assumption.repair}"
        table.add_row(name, Text(mark, style=style), why + ".")
    return table


def _directions(analysis: TransformAnalysis) -> Table:
    table = _table("λ_k of Λ", "u_k = E[T² z_k²]", "direction k in the link's coordinates")
    for value, u, direction in zip(
        analysis.eigenvalues, analysis.u, analysis.directions, strict=True
    ):
        shown = _number(value, analysis.eigenvalue_error)
        # Adding 0 makes a rounded −0 a plain 0.
        coordinates = ", ".join(f"{round(x, 3) + 0.0:g}" for x in direction)
        table.add_row(shown, _number(u, analysis.second_error), f"({coordinates})")
    return table


def _numbers(found: LinkInspection) -> Table:
    a, information = found.analysis, found.information
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    constant = "a transform, no constant" if a.constant is None else f"{a.constant:.6g}"
    table.add_row("constant c", constant, "the loss's fit to the labels before training")
    table.add_row("v", _number(a.v, a.second_error), "E[T²]: the noise")
    table.add_row("κ", _ratio(a.kappa), "|λ_1/λ_r|: spread of the directions")
    exponents = found.link_tensors.lowest
    table.add_row(
        "information exponent",
        "> 4" if exponents is None else str(exponents),
        "lowest degree of y's Hermite expansion",
    )
    generative = information.generative_exponent
    table.add_row(
        "generative exponent",
        "> 2 or undetermined" if generative is None else str(generative),
        "the same for the best transform of y",
    )
    if information.alpha_c is None:
        table.add_row("α_c", "none", f"{information.alpha_c_reason}")
    else:
        table.add_row(
            "α_c",
            _number(information.alpha_c, information.alpha_c_error or 0.0),
            "n/d below which no known efficient algorithm finds a direction",
        )
    for name, threshold, meaning in (
        ("α_IT", found.alpha_it, "n/d from which any estimator has an overlap with U"),
        ("α_alg", found.alpha_alg, "n/d from which message passing determines U exactly"),
    ):
        if threshold.value is None:
            table.add_row(name, "none", threshold.reason)
        else:
            shown = _number(threshold.value, threshold.error or 0.0) if threshold.value else "0"
            table.add_row(name, shown, meaning)
    if a.alpha_spectral is None or a.alpha_gd is None:
        table.add_row("α_GD", "none", f"{a.threshold_reason}")
    else:
        shown = ", ".join(_ratio(float(alpha)) for alpha in a.alpha_spectral)
        table.add_row(
            "α_spectral", shown, "n/d from which 1, 2, … directions stand out of H's bulk"
        )
        table.add_row("α_GD", _ratio(a.alpha_gd), "n/d from which gradient descent finds the first")
    if found.gap is not None:
        table.add_row("gap", f"{found.gap:.4g}", "α_GD/α_c: distance to the limit")
    return table


def _losses(found: LinkInspection) -> Table:
    table = _table("loss", "rank of Λ", "κ", "λ_r²/v", "T bounded", "α_GD", "gap")
    for name, a in found.losses.items():
        bounded = {True: "yes", False: "no", None: "undetermined"}[a.tail.bounded]
        descent = "–" if a.alpha_gd is None else _ratio(a.alpha_gd)
        distance = gap(a, found.information)
        table.add_row(
            name,
            f"{a.rank} of {found.link.rank}",
            _ratio(a.kappa),
            f"{a.weakest:.3g}",
            bounded,
            descent,
            "–" if distance is None else f"{distance:.3g}",
            style="bold" if name == found.best_loss else "",
        )
    return table


def _table(*headings: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for index, heading in enumerate(headings):
        table.add_column(heading, overflow="fold", no_wrap=index == 0)
    return table


def _number(value: float, error: float) -> str:
    """A number to as many digits as its error leaves, at most six."""
    if abs(value) <= error:
        return f"0 ± {error:.1g}"
    digits = 6 if error <= 0 else int(np.clip(math.log10(abs(value) / error) + 1, 1, 6))
    return f"{value:.{digits}g}" + (f" ± {error:.1g}" if digits < 6 else "")


def _ratio(value: float) -> str:
    return f"{value:.4g}" if math.isfinite(value) else "∞"
