"""`mimverify claims`: what a trial tries."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from mimverify.cli.exit_codes import ExitCodes
from mimverify.cli.options import (
    PageConsole,
    check_distinct,
    check_writable,
    json_option,
    write_json,
    write_text,
)
from mimverify.cli.trial_options import trial_options

if TYPE_CHECKING:
    from mimverify.trial.claims.claim import Claim

SECTION = "Put on trial"
EXIT_CODES = ExitCodes(success="listed")


@click.command(epilog=str(EXIT_CODES))
@click.argument("ids", nargs=-1, metavar="[ID]...")
@trial_options("pack")
@json_option
@click.option(
    "--markdown", metavar="FILE", help="Write the claims as a page of Markdown; '-' prints it."
)
def claims(ids: tuple[str, ...], json_path: str | None, markdown: str | None, **given: Any) -> None:
    """List the claims, or show those of the given IDs in full."""
    from mimverify.trial.claims.page import claims_page
    from mimverify.trial.claims.selection import select_claims
    from mimverify.trial.running.settings import TrialSettings

    check_writable("--json", json_path)
    check_writable("--markdown", markdown)
    check_distinct({"--json": json_path, "--markdown": markdown})
    settings = TrialSettings.of(**given)
    claim_set = settings.claim_set
    selected = select_claims(ids, claims=claim_set.claims)
    if json_path is not None:
        records = [claim.to_json() for claim in selected.values()]
        head = {"claim_set": claim_set.label, "claims_from": claim_set.to_json()}
        write_json(json_path, head | {"claims": records})
    if markdown is not None:
        write_text(markdown, claims_page(claim_set, selected.values()))
    if json_path is not None or markdown is not None:
        return
    console = PageConsole()
    if ids:
        for claim in selected.values():
            _show(claim, console)
        return
    what = "Claims, set" if claim_set.origin is None else "Claims of"
    title = Text(f"{what} {claim_set.label}")
    table = Table(title=title, title_justify="left")
    for column in ("claim", "kind", "needs", "statement"):
        table.add_column(column, no_wrap=column != "statement", overflow="fold")
    for claim in selected.values():
        kind = "exact" if claim.exact else "statistical"
        table.add_row(claim.id, kind, claim.needs, claim.statement)
    console.print(table)


def _show(claim: Claim, console: Console) -> None:
    table = Table(title=claim.id, title_justify="left", show_header=False)
    table.add_column(no_wrap=True, style="bold")
    table.add_column(overflow="fold")
    for name, value in claim.to_json().items():
        if name != "id":
            lines = value if isinstance(value, list) else [value]
            table.add_row(name, "\n".join(map(_line, lines)) or "none")
    console.print(table)


def _line(value: Any) -> str:
    """A value, or a decision's name, kind and direction."""
    from mimverify.trial.decisions import DIRECTIONS

    if isinstance(value, dict):
        return f"{value['name']} ({value['kind']}; {DIRECTIONS[value['direction']]})"
    return str(value)
