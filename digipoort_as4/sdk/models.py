"""What a business hands over and gets back: frozen, fields named as on the wire, English words as properties.

Sends nothing; `Reader` turns what zeep read, out of a verified answer, into these.
"""

from __future__ import annotations

import dataclasses
import mimetypes
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import NoneType
from typing import Any, Final, TypeVar, get_args, get_origin, get_type_hints

from digipoort_as4 import limits
from digipoort_as4.errors import PeerError, SignatureError, UsageError, failure
from digipoort_as4.hub import statuses
from digipoort_as4.hub.aanlevering import Identiteit
from digipoort_as4.payload import BytesPayload, FilePayload, Payload, base64_of, read_all
from digipoort_as4.sdk.wus_transport import Exchange
from digipoort_as4.soap import inhoud
from digipoort_as4.wus.koppelvlak import ROWS, AdditioneelElement, Constatering, Fout

XML_MIME: Final = "text/xml"  # What known clients write for XBRL and XML (digipoort 2.7)
M = TypeVar("M")

# --- out --------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Bestand:
    """One document."""

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

    def read(self) -> bytes:
        """All octets, at most 20 MiB."""
        return read_all(self.payload)

    def save(self, path: Path) -> None:
        """Write the octets to a file. The bestandsnaam is the sender's word: never a path to write to unseen."""
        with path.open("wb") as file:
            file.writelines(self.payload.open())


def guess_mime_type(path: Path) -> str:
    """By the name: XML and XBRL as text/xml, others by the usual table."""
    if path.suffix.lower() in {".xml", ".xbrl"}:
        return XML_MIME
    return mimetypes.guess_type(path.name)[0] or "application/octet-stream"


@dataclass(frozen=True, slots=True, kw_only=True)
class Bericht:
    """What a business hands over: an aanleverRequest."""

    berichtsoort: str
    belanghebbende: Identiteit
    inhoud: Bestand
    bijlagen: tuple[Bestand, ...] = ()
    rol_belanghebbende: str = "Bedrijf"
    ontvanger: Identiteit | None = None
    rol_ontvanger: str | None = None
    aanleverkenmerk: str | None = None  # Your own reference; with it a message is handed over once
    eerder_aanleverkenmerk: str | None = None


# --- back -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Exchanged:
    """Something that a signed answer said."""

    exchange: Exchange = field(repr=False, compare=False, kw_only=True)

    @property
    def raw_request(self) -> bytes:
        """The signed request as it was posted; documents in files are read again."""
        return read_all(self.exchange.request)

    @property
    def raw_response(self) -> bytes:
        """The signed answer as it came."""
        return read_all(self.exchange.answer)


@dataclass(frozen=True, slots=True)
class Receipt(Exchanged):
    """aanleverResponse."""

    kenmerk: str  # Asks for statuses
    berichtsoort: str
    aanleverkenmerk: str | None
    eerder_aanleverkenmerk: str | None
    tijdstempel_aangeleverd: datetime
    identiteit_ontvanger: Identiteit | None  # Whom the post office resolved it to
    statuscode: str | None
    statusomschrijving: str | None

    @property
    def submitted_at(self) -> datetime:
        """When the post office took it."""
        return self.tijdstempel_aangeleverd

    @property
    def recipient(self) -> Identiteit | None:
        """Whom it goes to."""
        return self.identiteit_ontvanger


@dataclass(frozen=True, slots=True)
class StatusResultaat(Exchanged):
    """A status of a message."""

    kenmerk: str
    identiteit_belanghebbende: Identiteit
    statuscode: str
    tijdstempel_status: datetime
    statusomschrijving: str
    status_foutcode: Fout | None = None
    statusdetails: str | None = None

    @property
    def code(self) -> str:
        """Three digits."""
        return self.statuscode

    @property
    def at(self) -> datetime:
        """When it came about."""
        return self.tijdstempel_status

    @property
    def description(self) -> str:
        """The post office's text of the code."""
        return self.statusomschrijving

    @property
    def error_code(self) -> str | None:
        """foutcode, when something is wrong."""
        return self.status_foutcode.foutcode if self.status_foutcode else None

    @property
    def error_text(self) -> str | None:
        """foutbeschrijving: what is wrong."""
        return self.status_foutcode.foutbeschrijving if self.status_foutcode else None

    @property
    def is_end(self) -> bool:
        """Nothing follows for this message, by the table of statuses."""
        row = statuses.TABLE.get(self.statuscode)
        return row is not None and row.end

    @property
    def is_good(self) -> bool:
        """Neither an error nor a warning."""
        row = statuses.TABLE.get(self.statuscode)
        return row is not None and row.good

    @property
    def findings(self) -> tuple[str, ...]:
        """The lines of what is wrong."""
        return tuple(line.strip() for line in (self.error_text or "").splitlines() if line.strip())


