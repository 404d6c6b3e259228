"""The messages of the koppelvlak as frozen models: read from verified bodies, written as serialised bodies.

Signs nothing, stores nothing, decides nothing. Names are those of the wire in snake_case.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from typing import Final, Protocol

from lxml import etree

from digipoort_as4 import limits
from digipoort_as4.errors import PeerError
from digipoort_as4.hub.aanlevering import Aanlevering, Identiteit
from digipoort_as4.hub.decision import Status
from digipoort_as4.payload import BytesPayload, Document, FilePayload, Payload, base64_of
from digipoort_as4.soap import inhoud
from digipoort_as4.soap.message import LargeText, SoapMessage
from digipoort_as4.soap.names import KV, SOAP11, local_name, q
from digipoort_as4.wssecurity.open_message import Opened
from digipoort_as4.wus import schema

# --- models -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Fout:
    """foutType: what a fault carries, and the statusFoutcode of a status."""

    foutcode: str
    """At most 20 characters."""
    foutbeschrijving: str
    """At most 1,048,576 characters."""


@dataclass(frozen=True, slots=True)
class AanleverRequest:
    """aanleverRequest."""

    kenmerk: str | None
    berichtsoort: str
    aanleverkenmerk: str | None
    eerder_aanleverkenmerk: str | None
    identiteit_belanghebbende: Identiteit
    rol_belanghebbende: str
    identiteit_ontvanger: Identiteit | None
    rol_ontvanger: str | None
    documents: tuple[Document, ...]
    """berichtInhoud first, then berichtBijlagen in order."""
    autorisatie_adres: str | None

    def aanlevering(self, sender_oin: str) -> Aanlevering:
        """The canonical unit of the hub.

        Args:
            sender_oin: OIN of the certificate that signed the request.
        """
        return Aanlevering(
            sender_oin=sender_oin,
            berichtsoort=self.berichtsoort,
            belanghebbende=self.identiteit_belanghebbende,
            rol_belanghebbende=self.rol_belanghebbende,
            documents=self.documents,
            aanleverkenmerk=self.aanleverkenmerk,
            eerder_aanleverkenmerk=self.eerder_aanleverkenmerk,
            ontvanger=self.identiteit_ontvanger,
            rol_ontvanger=self.rol_ontvanger,
            autorisatie_adres=self.autorisatie_adres,
        )


@dataclass(frozen=True, slots=True)
class AanleverResponse:
    """aanleverResponse; statuscode and what follows it stay absent, as on the wire (digipoort 1.11)."""

    kenmerk: str
    berichtsoort: str
    aanleverkenmerk: str | None
    eerder_aanleverkenmerk: str | None
    tijdstempel_aangeleverd: datetime
    identiteit_belanghebbende: Identiteit
    rol_belanghebbende: str
    identiteit_ontvanger: Identiteit | None
    rol_ontvanger: str | None
    autorisatie_adres: str | None


@dataclass(frozen=True, slots=True)
class StatussenRequest:
    """getStatussenProcesRequest and getNieuweStatussenProcesRequest."""

    kenmerk: str
    autorisatie_adres: str | None
    tijdstempel_vanaf: datetime | None
    tijdstempel_tot: datetime | None


@dataclass(frozen=True, slots=True)
class StatusResultaat:
    """One status as the sender sees it."""

    kenmerk: str
    identiteit_belanghebbende: Identiteit
    statuscode: str
    tijdstempel_status: datetime
    statusomschrijving: str
    status_foutcode: Fout | None = None
    statusdetails: str | None = None

    @classmethod
    def of(cls, status: Status, kenmerk: str, belanghebbende: Identiteit) -> StatusResultaat:
        """A stored status on its way out."""
        return cls(
            kenmerk=kenmerk,
            identiteit_belanghebbende=belanghebbende,
            statuscode=status.code,
            tijdstempel_status=status.at,
            statusomschrijving=status.omschrijving,
            status_foutcode=None if status.foutcode is None else Fout(status.foutcode, status.foutbeschrijving or ""),
            statusdetails=status.details,
        )


@dataclass(frozen=True, slots=True)
class Constatering:
    """Something found on the way that did not stop the message."""

    code: str
    beschrijving: str


@dataclass(frozen=True, slots=True)
class AdditioneelElement:
    """A name and value that the post office took from the document for the agency."""

    naam: str
    waarde: str


@dataclass(frozen=True, slots=True)
class AfleverRequest:
    """afleverRequest."""

    kenmerk: str
    berichtsoort: str
    berichtkenmerk: str
    aanleverkenmerk: str | None
    tijdstempel_aangeleverd: datetime
    identiteit_belanghebbende: Identiteit
    rol_belanghebbende: str
    identiteit_aanleveraar: str | None
    """A number without its type; the form with nummer and type is read too (digipoort 1.6)."""
    identiteit_ontvanger: Identiteit | None
    rol_ontvanger: str | None
    documents: tuple[Document, ...]
    """berichtInhoud first, then berichtBijlagen in order."""
    constateringen: tuple[Constatering, ...] = ()
    additionele_elementen: tuple[AdditioneelElement, ...] = ()


@dataclass(frozen=True, slots=True)
class AfleverResponse:
    """afleverResponse."""

    kenmerk: str
    berichtsoort: str | None
    berichtkenmerk: str
    tijdstempel_afgeleverd: datetime
    statuscode: str | None = None
    tijdstempel_status: datetime | None = None
    statusomschrijving: str | None = None
    status_foutcode: Fout | None = None
    statusdetails: str | None = None


@dataclass(frozen=True, slots=True)
class ZetStatusRequest:
    """zetStatusRequest."""

    kenmerk: str
    berichtkenmerk: str | None
    statuscode: str
    tijdstempel_status: datetime
    status_foutcode: Fout | None = None
    statusdetails: str | None = None


@dataclass(frozen=True, slots=True)
class ZetStatusResponse:
    """zetStatusResponse."""

    kenmerk: str
    statuscode: str


@dataclass(frozen=True, slots=True)
class Fault:
    """A SOAP fault of the koppelvlak as a client meets it; faults are not signed."""

    faultcode: str
    faultstring: str
    element: str
    """aanleverFault, statusinformatieFault, …; empty when the detail holds none of them."""
    fout: Fout | None

    @property
    def cause(self) -> str:
        """What stands behind 'De volgende fout is opgetreden:', without the fixed sentences."""
        text = self.fout.foutbeschrijving if self.fout else self.faultstring
        return text.partition("De volgende fout is opgetreden:")[2].strip() or text.strip()


# --- reading ----------------------------------------------------------------------------------------------------------
# Every reader raises PeerError `schema` with all errors at once, and takes nothing but its own element.


class Quarantine(Protocol):
    """Where decoded documents wait until the store has kept them; payload.Spool is one."""

    def write(self, chunks: Iterable[bytes]) -> FilePayload:
        """Spool chunks to a fresh file."""


@dataclass(frozen=True, slots=True)
class Intake:
    """How documents are taken in."""

    quarantine: Quarantine
    new_key: Callable[[], str]
    """A random key for each document, at least eight of 0-9 a-z _ -."""


def read_aanlever_request(opened: Opened, intake: Intake) -> AanleverRequest:
    """Read an aanleverRequest.

    Args:
        opened: what the signature was found to cover.
        intake: where the documents go; large ones become files of its quarantine.

    Raises:
        PeerError: schema (all errors at once), inhoud, inhoud-too-large, xml-limit for too many documents.

    Source: digipoort 1.4.
    """
    fields = _fields(opened, "aanleverRequest")
    return AanleverRequest(
        kenmerk=fields.maybe("kenmerk"),
        berichtsoort=fields.text("berichtsoort"),
        aanleverkenmerk=fields.maybe("aanleverkenmerk"),
        eerder_aanleverkenmerk=fields.maybe("eerderAanleverkenmerk"),
        identiteit_belanghebbende=fields.identiteit("identiteitBelanghebbende"),
        rol_belanghebbende=fields.text("rolBelanghebbende"),
        identiteit_ontvanger=fields.maybe_identiteit("identiteitOntvanger"),
        rol_ontvanger=fields.maybe("rolOntvanger"),
        documents=_documents(fields, opened.message.large, intake),
        autorisatie_adres=fields.maybe("autorisatieAdres"),
    )


def read_aanlever_response(opened: Opened) -> AanleverResponse:
    """Read an aanleverResponse."""
    fields = _fields(opened, "aanleverResponse")
    return AanleverResponse(
        kenmerk=fields.text("kenmerk"),
        berichtsoort=fields.text("berichtsoort"),
        aanleverkenmerk=fields.maybe("aanleverkenmerk"),
        eerder_aanleverkenmerk=fields.maybe("eerderAanleverkenmerk"),
        tijdstempel_aangeleverd=fields.moment("tijdstempelAangeleverd"),
        identiteit_belanghebbende=fields.identiteit("identiteitBelanghebbende"),
        rol_belanghebbende=fields.text("rolBelanghebbende"),
        identiteit_ontvanger=fields.maybe_identiteit("identiteitOntvanger"),
        rol_ontvanger=fields.maybe("rolOntvanger"),
        autorisatie_adres=fields.maybe("autorisatieAdres"),
    )


def read_statussen_request(opened: Opened) -> StatussenRequest:
    """Read a getStatussenProcesRequest or a getNieuweStatussenProcesRequest."""
    fields = _fields(opened, "getStatussenProcesRequest", "getNieuweStatussenProcesRequest")
    return StatussenRequest(
        kenmerk=fields.text("kenmerk"),
        autorisatie_adres=fields.maybe("autorisatieAdres"),
        tijdstempel_vanaf=fields.maybe_moment("tijdstempelVanaf"),
        tijdstempel_tot=fields.maybe_moment("tijdstempelTot"),
    )


def read_statussen_response(opened: Opened) -> tuple[StatusResultaat, ...]:
    """Read the statuses of an answer to one of the status operations, oldest first."""
    names = ("getStatussenProces", "getNieuweStatussenProces", "getNieuweStatussen")
    fields = _fields(opened, *(f"{name}Response" for name in names))
    (results,) = fields.element
    return tuple(_status_resultaat(_Fields(result)) for result in results)


def read_aflever_request(opened: Opened, intake: Intake) -> AfleverRequest:
    """Read an afleverRequest, identiteitAanleveraar in both forms.

    Args:
        opened: what the signature was found to cover.
        intake: where the documents go.

    Raises:
        PeerError: schema, inhoud, inhoud-too-large, xml-limit for too many documents.
    """
    _check_name(opened.operation, "afleverRequest")
    aanleveraar, body = _with_plain_aanleveraar(opened.operation)
    schema.check(body, opened.message.large)
    fields = _Fields(body)
    return AfleverRequest(
        kenmerk=fields.text("kenmerk"),
        berichtsoort=fields.text("berichtsoort"),
        berichtkenmerk=fields.text("berichtkenmerk"),
        aanleverkenmerk=fields.maybe("aanleverkenmerk"),
        tijdstempel_aangeleverd=fields.moment("tijdstempelAangeleverd"),
        identiteit_belanghebbende=fields.identiteit("identiteitBelanghebbende"),
        rol_belanghebbende=fields.text("rolBelanghebbende"),
        identiteit_aanleveraar=aanleveraar,
        identiteit_ontvanger=fields.maybe_identiteit("identiteitOntvanger"),
        rol_ontvanger=fields.maybe("rolOntvanger"),
        documents=_documents(fields, opened.message.large, intake),
        constateringen=tuple(
            Constatering(row.text("code"), row.text("beschrijving")) for row in fields.rows("constateringenLijst")
        ),
        additionele_elementen=tuple(
            AdditioneelElement(row.text("naam"), row.text("waarde")) for row in fields.rows("additioneleElementenLijst")
        ),
    )


def read_aflever_response(opened: Opened) -> AfleverResponse:
    """Read an afleverResponse."""
    fields = _fields(opened, "afleverResponse")
    return AfleverResponse(
        kenmerk=fields.text("kenmerk"),
        berichtsoort=fields.maybe("berichtsoort"),
        berichtkenmerk=fields.text("berichtkenmerk"),
        tijdstempel_afgeleverd=fields.moment("tijdstempelAfgeleverd"),
        statuscode=fields.maybe("statuscode"),
        tijdstempel_status=fields.maybe_moment("tijdstempelStatus"),
        statusomschrijving=fields.maybe("statusomschrijving"),
        status_foutcode=fields.maybe_fout("statusFoutcode"),
        statusdetails=fields.maybe("statusdetails"),
    )


def read_zet_status_request(opened: Opened) -> ZetStatusRequest:
    """Read a zetStatusRequest."""
    fields = _fields(opened, "zetStatusRequest")
    return ZetStatusRequest(
        kenmerk=fields.text("kenmerk"),
        berichtkenmerk=fields.maybe("berichtkenmerk"),
        statuscode=fields.text("statuscode"),
        tijdstempel_status=fields.moment("tijdstempelStatus"),
        status_foutcode=fields.maybe_fout("statusFoutcode"),
        statusdetails=fields.maybe("statusdetails"),
    )


def read_zet_status_response(opened: Opened) -> ZetStatusResponse:
    """Read a zetStatusResponse."""
    fields = _fields(opened, "zetStatusResponse")
    return ZetStatusResponse(kenmerk=fields.text("kenmerk"), statuscode=fields.text("statuscode"))


def read_fault(message: SoapMessage) -> Fault | None:
    """The fault in a message's Body, or None when there is none. Faults carry no signature: nothing here is proved.

    Source: digipoort 2.6.
    """
    fault = message.body.find(q(SOAP11, "Fault"))
    if fault is None:
        return None
    detail = fault.find("detail")
    named = None if detail is None else next(iter(detail.iterchildren(etree.Element)), None)
    known = named is not None and str(named.tag).startswith(f"{{{KV}}}")
    return Fault(
        faultcode=(fault.findtext("faultcode") or "").strip(),
        faultstring=(fault.findtext("faultstring") or "").strip(),
        element=local_name(named.tag) if known and named is not None else "",
        fout=_fault_detail(named) if known and named is not None else None,
    )


def _fault_detail(element: etree._Element) -> Fout:
    code, text = element.findtext(q(KV, "foutcode")), element.findtext(q(KV, "foutbeschrijving"))
    return Fout((code or "").strip(), (text or "").strip())


def _fields(opened: Opened, *names: str) -> _Fields:
    _check_name(opened.operation, *names)
    schema.check(opened.operation, opened.message.large)
    return _Fields(opened.operation)


def _check_name(operation: etree._Element, *names: str) -> None:
    if operation.tag not in {q(KV, name) for name in names}:
        raise PeerError(
            "schema",
            where=f"regel {operation.sourceline}, Body",
            found=f"element {local_name(operation.tag)[:80]}",
            expected=f"{' of '.join(names)} in {KV}",
        )


def _with_plain_aanleveraar(operation: etree._Element) -> tuple[str | None, etree._Element]:
    """identiteitAanleveraar as a number, and a body that the XSD can judge.

    The form with nummer and type is not valid, but seen. Then a copy without it is validated; the verified tree stays
    as it is.
    """
    found = operation.find(q(KV, "identiteitAanleveraar"))
    if found is None or not len(found):
        return (None if found is None else _collapse(found.text)), operation
    both = [local_name(child.tag) for child in found] == ["nummer", "type"] and not (found.text or "").strip()
    number = _collapse(found[0].text)
    if not both or len(found[0]) or len(number) > 35:
        return None, operation  # neither form: the XSD says what is wrong
    copy = deepcopy(operation)
    for plain in copy.iterfind(q(KV, "identiteitAanleveraar")):
        for child in list(plain):
            plain.remove(child)
        plain.text = number
    return number, copy


def _documents(fields: _Fields, large: Sequence[LargeText], intake: Intake) -> tuple[Document, ...]:
    texts = {text.placeholder: text.text for text in large}
    parts = [("inhoud", fields.child("berichtInhoud"))]
    bijlagen = fields.maybe_child("berichtBijlagen")
    parts += [("bijlage", bijlage) for bijlage in (() if bijlagen is None else bijlagen)]
    if len(parts) > limits.DOCUMENTS:
        raise PeerError(
            "xml-limit", where="berichtBijlagen", found=f"{len(parts)} documenten", expected=f"≤ {limits.DOCUMENTS}"
        )
    return tuple(_document(part, _Fields(element), texts, intake) for part, element in parts)


def _document(part: str, fields: _Fields, texts: Mapping[str, Payload], intake: Intake) -> Document:
    raw = fields.child("inhoud").text or ""
    large = texts.get(raw)
    counted = _Counted(inhoud.decode(BytesPayload(raw.encode()) if large is None else large))
    payload = BytesPayload(b"".join(counted)) if large is None else intake.quarantine.write(counted)
    return Document(
        part=part,
        mime_type=fields.text("mimeType"),
        bestandsnaam=fields.text("bestandsnaam"),
        payload=payload,
        size=counted.size,
        sha256=counted.digest.digest(),
        key=intake.new_key(),
    )


class _Counted:
    """Passes chunks on, counting and hashing them."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self.chunks, self.size, self.digest = chunks, 0, hashlib.sha256()

    def __iter__(self) -> Iterator[bytes]:
        for chunk in self.chunks:
            self.size += len(chunk)
            self.digest.update(chunk)
            yield chunk


