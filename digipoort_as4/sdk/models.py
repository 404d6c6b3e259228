"""What a business hands over, and how it gets answers: frozen, verified, the octets kept.

The answers themselves are the models of wus.koppelvlak, named as on the wire. Sends nothing."""

from __future__ import annotations

import mimetypes
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

from digipoort_as4 import limits
from digipoort_as4.errors import UsageError
from digipoort_as4.hub.aanlevering import Identiteit
from digipoort_as4.payload import BytesPayload, FilePayload, Payload, read_all
from digipoort_as4.sdk.wus_transport import Exchange

XML_MIME: Final = "text/xml"  # What known clients write for XBRL and XML (digipoort 2.7)
GEEN_AUSP: Final = "http://geenausp.nl"
"""autorisatieAdres without an Autorisatie Service Provider; what all known clients send (digipoort 4.7)."""
M = TypeVar("M")


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Bericht:
    """What a business hands over: the fields of an aanleverRequest."""

    berichtsoort: str
    aanleverkenmerk: str | None = None  # Your own reference; with it a message is handed over once
    eerder_aanleverkenmerk: str | None = None
    identiteit_belanghebbende: Identiteit
    rol_belanghebbende: str = "Bedrijf"
    identiteit_ontvanger: Identiteit | None = None
    rol_ontvanger: str | None = None
    bericht_inhoud: Bestand
    bericht_bijlagen: tuple[Bestand, ...] = ()
    autorisatie_adres: str | None = GEEN_AUSP


class Exchanged:
    """Something that a signed answer said."""

    __slots__ = ()
    exchange: Exchange

    @property
    def raw_request(self) -> bytes:
        """The signed request as it was posted; documents in files are read again."""
        return read_all(self.exchange.request)

    @property
    def raw_response(self) -> bytes:
        """The signed answer as it came."""
        return read_all(self.exchange.answer)


class Rows(tuple[M, ...], Exchanged):
    """The rows of one answer, in its order."""

    @classmethod
    def of(cls, rows: tuple[M, ...], exchange: Exchange) -> Rows[M]:
        """Rows and where they came from."""
        made = cls(rows)
        made.exchange = exchange
        return made
