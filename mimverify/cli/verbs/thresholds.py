"""`mimverify thresholds`: how near to the limit gradient descent is, link by link."""

from __future__ import annotations

import sys
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
    check_writable,
    deliver,
    json_option,
    write_text,
)
from mimverify.cli.problem_options import problem_option
from mimverify.problems import LINKS
from mimverify.support.errors import InputError
from mimverify.support.exit_status import FAILED, VERIFIED
from mimverify.support.strict_json import Json

if TYPE_CHECKING:
    from mimverify.theory import LinkThresholds
    from mimverify.theory.threshold_order import Compared

SECTION = "Ask the theory"
EXIT_CODES = ExitCodes(
    success="whatever was found",
    failure="an inequality that is a theorem is violated beyond the errors",
)

_EPILOG = f"""
Links: {", ".join(LINKS)}; some take parameters ('quadratic:1,-0.5'), and 'module:function' names
your own.

\b
Examples:
  mimverify thresholds he2 cos2z
  mimverify thresholds --markdown docs/how-near.md    # every named link: minutes
  mimverify thresholds abs --noise 0.3 --json -

{EXIT_CODES}
"""


@click.command(epilog=_EPILOG)
@click.argument("links", nargs=-1, metavar="[LINK]...")
@problem_option("noise")
@problem_option("rank")
@json_option
@click.option("--markdown", metavar="FILE", help="Write a page of Markdown; '-' prints it.")
@click.option("--quiet", "-q", is_flag=True, help="No progress on standard error.")
def thresholds(
    links: tuple[str, ...],
    noise: float,
    rank: int | None,
    json_path: str | None,
    markdown: str | None,
    quiet: bool,
) -> int:
    """All thresholds of each LINK (default: every named one) under every built-in loss.

    Sample ratios n/d as d → ∞: from where on any estimator (α_IT), the best known polynomial
    algorithm (α_c, α_alg), the spectrum of H (α_spectral) and gradient descent (α_GD) find
    something, and the gap α_GD/α_c. The order in which theorems say that they lie is checked.
    """
    from mimverify.problems import get_link
    from mimverify.theory import link_thresholds
    from mimverify.theory.threshold_order import compared
    from mimverify.theory.threshold_page import threshold_page

    check_writable("--json", json_path)
    check_writable("--markdown", markdown)
    check_distinct({"--json": json_path, "--markdown": markdown})
    if json_path == markdown == "-":
        raise InputError("--json and --markdown are both '-': expected a file for one of them")
    resolved = [get_link(name, rank=rank) for name in links or LINKS]
    console = PageConsole(stderr=True)
    shown = not quiet and sys.stderr.isatty()
    found = []
    with console.status("", spinner="dots") as status:
        if not shown:
            status.stop()
        for k, link in enumerate(resolved, start=1):

            def say(line: str, k: int = k) -> None:
                status.update(f"{k} of {len(resolved)} links, {line}")

            found.append(link_thresholds(link, noise=noise, on_progress=say))
    rows = compared(found)
    if markdown is not None:
        write_text(markdown, threshold_page(found))

    def record() -> Json:
        return {
            "links": [at.to_json() for at in found],
            "orders": [row.to_json() for row in rows],
        }

    if json_path is not None or markdown is None:
        deliver(json_path, record, lambda: [] if markdown is not None else _page(found, rows))
    return FAILED if any(row.violated for row in rows) else VERIFIED


def _page(found: list[LinkThresholds], rows: tuple[Compared, ...]) -> list[RenderableType]:
    from mimverify.theory.threshold_page import shown_ratio

    parts: list[RenderableType] = []
    for at in found:
        limits = {
            "α_IT": at.alpha_it,
            "α_IT, exact": at.alpha_it_exact,
            "α_c": at.alpha_c,
            "α_alg": at.alpha_alg,
        }
        values = "; ".join(f"{name} {shown_ratio(limit)}" for name, limit in limits.items())
        parts.append(Text(f"{at.link.name}: rank {at.link.rank}; {values}", style="bold"))
        parts.append(_losses(at))
        reasons = {limit.reason: name for name, limit in limits.items() if limit.reason}
        parts += [f"{name}: {reason}." for reason, name in reasons.items()]
    bad = [row for row in rows if row.violated]
    parts.append(
        f"{len(rows)} inequalities that are theorems were compared; violated: "
        + ("; ".join(f"{row.order.statement} ({row.where})" for row in bad) or "none")
        + "."
    )
    return parts


def _losses(at: LinkThresholds) -> Table:
    from mimverify.theory.threshold_page import shown_ratio

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in ("loss", "α_spectral", "α_GD", "gap", "near from n", "best"):
        table.add_column(heading, no_wrap=True)
    for name, loss in at.losses.items():
        table.add_row(
            name,
            shown_ratio(loss.spectral),
            shown_ratio(loss.descent),
            "none" if loss.gap is None else f"{loss.gap:.4g}",
            "none" if loss.holds_from is None else f"{loss.holds_from:,}",
            ("best" if len(at.best) == 1 else "tied best") if name in at.best else "",
        )
    return table
