"""`digipoort status`: what became of a message, as the business may know it, or with --all as the operator sees it."""

from datetime import timedelta
from pathlib import Path

import click

from digipoort_as4.cli import metro, streams
from digipoort_as4.cli.common import dir_option, json_option
from digipoort_as4.errors import UsageError
from digipoort_as4.hub.decision import Delivery
from digipoort_as4.sdk import kept, office
from digipoort_as4.sdk.client import DigipoortClient
from digipoort_as4.storage.view import open_view


@click.command(
    epilog="Exit codes: 0 good so far, 3 document invalid (311), 4 refused, 5 answer not to be trusted, 6 no answer."
)
@click.argument("kenmerk")
@click.option("--follow", is_flag=True, help="Show each status as it comes, until the end.")
@click.option("--wait", type=click.FloatRange(min=0), default=600, show_default=True, help="Seconds to follow at most.")
@click.option("--all", "every", is_flag=True, help="Also each delivery and copy, from the post office's own store.")
@click.option("--as", "identity", help="Which business asks; the one that sent it from here when not given.")
@dir_option
@json_option
def status(
    kenmerk: str, follow: bool, wait: float, every: bool, identity: str | None, folder: Path, as_json: bool
) -> int:
    """Ask what became of KENMERK, over SOAP and signed, as its sender.

    \b
    Examples:
      digipoort status 700627b6-383e-4d8d-809f-b066845b36e0
      digipoort status 700627b6-383e-4d8d-809f-b066845b36e0 --follow --json"""
    memory = kept.remembered(folder, kenmerk)
    client = DigipoortClient.local(folder, identity=identity or memory.get("identity"))
    if follow:
        metro.follow(client, kenmerk, memory.get("berichtsoort"), timedelta(seconds=wait), as_json)
    else:
        until = metro.ends_at(memory.get("berichtsoort"))
        for row in client.statuses(kenmerk):
            metro.show(row, as_json, end=row.is_end or row.statuscode in until)
    if every:
        show_deliveries(folder, kenmerk, as_json)
    return 0


def show_deliveries(folder: Path, kenmerk: str, as_json: bool) -> None:
    """What the sender does not see, from the post office's own store, read-only: a line per delivery, owner's first."""
    names = {agency.oin: agency.name for agency in office.read(folder / office.FILE).agencies}
    with open_view(folder / "data") as view:
        process, deliveries = view.process(kenmerk), view.deliveries(kenmerk)
    if process is None:
        raise UsageError(f"the store knows no kenmerk {kenmerk}")
    if not as_json:
        streams.out(f"process   {process.state}" + (f", like {process.duplicate_of}" if process.duplicate_of else ""))
    for row in deliveries:
        name = names.get(row.recipient_oin)
        streams.show(as_json, record(row, name), line(row, name or row.recipient_oin))


def record(row: Delivery, name: str | None) -> dict[str, object]:
    """A delivery for programs."""
    return {
        "berichtkenmerk": row.berichtkenmerk,
        "recipient": row.recipient_oin,
        "name": name,
        "copy": row.copy,
        "consent": row.consent or None,
        "state": row.state,
        "attempts": row.attempts,
        "documents": len(row.documents),
        "note": row.note or None,
    }


def line(row: Delivery, name: str) -> str:
    """A delivery for people."""
    kind = f"copy by consent {row.consent}" if row.copy else "owner"
    counts = f"{len(row.documents)} document(s), {row.attempts} attempt(s)"
    note = f"  {row.note}" if row.note else ""
    return f"delivery  {name}: {row.state}, {kind}, {counts}, berichtkenmerk {row.berichtkenmerk}{note}"
