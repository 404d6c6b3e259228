"""`digipoort up` and `down`: the post office of this machine, in the background."""

from pathlib import Path

import click

from digipoort_as4 import local
from digipoort_as4.cli import streams
from digipoort_as4.cli.common import dir_option, json_option
from digipoort_as4.sdk import office


@click.command()
@dir_option
@json_option
def up(folder: Path, as_json: bool) -> None:
    """Start the post office and its agencies in the background; what already runs stays.

    Writes DIR/post-office.json: addresses, certificates and identities for any client."""
    record = local.up(folder, lambda text: streams.note(f"  … {text}"))
    place = office.read(folder / office.FILE)
    if not as_json:
        tell(place)
    streams.show(as_json, record, str(place.file))


def tell(place: office.PostOffice) -> None:
    """Where it is, who may use it, and what to type next."""
    streams.note(f"up        {len(place.processes)} processes; independent, not Logius, test certificates only")
    for name, url in place.services.items():
        streams.note(f"  {name:<18} {url}")
    streams.note(f"  who may send       {', '.join(party.name for party in place.businesses())}")
    streams.note("next      digipoort send FILE --berichtsoort … --belanghebbende TYPE:NUMBER; digipoort down")


@click.command()
@dir_option
def down(folder: Path) -> None:
    """Stop what `up` started there; its data stays."""
    stopped = local.down(folder)
    streams.note(f"stopped   {', '.join(stopped) or 'nothing was running'}")
