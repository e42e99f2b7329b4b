"""`mimverify list-links`: the named links."""

from __future__ import annotations

import click

from mimverify.cli.exit_codes import ExitCodes
from mimverify.cli.number_types import Count
from mimverify.support.exit_status import NOTHING_VERIFIED, VERIFIED

SECTION = "Ask the theory"
EXIT_CODES = ExitCodes(success="listed", unverified="there is none of that rank")


@click.command(epilog=str(EXIT_CODES))
@click.option("--rank", type=Count(1), help="Only links of this rank.")
def list_links(rank: int | None) -> int:
    """List the named links, which take no parameters.

    One in each line, with its formula.
    """
    from mimverify.problems import LINKS, get_link

    shown = [link for link in map(get_link, LINKS) if rank in (None, link.rank)]
    for link in shown:
        click.echo(f"{link.name}: {link.formula}")
    return VERIFIED if shown else NOTHING_VERIFIED