def _status_resultaat(fields: _Fields) -> StatusResultaat:
    return StatusResultaat(
        kenmerk=fields.text("kenmerk"),
        identiteit_belanghebbende=fields.identiteit("identiteitBelanghebbende"),
        statuscode=fields.text("statuscode"),
        tijdstempel_status=fields.moment("tijdstempelStatus"),
        statusomschrijving=fields.text("statusomschrijving"),
        status_foutcode=fields.maybe_fout("statusFoutcode"),
        statusdetails=fields.maybe("statusdetails"),
    )


class _Fields:
    """The children of a validated element by local name. Order, presence and lengths are the XSD's business."""

    def __init__(self, element: etree._Element) -> None:
        self.element = element
        self._children = {child.tag: child for child in element}

    def maybe_child(self, name: str) -> etree._Element | None:
        return self._children.get(q(KV, name))

    def child(self, name: str) -> etree._Element:
        child = self.maybe_child(name)
        if child is None:
            raise PeerError("schema", where=local_name(self.element.tag), found="een element ontbreekt", expected=name)
        return child

    def rows(self, name: str) -> list[_Fields]:
        child = self.maybe_child(name)
        return [] if child is None else [_Fields(row) for row in child]

    def maybe(self, name: str) -> str | None:
        child = self.maybe_child(name)
        return None if child is None else _collapse(child.text)

    def text(self, name: str) -> str:
        return _collapse(self.child(name).text)

    def maybe_moment(self, name: str) -> datetime | None:
        child = self.maybe_child(name)
        return None if child is None else read_moment(_collapse(child.text), name)

    def moment(self, name: str) -> datetime:
        return read_moment(self.text(name), name)

    def maybe_identiteit(self, name: str) -> Identiteit | None:
        child = self.maybe_child(name)
        return None if child is None else _identiteit(child)

    def identiteit(self, name: str) -> Identiteit:
        return _identiteit(self.child(name))

    def maybe_fout(self, name: str) -> Fout | None:
        child = self.maybe_child(name)
        if child is None:
            return None
        fields = _Fields(child)
        return Fout(fields.text("foutcode"), fields.text("foutbeschrijving"))


