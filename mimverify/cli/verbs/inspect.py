"""`mimverify inspect`: the theory's analysis of a link, before any training."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click
import numpy as np
from rich import box
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from mimverify.cli.exit_codes import ExitCodes
from mimverify.cli.options import check_writable, deliver, json_option, show
from mimverify.cli.problem_options import OPEN, problem_option
from mimverify.cli.under_way import under_way
from mimverify.network import LOSSES, Loss, get_loss
from mimverify.problems import LINKS, Link, get_link

if TYPE_CHECKING:
    from mimverify.theory import LinkInspection, TransformAnalysis
    from mimverify.theory.loss_by_loss import LossSummary

SECTION = "Ask the theory"
EXIT_CODES = ExitCodes(success="whatever was found")

_EPILOG = f"""
Links: {", ".join(LINKS)}; some take parameters ('quadratic:1,-0.5'), and 'module:function' names
your own.

Losses: {", ".join(LOSSES)}; with delta, 'huber:0.5'.

\b
Examples:
  mimverify inspect cos2z
  mimverify inspect tanh3 --loss huber --dim 1024 --samples 16384
  mimverify inspect my_links:ridge --rank 2 --loss l1 --json -

{EXIT_CODES}
"""


@click.command(epilog=_EPILOG)
@click.argument("link")
@problem_option("loss")
@problem_option("noise")
@problem_option("rank")
@problem_option("dim", help="Input dimension d, for the best loss at your n/d.", default=OPEN)
@problem_option(
    "samples", help="Samples n, by whose labels thresholds are given (default: d log² d, d = 256)."
)
@json_option
def inspect(
    link: str,
    loss: str,
    noise: float,
    rank: int | None,
    dim: int | None,
    samples: int | None,
    json_path: str | None,
) -> None:
    """Analyse LINK: does the theorem apply, which loss suits it, how far from the limit.

    Shown: the paper's assumptions one by one; this project's extensions of them, what a broken
    one means and what would repair it; the eigenvalues of Λ = E[T(y)(zzᵀ − I)] on which the
    first layer performs power iteration; sample ratios n/d below which nothing is found, for
    the labels that N samples reach; every built-in loss beside the one asked for, and which is
    best where.
    """
    from mimverify.theory import LinkInspection, inspect_link
    from mimverify.theory.kept import kept

    check_writable("--json", json_path)
    resolved, chosen = get_link(link, rank=rank), get_loss(loss)
    heading = [_heading(resolved, chosen, noise)] if json_path != "-" else []
    printed: set[str] = set()
    with under_way(f"{resolved.name}: the label's law") as line:

        def report(words: str) -> None:
            # At once, but not above a refusal of the arguments.
            if heading:
                line.show(heading)
                heading.clear()
            line(f"{resolved.name}: {words}")

        def row(under: LossSummary) -> None:
            if json_path != "-":
                line.show(_losses([under], resolved, chosen, headed=not printed))
                printed.add(under.name)

        found = kept(
            inspect_link, LinkInspection, resolved, chosen,
            noise=noise, samples=samples, dim=dim,
            unkeyed={"on_progress": report, "on_loss": row},
        )  # fmt: skip
    show(heading)  # of a result that was kept
    deliver(json_path, found.to_json, lambda: _page(found, rows=not printed))


def _heading(link: Link, loss: Loss, noise: float) -> Text:
    blurred = f" + {noise:g} · N(0, 1)" if noise else ""
    formula = f", y = {link.formula}{blurred}" if link.formula else ""
    return Text(f"{link.name}: rank {link.rank}{formula}; loss {loss.name}", style="bold")


def _page(found: LinkInspection, *, rows: bool) -> list[RenderableType]:
    """All below the heading; with the losses' rows, or below these."""
    analysis = found.analysis
    parts: list[RenderableType] = []
    if rows:
        parts += _losses(found.summaries, found.link, found.loss, headed=True)
    parts += [_paper(found), _assumptions(found)]
    if found.control:
        parts.append(Text(f"Negative control: {found.control}.", style="yellow"))
    parts += [_directions(analysis), _numbers(found)]
    for best in found.recommendations:
        names = ", ".join(best.losses) or "none"
        tie = " (tied within 1 %)" if len(best.losses) > 1 else ""
        parts.append(f"Best built-in loss, {best.regime}: {names}{tie}: {best.reason}.")
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
    names = {1: "", 2: "any in the plane of ", 3: "any in the space of "}
    for group in analysis.groups:
        basis = " and ".join(
            # Adding 0 makes a rounded −0 a plain 0.
            "(" + ", ".join(f"{round(x, 3) + 0.0:g}" for x in analysis.directions[k]) + ")"
            for k in group
        )
        value, u = analysis.eigenvalues[group[0]], analysis.u[list(group)].mean()
        times = f" ({len(group)} times)" if len(group) > 1 else ""
        table.add_row(
            _number(value, analysis.eigenvalue_error) + times,
            _number(u, analysis.second_error),
            names.get(len(group), names[3]) + basis,
        )
    return table


