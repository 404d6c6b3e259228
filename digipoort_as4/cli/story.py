"""The five messages of the demo: what is sent, what must come of it, and whether it did. Prints nothing."""

import json
import time
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

from digipoort_as4.cli import metro
from digipoort_as4.cli.common import identity_of
from digipoort_as4.errors import ExpectationNotMet, Refused
from digipoort_as4.hub.aanlevering import Identiteit
from digipoort_as4.payload import BytesPayload, read_all
from digipoort_as4.sdk.client import DigipoortClient, Submission
from digipoort_as4.sdk.connection import LIFE, Connection
from digipoort_as4.sdk.models import Bericht, Bestand
from digipoort_as4.sdk.office import PostOffice
from digipoort_as4.sdk.verify import Report, verify
from digipoort_as4.sdk.wus_transport import Exchange, parse_answer, post, refusal
from digipoort_as4.soap.names import SOAP11, q
from digipoort_as4.wus.koppelvlak import StatusResultaat

SAMPLES: Final = Path(__file__).parent / "samples"
PATIENCE: Final = timedelta(seconds=20)  # For one message from receipt to its end; it takes well under a second
COPY_WITHIN: Final = timedelta(seconds=10)  # For a copy after the sender's own end
GLANCE: Final = 0.02  # Seconds between two looks into the inboxes
AGENCIES: Final = "agencies"  # Folder of the inboxes
DOCUMENTS: Final = "documents"  # Folder of the samples in the demo's folder: what the next command sends


@dataclass(frozen=True, slots=True)
class Story:
    """One message and what must become of it; a table of stories.toml."""

    title: str
    sender: str  # Name of the identity in post-office.json
    berichtsoort: str
    belanghebbende: str  # TYPE:NUMBER
    inhoud: str  # Name of a sample
    codes: str  # Statuses in order
    delivered: Mapping[str, Sequence[str]]  # Agency to the documents it must get, and no others
    bijlagen: Sequence[str] = ()
    ontvanger: str = ""  # TYPE:NUMBER


STORIES: Final = tuple(
    Story(**row) for row in tomllib.loads((SAMPLES.parent / "stories.toml").read_text(encoding="utf-8"))["story"]
)
TAMPERED: Final = "The first message again, with one letter of its Body changed on the way"
FIXED_TEXT: Final = "De beveiliging van het bericht kon niet worden vastgesteld."
"""All that a peer hears of a digest that does not hold (decision 5)."""


@dataclass(frozen=True, slots=True)
class Played:
    """What became of one message."""

    receipt: Submission
    statuses: tuple[StatusResultaat, ...]
    delivered: Mapping[str, Path]  # Agency to the folder of the hand-over
    answer: Report  # Our verdict on the signed answer, and xmlsec's


def play(story: Story, place: PostOffice, documents: Path) -> Played:
    """Send it, follow it to its end, look where it was delivered, and let both engines judge the answer."""
    client = DigipoortClient.local(place.folder, identity=story.sender)
    bericht = Bericht(
        berichtsoort=story.berichtsoort,
        identiteit_belanghebbende=Identiteit(*identity_of(story.belanghebbende)),
        bericht_inhoud=Bestand.of(documents / story.inhoud),
        bericht_bijlagen=tuple(Bestand.of(documents / name) for name in story.bijlagen),
        identiteit_ontvanger=Identiteit(*identity_of(story.ontvanger)) if story.ontvanger else None,
        aanleverkenmerk="demo",
    )
    receipt = client.submit(bericht)
    statuses = tuple(client.follow(receipt.kenmerk, until=metro.ends_at(story.berichtsoort), timeout=PATIENCE))
    delivered = await_deliveries(place, receipt.kenmerk, set(story.delivered))
    return Played(receipt, statuses, delivered, judged(client.connection, receipt.raw_response))