def _identiteit(element: etree._Element) -> Identiteit:
    fields = _Fields(element)
    return Identiteit(fields.text("nummer"), fields.text("type"))


def _collapse(text: str | None) -> str:
    """whiteSpace=collapse: XML white space only, so a no-break space stays."""
    return _SPACES.sub(" ", text or "").strip(" ")


_SPACES: Final = re.compile(r"[ \t\r\n]+")
_MOMENT: Final = re.compile(r"(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)(?:\.(\d+))?(Z|[+-]\d\d:\d\d)?", re.ASCII)
"""xsd:dateTime with a year of four digits; the XSD lets longer and negative years pass, a status has none."""


def read_moment(text: str, where: str) -> datetime:
    """An xsd:dateTime as aware UTC; without a zone it is taken as UTC, digits behind microseconds are cut.

    Raises:
        PeerError: schema, for a time that XSD allows and a clock never shows.
    """
    match = _MOMENT.fullmatch(text)
    try:
        if match is None:
            raise ValueError(text[:40])
        year, month, day, hour, minute, second = (int(part) for part in match.groups()[:6])
        micro = int((match[7] or "0")[:6].ljust(6, "0"))
        whole_day = hour == 24  # 24:00:00 is the first moment of the next day (XSD 3.2.7)
        at = datetime(year, month, day, 0 if whole_day else hour, minute, second, micro, _zone(match[8]))
        return (at + timedelta(days=whole_day)).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise PeerError(
            "schema", where=f"element {where}", found="een tijdstip dat niet bestaat", expected="2026-01-05T10:00:00Z"
        ) from error


