"""`mimverify claims`: what a trial tries."""

from __future__ import annotations

from typing import Any

import click
from rich.console import Console
from rich.table import Table

from mimverify.cli.exit_codes import exit_codes
from mimverify.cli.options import (
    PageConsole,
    check_distinct,
    check_writable,
    json_option,
    write_json,
    write_text,
)
from mimverify.trial.claims.claim import CLAIM_SET_VERSION, Claim
from mimverify.trial.claims.page import claims_page
from mimverify.trial.claims.selection import select_claims
from mimverify.trial.decisions import DIRECTIONS


@click.command(epilog=exit_codes("claims"))
@click.argument("ids", nargs=-1, metavar="[ID]...")
@json_option
@click.option(
    "--markdown", metavar="FILE", help="Write the claims as a page of Markdown; '-' prints it."
)
def claims(ids: tuple[str, ...], json_path: str | None, markdown: str | None) -> None:
    """List the claims, or show those of the given IDs in full."""
    check_writable("--json", json_path)
    check_writable("--markdown", markdown)
    check_distinct({"--json": json_path, "--markdown": markdown})
    selected = select_claims(ids)
    if json_path is not None:
        records = [claim.to_json() for claim in selected.values()]
        write_json(json_path, {"claim_set": CLAIM_SET_VERSION, "claims": records})
    if markdown is not None:
        write_text(markdown, claims_page(selected.values()))
    if json_path is not None or markdown is not None:
        return
    console = PageConsole()
    if ids:
        for claim in selected.values():
            _show(claim, console)
        return
    table = Table(title=f"Claims, set {CLAIM_SET_VERSION}", title_justify="left")
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
    if isinstance(value, dict):
        return f"{value['name']} ({value['kind']}; {DIRECTIONS[value['direction']]})"
    return str(value)