def judged(connection: Connection, octets: bytes) -> Report:
    """Verdicts of both engines on one message."""
    now = connection.clock()
    return verify(octets, moment=now, now=now, sha1=False, trust=connection.trust, second=True)


def differences(story: Story, played: Played) -> Iterator[str]:
    """What went otherwise than told; nothing when all went well."""
    codes = " ".join(melding.statuscode for melding in played.statuses)
    if codes != story.codes:
        yield f"statuses {codes}, expected {story.codes}"
    if set(played.delivered) != set(story.delivered):
        yield f"delivered to {sorted(played.delivered)}, expected {sorted(story.delivered)}"
    for agency, folder in played.delivered.items():
        got = documents_of(folder)
        wanted = {name: (SAMPLES / name).read_bytes() for name in story.delivered.get(agency, ())}
        if got != wanted:
            yield f"{agency} got {sorted(got)} (or other octets), expected {sorted(wanted)}"
    if not played.answer.holds or played.answer.agrees is not True:
        yield f"the signed answer: {verdict_of(played.answer)}"


def verdict_of(report: Report) -> str:
    """Both engines in a few words."""
    if report.opinion is None:
        return f"xmlsec gave no opinion: {report.no_opinion}"
    broken = [uri for uri, ok in report.opinion.digests if not ok]
    parts = [part.part for part in report.examination.references if part.uri in broken]
    value = "SignatureValue holds" if report.opinion.signature_value else "SignatureValue broken"
    digests = f"{', '.join(parts)} broken" if broken else f"all {len(report.opinion.digests)} digests hold"
    return f"{value}, {digests}; {'the same as ours' if report.agrees else 'ours differs'}"


def await_deliveries(place: PostOffice, kenmerk: str, wanted: set[str]) -> dict[str, Path]:
    """Hand-overs of a kenmerk by agency; waits for those that must come: a copy does not hold up the sender's end."""
    give_up = time.monotonic() + COPY_WITHIN.total_seconds()
    while True:
        found = hand_overs(place, kenmerk)
        if wanted <= set(found) or time.monotonic() > give_up:
            return found
        time.sleep(GLANCE)


def hand_overs(place: PostOffice, kenmerk: str) -> dict[str, Path]:
    """Agency to the folder in its inbox that belongs to a kenmerk."""
    folders = {
        file.parent: agency.name for agency in place.agencies for file in agency.inbox.glob("[!.]*/envelope.json")
    }
    return {name: folder for folder, name in folders.items() if envelope_of(folder).get("kenmerk") == kenmerk}


def envelope_of(folder: Path) -> dict[str, Any]:
    """envelope.json (decision 29)."""
    return dict(json.loads((folder / "envelope.json").read_text(encoding="utf-8")))


def documents_of(folder: Path) -> dict[str, bytes]:
    """bestandsnaam to the octets that lie there."""
    return {row["bestandsnaam"]: (folder / row["file"]).read_bytes() for row in envelope_of(folder)["documents"]}


def tampered(octets: bytes) -> bytes:
    """The same message with one letter of the berichtsoort changed; a letter that is not there would prove nothing."""
    old, new = b"Omzetbelasting<", b"Omzetbelastinh<"
    if octets.count(old) != 1:
        raise ExpectationNotMet(f"{old.decode()} stands {octets.count(old)} times in the message, expected once")
    return octets.replace(old, new)


def post_tampered(connection: Connection, exchange: Exchange) -> Refused | None:
    """Post a captured request with one letter of its Body changed; returns the fault, or None when it was accepted."""
    opened, payload = exchange.opened, BytesPayload(tampered(read_all(exchange.request)))
    action = opened.addressing.action.removesuffix("Response") + "Request" if opened else ""
    answer = post(connection, connection.services["aanleveren"], payload, action, connection.clock() + LIFE)
    fault = parse_answer(answer).body.find(q(SOAP11, "Fault"))
    return None if fault is None else refusal(fault)