def _zone(text: str | None) -> timezone:
    if text in (None, "Z"):
        return UTC
    sign = -1 if text[0] == "-" else 1
    return timezone(sign * timedelta(hours=int(text[1:3]), minutes=int(text[4:6])))


# --- writing ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Written:
    """A serialised body element."""

    octets: bytes
    """In exclusive canonical form, the namespace declared on it without a prefix, as in real answers."""
    large: Mapping[str, Payload]
    """Octets that stand as a placeholder in `octets`; their base64 is made while sending."""


def write_aanlever_request(request: AanleverRequest, token: str) -> Written:
    """Write an aanleverRequest.

    Args:
        request: its documents as payloads.
        token: fresh and unguessable, for placeholders.
    """
    documents, large = _write_documents(request.documents, token)
    return _body(
        "aanleverRequest",
        _text("kenmerk", request.kenmerk),
        _text("berichtsoort", request.berichtsoort),
        _text("aanleverkenmerk", request.aanleverkenmerk),
        _text("eerderAanleverkenmerk", request.eerder_aanleverkenmerk),
        _write_identiteit("identiteitBelanghebbende", request.identiteit_belanghebbende),
        _text("rolBelanghebbende", request.rol_belanghebbende),
        _write_identiteit("identiteitOntvanger", request.identiteit_ontvanger),
        _text("rolOntvanger", request.rol_ontvanger),
        documents,
        _text("autorisatieAdres", request.autorisatie_adres),
        large=large,
    )


