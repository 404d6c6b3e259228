"""`digipoort send`: a document out, a checked receipt back. The work is sdk.submit's."""

from __future__ import annotations

import sys
from datetime import timedelta
from pathlib import Path

import click

from digipoort_as4.cli import metro, raw, streams
from digipoort_as4.cli.common import dir_option, identity_of, json_option, party_of, recipient_of
from digipoort_as4.errors import UsageError
from digipoort_as4.hub.aanlevering import Identiteit
from digipoort_as4.payload import BytesPayload
from digipoort_as4.sdk import kept, office
from digipoort_as4.sdk.connection import connect
from digipoort_as4.sdk.submit import Bericht, Bestand, Receipt, guess_mime_type, submit
from digipoort_as4.sdk.wus_transport import AnswerLost


@click.command(
    epilog="Exit codes: 0 good, 3 document invalid (311), 4 refused, 5 receipt not to be trusted, 6 no answer.\n\n"
    "stdout: the kenmerk, then with --follow the statuses. Request and answer are kept in DIR/sent/KENMERK."
)
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path, allow_dash=True))
@click.option("--berichtsoort", help="Kind of message, e.g. Omzetbelasting.")
@click.option("--belanghebbende", metavar="TYPE:NUMBER", help="Whom it concerns, e.g. BTW:001000044B37.")
@click.option("--rol", default="Bedrijf", show_default=True, help="rolBelanghebbende.")
@click.option(
    "--ontvanger", metavar="[TYPE:]NUMBER", help="To whom, where the berichtsoort does not say; an OIN will do."
)
@click.option(
    "--bijlage", "bijlagen", type=click.Path(dir_okay=False, path_type=Path), multiple=True, help="May repeat."
)
@click.option("--aanleverkenmerk", help="Your own reference, at most 40 characters.")
@click.option("--mime", "mime_type", help="mimeType of FILE, when its name does not tell.")
@click.option("--as", "identity", help="Which business of post-office.json sends; the first one when not given.")
@click.option("--follow", is_flag=True, help="Show each status as it comes, until the end.")
@click.option("--wait", type=click.FloatRange(min=0), default=60, show_default=True, help="Seconds to follow at most.")
@click.option("--raw", "is_raw", is_flag=True, help="FILE is a whole envelope: post it untouched.")
@click.option("--service", default="aanleveren", show_default=True, help="With --raw: which service.")
@dir_option
@json_option
def send(
    file: Path,
    berichtsoort: str | None,
    belanghebbende: str | None,
    rol: str,
    ontvanger: str | None,
    bijlagen: tuple[Path, ...],
    aanleverkenmerk: str | None,
    mime_type: str | None,
    identity: str | None,
    follow: bool,
    wait: float,
    is_raw: bool,
    service: str,
    folder: Path,
    as_json: bool,
) -> int:
    """Send FILE (`-`: stdin) as a document to the post office, signed, and check the signed receipt.

    \b
    Examples:
      digipoort send return.xbrl --berichtsoort Omzetbelasting --belanghebbende BTW:001000044B37 --follow
      digipoort send invoice.xml --berichtsoort e-factuur --belanghebbende KvK:90001102 \\
                --ontvanger 00000099000000020000 --as installatie-deboer
      digipoort send --raw envelope.xml
    """
    place = office.read(folder / office.FILE)
    party = party_of(place, identity)
    connection = connect(place, party)
    if is_raw:
        return raw.post_envelope(connection, octets_of(file), service)
    bericht = Bericht(
        needed("--berichtsoort", berichtsoort),
        Identiteit(*identity_of(needed("--belanghebbende", belanghebbende))),
        document_of(file, mime_type),
        tuple(Bestand.of(path) for path in bijlagen),
        rol_belanghebbende=rol,
        ontvanger=Identiteit(*recipient_of(ontvanger)) if ontvanger else None,
        aanleverkenmerk=aanleverkenmerk,
    )
    try:
        receipt = submit(connection, bericht)
    except AnswerLost as lost:
        saved = kept.keep_unanswered(folder, lost.request, connection.new_id().rpartition(":")[2])
        lost.add_note(f"fix: digipoort send --raw {saved}")
        raise
    show(receipt, party.name, party.oin, kept.keep(folder, party.name, receipt), as_json)
    if not follow:
        return 0
    return metro.follow(connection, receipt.kenmerk, receipt.berichtsoort, timedelta(seconds=wait), as_json)


def needed(option: str, value: str | None) -> str:
    """An option that only --raw does without."""
    if not value:
        raise streams.failure(UsageError, f"{option} is missing", fix="digipoort send --help")
    return value


def octets_of(file: Path) -> bytes:
    """The file's octets, or stdin's for `-`."""
    if str(file) == "-":
        return sys.stdin.buffer.read()
    if not file.is_file():
        raise streams.failure(UsageError, f"no such file: {file}")
    return file.read_bytes()


def document_of(file: Path, mime_type: str | None) -> Bestand:
    """FILE as the berichtInhoud."""
    if str(file) != "-":
        return Bestand.of(file, mime_type)
    name = Path("document.xml")
    return Bestand(name.name, mime_type or guess_mime_type(name), BytesPayload(octets_of(file)))


def show(receipt: Receipt, name: str, oin: str, saved: Path, as_json: bool) -> None:
    """The kenmerk for programs, the rest for people."""
    opened = receipt.exchange.opened
    if as_json:
        record = {
            "kenmerk": receipt.kenmerk,
            "berichtsoort": receipt.berichtsoort,
            "aangeleverd": receipt.aangeleverd.isoformat(),
            "statuscode": receipt.statuscode,
            "signer": opened.oin if opened else None,
            "saved": str(saved),
        }
        streams.out_json(record)
        return
    streams.note(f"sent      as {name} (OIN {oin})")
    if opened is not None:
        streams.note(f"receipt   signature valid, by OIN {opened.oin}; kept in {saved}")
    streams.out(receipt.kenmerk)