@dataclass(frozen=True, slots=True)
class ProcesResultaat(Exchanged):
    """A message that is or was under way."""

    kenmerk: str
    berichtsoort: str
    identiteit_belanghebbende: Identiteit
    identiteit_ontvanger: Identiteit | None


@dataclass(frozen=True, slots=True)
class BerichtLijstResultaat(Exchanged):
    """A message that can be fetched."""

    berichtsoort: str
    identiteit_belanghebbende: Identiteit
    kenmerk: str


@dataclass(frozen=True, slots=True)
class BerichtResultaat(Exchanged):
    """A message from an agency."""

    kenmerk: str
    berichtsoort: str
    berichtkenmerk: str  # The same message always has the same
    aanleverkenmerk: str | None
    eerder_aanleverkenmerk: str | None  # Yours, of the message that this one answers
    tijdstempel_aangeleverd: datetime
    identiteit_belanghebbende: Identiteit
    rol_belanghebbende: str
    identiteit_aanleveraar: str | None
    identiteit_ontvanger: Identiteit | None
    rol_ontvanger: str | None
    bericht_inhoud: Bestand
    bericht_bijlagen: tuple[Bestand, ...] = ()
    constateringen_lijst: tuple[Constatering, ...] = ()
    additionele_elementen_lijst: tuple[AdditioneelElement, ...] = ()

    @property
    def document(self) -> Bestand:
        """The document itself."""
        return self.bericht_inhoud

    @property
    def attachments(self) -> tuple[Bestand, ...]:
        """What came with it."""
        return self.bericht_bijlagen

    @property
    def answers(self) -> str | None:
        """Your aanleverkenmerk of the message that this one answers."""
        return self.eerder_aanleverkenmerk


# --- between zeep and these -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Decoded:
    """Octets that lie somewhere as base64 text; decoded while they are read."""

    text: Payload
    size: int

    def open(self) -> Iterator[bytes]:
        """The octets in chunks."""
        return inhoud.decode(self.text)


@dataclass(frozen=True, slots=True)
class Reader:
    """Reads models from what zeep read."""

    exchange: Exchange
    texts: Mapping[str, Payload]  # Base64 text by the text that stands in its place

    def read(self, model: type[M], row: Any) -> M:
        """One model; fields of it that are not on the wire are not its business."""
        build, hints = dataclasses.fields(model), get_type_hints(model)  # type: ignore[arg-type]
        values = {one.name: self._value(one.name, hints[one.name], row) for one in build if one.name != "exchange"}
        return model(**values, **({"exchange": self.exchange} if issubclass(model, Exchanged) else {}))

    def _value(self, name: str, hint: Any, row: Any) -> Any:
        element = camel(name)
        value = getattr(row, element, None)
        kind = next((one for one in get_args(hint) if one not in (NoneType, Ellipsis)), hint)
        if get_origin(hint) is tuple:
            return tuple(self._one(kind, one) for one in getattr(value, ROWS[element], None) or ())
        return None if value is None else self._one(kind, value)

    def _one(self, kind: Any, value: Any) -> Any:
        if kind is Bestand:
            return Bestand(value.bestandsnaam, value.mimeType, self._payload(value.inhoud))
        if kind is datetime and value.tzinfo is None:
            return value.replace(tzinfo=UTC)
        return self.read(kind, value) if hasattr(kind, "__dataclass_fields__") else value

    def _payload(self, octets: bytes) -> Payload:
        """A document; zeep decoded what stood there, which for a large one is our word for it."""
        text = self.texts.get(b"".join(base64_of(BytesPayload(octets))).decode())
        if text is None:
            return BytesPayload(octets)
        try:
            return Decoded(text, sum(map(len, inhoud.decode(text))))
        except PeerError as reason:
            raise failure(SignatureError, "a document of the answer is no base64", found=str(reason)) from reason


def camel(name: str) -> str:
    """snake_case as the koppelvlak writes it."""
    first, *others = name.split("_")
    return first + "".join(word.capitalize() for word in others)


def wire(values: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments as zeep takes them, without those that are None; a UsageError for a moment without a time zone."""
    for name, value in values.items():
        if isinstance(value, datetime) and value.tzinfo is None:
            raise failure(UsageError, f"{camel(name)} has no time zone", fix="datetime(…, tzinfo=UTC)")
    return {
        camel(name): asdict(value) if isinstance(value, Identiteit) else value
        for name, value in values.items()
        if value is not None
    }
