"""`digipoort send`: a document out, a checked receipt back. The work is sdk.client's.

With --raw an envelope as it is, and the answer as it is, judged: not an octet is changed."""

import sys
from datetime import timedelta
from pathlib import Path

import click

from digipoort_as4.cli import metro, streams
from digipoort_as4.cli.common import (
    FILE,
    FILE_OR_STDIN,
    dir_option,
    identity_of,
    json_option,
    octets_of,
    recipient_of,
)
from digipoort_as4.errors import PeerError, UsageError, failure
from digipoort_as4.hub.aanlevering import Identiteit
from digipoort_as4.payload import BytesPayload
from digipoort_as4.sdk import kept, office
from digipoort_as4.sdk.client import DigipoortClient, Submission
from digipoort_as4.sdk.connection import PATIENCE, Connection, connect, party_of
from digipoort_as4.sdk.models import XML_MIME, Bericht, Bestand
from digipoort_as4.sdk.office import Party
from digipoort_as4.sdk.wus_transport import AnswerLost, parse_answer, post, refusal, verify
from digipoort_as4.soap import inhoud, xml_guard
from digipoort_as4.soap.names import SOAP11, WSA, q


@click.command(
    epilog="Exit codes: 0 good, 3 document invalid (311), 4 refused, 5 receipt not to be trusted, 6 no answer.\n\n"
    "stdout: the kenmerk, then with --follow the statuses. Request and answer are kept in DIR/sent/KENMERK."
)
@click.argument("file", type=FILE_OR_STDIN)
@click.option("--berichtsoort", help="Kind of message, e.g. Omzetbelasting.")
@click.option("--belanghebbende", metavar="TYPE:NUMBER", help="Whom it concerns, e.g. BTW:001000044B37.")
@click.option("--rol", default="Bedrijf", show_default=True, help="rolBelanghebbende.")
@click.option(
    "--ontvanger", metavar="[TYPE:]NUMBER", help="To whom, where the berichtsoort does not say; an OIN will do."
)
@click.option("--bijlage", "bijlagen", type=FILE, multiple=True, help="May repeat.")
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
      digipoort send --raw envelope.xml"""
    place = office.read(folder / office.FILE)
    party = party_of(place, identity)
    connection = connect(place, party)
    if is_raw:
        return post_envelope(connection, octets_of(file), service)
    bericht = Bericht(
        berichtsoort=needed("--berichtsoort", berichtsoort),
        identiteit_belanghebbende=Identiteit(*identity_of(needed("--belanghebbende", belanghebbende))),
        bericht_inhoud=document_of(file, mime_type),
        bericht_bijlagen=tuple(Bestand.of(path) for path in bijlagen),
        rol_belanghebbende=rol,
        identiteit_ontvanger=Identiteit(*recipient_of(ontvanger)) if ontvanger else None,
        aanleverkenmerk=aanleverkenmerk,
    )
    client = DigipoortClient(connection)
    try:
        receipt = client.submit(bericht)
    except AnswerLost as lost:
        saved = kept.keep_unanswered(folder, lost.request, connection.new_id().rpartition(":")[2])
        lost.add_note(f"fix: digipoort send --raw {saved}")
        raise
    show(receipt, party, kept.keep(folder, party.name, receipt), as_json)
    if follow:
        metro.follow(client, receipt.kenmerk, receipt.berichtsoort, timedelta(seconds=wait), as_json)
    return 0


def needed(option: str, value: str | None) -> str:
    """An option that only --raw does without."""
    if not value:
        raise failure(UsageError, f"{option} is missing", fix="digipoort send --help")
    return value


def document_of(file: Path, mime_type: str | None) -> Bestand:
    """FILE as the berichtInhoud."""
    if str(file) != "-":
        return Bestand.of(file, mime_type)
    return Bestand("document.xml", mime_type or XML_MIME, BytesPayload(octets_of(file)))


def show(receipt: Submission, party: Party, saved: Path, as_json: bool) -> None:
    """The kenmerk for programs, the rest for people."""
    opened = receipt.exchange.opened
    record = {
        "kenmerk": receipt.kenmerk,
        "berichtsoort": receipt.berichtsoort,
        "aangeleverd": receipt.tijdstempel_aangeleverd.isoformat(),
        "signer": opened.oin if opened else None,
        "saved": str(saved),
    }
    if not as_json:
        streams.note(f"sent      as {party.name} (OIN {party.oin})")
        if opened is not None:
            streams.note(f"receipt   signature valid, by OIN {opened.oin}; kept in {saved}")
    streams.show(as_json, record, receipt.kenmerk)


def hints(octets: bytes, token: str) -> tuple[str, str]:
    """wsa:Action and wsa:MessageID as the envelope has them; empty for what is not an envelope.
    Only to address the request: nothing is decided on them."""
    try:
        skeleton, large = inhoud.extract(BytesPayload(octets), token)
        header = xml_guard.parse(skeleton, large).header
    except PeerError:
        return "", ""
    return (header.findtext(q(WSA, "Action")) or "").strip(), (header.findtext(q(WSA, "MessageID")) or "").strip()


def post_envelope(connection: Connection, octets: bytes, service: str) -> int:
    """Post octets untouched; answer on stdout, what it is on stderr.
    Raises:
        Refused: a fault. SignatureError: an answer that must not be used. TransportError: no answer."""
    if service not in connection.services:
        raise failure(UsageError, f"no service '{service}'", expected=", ".join(connection.services))
    action, message_id = hints(octets, connection.new_id().rpartition(":")[2])
    url = connection.services[service]
    answer = post(connection, url, BytesPayload(octets), action, connection.clock() + PATIENCE)
    sys.stdout.buffer.writelines(answer.body.open())
    sys.stdout.buffer.flush()
    streams.note(f"answer    HTTP {answer.status}, {answer.body.size} octets from {url}")
    message = parse_answer(answer)
    fault = message.body.find(q(SOAP11, "Fault"))
    if fault is not None:
        raise refusal(fault)
    opened = verify(connection, message, message_id, action, fresh=False)  # its first answer may be days old
    streams.note(f"receipt   signature valid, by OIN {opened.oin}")
    return 0
