"""`digipoort status`: what became of a message, as the business may know it, or with --all as the operator sees it."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import click

from digipoort_as4.cli import metro
from digipoort_as4.cli.common import dir_option, json_option, party_of
from digipoort_as4.sdk import kept, office
from digipoort_as4.sdk.connection import connect
from digipoort_as4.sdk.status import ask


@click.command(
    epilog="Exit codes: 0 good so far, 3 document invalid (311), 4 refused, 5 answer not to be trusted, 6 no answer."
)
@click.argument("kenmerk")
@click.option("--follow", is_flag=True, help="Show each status as it comes, until the end.")
@click.option("--wait", type=click.FloatRange(min=0), default=600, show_default=True, help="Seconds to follow at most.")
@click.option(
    "--all", "everything", is_flag=True, help="Also each delivery and copy, from the post office's own store."
)
@click.option("--as", "identity", help="Which business asks; the one that sent it from here when not given.")
@dir_option
@json_option
def status(
    kenmerk: str, follow: bool, wait: float, everything: bool, identity: str | None, folder: Path, as_json: bool
) -> int:
    """Ask what became of KENMERK, over SOAP and signed, as its sender.

    \b
    Examples:
      digipoort status 700627b6-383e-4d8d-809f-b066845b36e0
      digipoort status 700627b6-383e-4d8d-809f-b066845b36e0 --follow --json
    """
    place = office.read(folder / office.FILE)
    memory = kept.remembered(folder, kenmerk)
    connection = connect(place, party_of(place, identity or memory.get("identity")))
    if follow:
        metro.follow(connection, kenmerk, memory.get("berichtsoort"), timedelta(seconds=wait), as_json)
    else:
        rows = ask(connection, kenmerk)
        until = metro.ends_at(memory.get("berichtsoort"))
        for row in rows:
            metro.show(row, as_json, end=row.is_end or row.code in until)
    if everything:
        from digipoort_as4.cli import operator_view

        operator_view.show(folder, kenmerk, as_json)
    return 0