def write_aanlever_response(response: AanleverResponse) -> Written:
    """Write an aanleverResponse."""
    return _body(
        "aanleverResponse",
        _text("kenmerk", response.kenmerk),
        _text("berichtsoort", response.berichtsoort),
        _text("aanleverkenmerk", response.aanleverkenmerk),
        _text("eerderAanleverkenmerk", response.eerder_aanleverkenmerk),
        _moment("tijdstempelAangeleverd", response.tijdstempel_aangeleverd),
        _write_identiteit("identiteitBelanghebbende", response.identiteit_belanghebbende),
        _text("rolBelanghebbende", response.rol_belanghebbende),
        _write_identiteit("identiteitOntvanger", response.identiteit_ontvanger),
        _text("rolOntvanger", response.rol_ontvanger),
        _text("autorisatieAdres", response.autorisatie_adres),
    )


def write_statussen_request(operation: str, request: StatussenRequest) -> Written:
    """Write a request for statuses.

    Args:
        operation: getStatussenProces or getNieuweStatussenProces.
        request: what is asked.
    """
    return _body(
        f"{operation}Request",
        _text("kenmerk", request.kenmerk),
        _text("autorisatieAdres", request.autorisatie_adres),
        _moment("tijdstempelVanaf", request.tijdstempel_vanaf),
        _moment("tijdstempelTot", request.tijdstempel_tot),
    )


