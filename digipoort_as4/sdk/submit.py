"""Aanleveren as a business does it: a document and its address data in, a verified receipt out. Decides nothing."""

from __future__ import annotations

import base64
import mimetypes
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from zeep import Client

from digipoort_as4 import limits
from digipoort_as4.config import data_file
from digipoort_as4.errors import UsageError
from digipoort_as4.hub.aanlevering import Identiteit
from digipoort_as4.payload import BytesPayload, FilePayload, Payload, read_all
from digipoort_as4.sdk.connection import Connection, fresh_id
from digipoort_as4.sdk.wus_transport import Exchange, WusTransport

WSDL: Final = {
    "aanleveren": "schemas/AanleverService_V1_2.wsdl",
    "statusinformatie": "schemas/StatusinformatieService_V1_2.wsdl",
}
GEEN_AUSP: Final = "http://geenausp.nl"
"""autorisatieAdres of a sender without an Autorisatie Service Provider; what all known clients send (digipoort 4.7)."""
XML_MIME: Final = "text/xml"  # What known clients write for XBRL and XML (digipoort 2.7)


@dataclass(frozen=True, slots=True)
class Bestand:
    """One document to hand over."""

    bestandsnaam: str  # At most 80 characters
    mime_type: str
    payload: Payload

    @classmethod
    def of(cls, path: Path, mime_type: str | None = None) -> Bestand:
        """A file; large ones are read while sending. A UsageError says that it is not there."""
        if not path.is_file():
            raise UsageError(f"no such file: {path}")
        payload: Payload = FilePayload(path, 0, path.stat().st_size)
        if payload.size <= limits.INHOUD_IN_TREE:
            payload = BytesPayload(path.read_bytes())
        return cls(path.name, mime_type or guess_mime_type(path), payload)


def guess_mime_type(path: Path) -> str:
    """By the name: XML and XBRL as text/xml, others by the usual table."""
    if path.suffix.lower() in {".xml", ".xbrl"}:
        return XML_MIME
    return mimetypes.guess_type(path.name)[0] or "application/octet-stream"


@dataclass(frozen=True, slots=True)
class Bericht:
    """What a business hands over, in the words of the koppelvlak."""

    berichtsoort: str
    belanghebbende: Identiteit
    inhoud: Bestand
    bijlagen: tuple[Bestand, ...] = ()
    rol_belanghebbende: str = "Bedrijf"
    ontvanger: Identiteit | None = None
    rol_ontvanger: str | None = None
    aanleverkenmerk: str | None = None
    eerder_aanleverkenmerk: str | None = None
    autorisatie_adres: str | None = GEEN_AUSP


@dataclass(frozen=True, slots=True)
class Receipt:
    """The signed aanleverResponse, read from what its signature covers."""

    kenmerk: str  # Asks for statuses
    berichtsoort: str
    aanleverkenmerk: str | None
    aangeleverd: datetime
    statuscode: str | None
    statusomschrijving: str | None
    ontvanger: Identiteit | None  # Whom the post office resolved it to
    exchange: Exchange = field(repr=False)  # Raw request, raw answer, and what the signature covers


def submit(connection: Connection, bericht: Bericht) -> Receipt:
    """Hand a message over and check the receipt.

    Raises:
        Refused: a fault, with its foutcode.
        SignatureError: the receipt is not signed by the post office; whether it was accepted is not known.
        TransportError: nothing was sent.
        OutcomeUnknown: sent, no answer; says what to do next (decision 36).

    Source: digipoort 1.4 (elements), 2.1 to 2.5 (signature).
    """
    large: dict[str, Payload] = {}
    answer, exchange = call(connection, "aanleveren", "aanleveren", request_values(bericht, large), large)
    ontvanger = answer.identiteitOntvanger
    return Receipt(
        answer.kenmerk,
        answer.berichtsoort,
        answer.aanleverkenmerk,
        answer.tijdstempelAangeleverd,
        answer.statuscode,
        answer.statusomschrijving,
        Identiteit(ontvanger.nummer, ontvanger.type) if ontvanger is not None else None,
        exchange,
    )


def call(
    connection: Connection, service: str, operation: str, values: dict[str, Any], large: dict[str, Payload]
) -> tuple[Any, Exchange]:
    """One operation through zeep and our transport; returns the answer as zeep types it, and the exchange."""
    transport = WusTransport(connection, large)
    client: Any = Client(str(data_file(WSDL[service])), transport=transport)  # type: ignore[no-untyped-call]
    proxy = client.create_service(next(iter(client.wsdl.bindings)), connection.services[service])
    return proxy[operation](**values), transport.exchanges[-1]


def request_values(bericht: Bericht, large: dict[str, Payload]) -> dict[str, Any]:
    """An aanleverRequest as zeep takes it, without absent parts; `large` gets each document that is streamed."""
    values = {
        "berichtsoort": bericht.berichtsoort,
        "aanleverkenmerk": bericht.aanleverkenmerk,
        "eerderAanleverkenmerk": bericht.eerder_aanleverkenmerk,
        "identiteitBelanghebbende": asdict(bericht.belanghebbende),
        "rolBelanghebbende": bericht.rol_belanghebbende,
        "identiteitOntvanger": asdict(bericht.ontvanger) if bericht.ontvanger else None,
        "rolOntvanger": bericht.rol_ontvanger,
        "berichtInhoud": document_values(bericht.inhoud, large),
        "autorisatieAdres": bericht.autorisatie_adres,
    }
    if bericht.bijlagen:
        values["berichtBijlagen"] = {"bijlage": [document_values(one, large) for one in bericht.bijlagen]}
    return {name: value for name, value in values.items() if value is not None}


def document_values(document: Bestand, large: dict[str, Payload]) -> dict[str, Any]:
    """A berichtInhoudType; zeep itself writes base64 of what stands in `inhoud`.

    That is a small document's octets; for a large one a fresh word, whose base64 text `large` then knows.
    """
    if document.payload.size <= limits.INHOUD_IN_TREE:
        octets = read_all(document.payload)
    else:
        octets = fresh_id().encode()
        large[base64.b64encode(octets).decode()] = document.payload
    return {"mimeType": document.mime_type, "bestandsnaam": document.bestandsnaam, "inhoud": octets}