def _numbers(found: LinkInspection) -> Table:
    a, information = found.analysis, found.information
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold", max_width=24)
    table.add_column(overflow="fold")
    zero = a.constant is not None and abs(a.constant) <= found.constant_error
    constant = "a transform, no constant" if a.constant is None else f"{a.constant:.6g}"
    constant = "0" if zero else constant
    table.add_row("constant c", constant, "the loss's fit to the labels before training")
    table.add_row("v", _number(a.v, a.second_error), "E[T²]: the noise")
    table.add_row("κ", _within(a.kappa, a.kappa_error), "|λ_1/λ_r|: spread of the directions")
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
    at_n = found.thresholds
    shown = ", ".join(map(_within, at_n.spectral, at_n.spectral_error))
    table.add_row("α_spectral", shown, "n/d from which 1, 2, … directions stand out of H's bulk")
    table.add_row(
        "α_GD",
        _within(at_n.descent, at_n.descent_error),
        f"n/d from which gradient descent finds the first, both by the T that {found.samples} "
        f"labels reach. {_limit(found)}",
    )
    if found.gap is not None and found.gap_error is not None:
        table.add_row("gap", _within(found.gap, found.gap_error), "α_GD/α_c: distance to the limit")
    return table


def _limit(found: LinkInspection) -> str:
    """What α_GD tends to, and from which n that means anything."""
    a = found.analysis
    if a.alpha_gd is None:
        return f"No limit: {a.threshold_reason}"
    limit = f"For n → ∞: {_ratio(a.alpha_gd)}"
    if found.limit_from is None:
        return limit + ", at no n that could be resolved"
    return (
        limit + f", thresholds being within 5 % of their limits from n ≈ {found.limit_from:.0e} on"
    )


# Each row of it is printed by itself: headings, and the widths of what stands below them.
_COLUMNS = {"rank of Λ": 9, "κ": 9, "λ_r²/v": 8, "T bounded": 12, "α_GD": 9, "gap": 8}


def _losses(
    rows: Sequence[LossSummary], link: Link, loss: Loss, *, headed: bool
) -> list[RenderableType]:
    table = Table(box=box.SIMPLE_HEAD, show_header=headed, show_edge=False, padding=0)
    names = max(len(name) for name in (*LOSSES, loss.name))
    for index, (heading, width) in enumerate({"loss": names, **_COLUMNS}.items()):
        table.add_column(heading, width=width, overflow="fold", no_wrap=index == 0)
    for row in rows:
        a = row.analysis
        bounded = {True: "yes", False: "no", None: "undetermined"}[a.tail.bounded]
        table.add_row(
            row.name,
            f"{a.rank} of {link.rank}",
            _ratio(a.kappa),
            f"{a.weakest:.3g}",
            bounded,
            _ratio(row.descent),
            "–" if row.gap is None else f"{row.gap:.3g}",
        )
    return ["", table] if headed else [table]


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


def _within(value: float, error: float) -> str:
    """A ratio with its error, which is nan where it has none."""
    return _number(value, error) if math.isfinite(value) and error > 0 else _ratio(value)


def _ratio(value: float) -> str:
    return f"{value:.4g}" if math.isfinite(value) else "∞"