def write_statussen_response(operation: str, results: Sequence[StatusResultaat]) -> Written:
    """Write the answer with statuses.

    Args:
        operation: getStatussenProces or getNieuweStatussenProces.
        results: oldest first.
    """
    rows = "".join(_write_status_resultaat(result) for result in results)
    return _body(f"{operation}Response", f"<{operation}Return>{rows}</{operation}Return>")


def write_aflever_request(request: AfleverRequest, token: str) -> Written:
    """Write an afleverRequest; identiteitAanleveraar as the XSD wants it.

    Args:
        request: its documents as payloads.
        token: fresh and unguessable, for placeholders.
    """
    documents, large = _write_documents(request.documents, token)
    return _body(
        "afleverRequest",
        _text("kenmerk", request.kenmerk),
        _text("berichtsoort", request.berichtsoort),
        _text("berichtkenmerk", request.berichtkenmerk),
        _text("aanleverkenmerk", request.aanleverkenmerk),
        _moment("tijdstempelAangeleverd", request.tijdstempel_aangeleverd),
        _write_identiteit("identiteitBelanghebbende", request.identiteit_belanghebbende),
        _text("rolBelanghebbende", request.rol_belanghebbende),
        _text("identiteitAanleveraar", request.identiteit_aanleveraar),
        _write_identiteit("identiteitOntvanger", request.identiteit_ontvanger),
        _text("rolOntvanger", request.rol_ontvanger),
        documents,
        _list(
            "constateringenLijst",
            "constatering",
            (_text("code", c.code) + _text("beschrijving", c.beschrijving) for c in request.constateringen),
        ),
        _list(
            "additioneleElementenLijst",
            "element",
            (_text("naam", e.naam) + _text("waarde", e.waarde) for e in request.additionele_elementen),
        ),
        large=large,
    )


def write_aflever_response(response: AfleverResponse) -> Written:
    """Write an afleverResponse."""
    return _body(
        "afleverResponse",
        _text("kenmerk", response.kenmerk),
        _text("berichtsoort", response.berichtsoort),
        _text("berichtkenmerk", response.berichtkenmerk),
        _moment("tijdstempelAfgeleverd", response.tijdstempel_afgeleverd),
        _text("statuscode", response.statuscode),
        _moment("tijdstempelStatus", response.tijdstempel_status),
        _text("statusomschrijving", response.statusomschrijving),
        _write_fout("statusFoutcode", response.status_foutcode),
        _text("statusdetails", response.statusdetails),
    )


def write_zet_status_request(request: ZetStatusRequest) -> Written:
    """Write a zetStatusRequest."""
    return _body(
        "zetStatusRequest",
        _text("kenmerk", request.kenmerk),
        _text("berichtkenmerk", request.berichtkenmerk),
        _text("statuscode", request.statuscode),
        _moment("tijdstempelStatus", request.tijdstempel_status),
        _write_fout("statusFoutcode", request.status_foutcode),
        _text("statusdetails", request.statusdetails),
    )


def write_zet_status_response(response: ZetStatusResponse) -> Written:
    """Write a zetStatusResponse."""
    return _body("zetStatusResponse", _text("kenmerk", response.kenmerk), _text("statuscode", response.statuscode))


def write_moment(at: datetime) -> str:
    """UTC with milliseconds and Z, as real answers have it; what is finer is cut off."""
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def escape(text: str) -> str:
    """Text content in canonical form: what XML 1.0 forbids is dropped."""
    text = _FORBIDDEN.sub("", text)
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace("\r", "&#xD;")


_FORBIDDEN: Final = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Not in the Char production of XML 1.0."""


def _body(name: str, *parts: str, large: Mapping[str, Payload] | None = None) -> Written:
    return Written(f'<{name} xmlns="{KV}">{"".join(parts)}</{name}>'.encode(), large or {})


def _text(name: str, value: str | None) -> str:
    return "" if value is None else f"<{name}>{escape(value)}</{name}>"


def _list(name: str, row: str, contents: Iterable[str]) -> str:
    rows = "".join(f"<{row}>{content}</{row}>" for content in contents)
    return f"<{name}>{rows}</{name}>" if rows else ""


def _moment(name: str, value: datetime | None) -> str:
    return "" if value is None else f"<{name}>{write_moment(value)}</{name}>"


def _write_identiteit(name: str, value: Identiteit | None) -> str:
    return "" if value is None else f"<{name}>{_text('nummer', value.nummer)}{_text('type', value.type)}</{name}>"


def _write_fout(name: str, value: Fout | None) -> str:
    if value is None:
        return ""
    return f"<{name}>{_text('foutcode', value.foutcode)}{_text('foutbeschrijving', value.foutbeschrijving)}</{name}>"


def _write_status_resultaat(result: StatusResultaat) -> str:
    parts = (
        _text("kenmerk", result.kenmerk),
        _write_identiteit("identiteitBelanghebbende", result.identiteit_belanghebbende),
        _text("statuscode", result.statuscode),
        _moment("tijdstempelStatus", result.tijdstempel_status),
        _text("statusomschrijving", result.statusomschrijving),
        _write_fout("statusFoutcode", result.status_foutcode),
        _text("statusdetails", result.statusdetails),
    )
    return f"<StatusResultaat>{''.join(parts)}</StatusResultaat>"


_INLINE: Final = limits.INHOUD_IN_TREE // 4 * 3
"""Octets whose base64 is at most limits.INHOUD_IN_TREE: the reader at the other end keeps those in its tree too."""


def _write_documents(documents: Sequence[Document], token: str) -> tuple[str, dict[str, Payload]]:
    placeholders = {d.key: f"{token}{n:03d}" for n, d in enumerate(documents) if d.size > _INLINE}
    first, *others = (_write_document(document, placeholders.get(document.key)) for document in documents)
    written = f"<berichtInhoud>{first}</berichtInhoud>" + _list("berichtBijlagen", "bijlage", others)
    return written, {placeholders[d.key]: d.payload for d in documents if d.key in placeholders}


def _write_document(document: Document, placeholder: str | None) -> str:
    inhoud = placeholder or b"".join(base64_of(document.payload)).decode("ascii")
    return (
        _text("mimeType", document.mime_type) + _text("bestandsnaam", document.bestandsnaam) + _text("inhoud", inhoud)
    )
