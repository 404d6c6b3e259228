"""The messages of the koppelvlak as frozen models: read from verified bodies, written as serialised bodies.

A model's fields are the children of its element in the order of the XSD, in snake_case; reader and writer follow them.
Signs nothing, stores nothing, decides nothing."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime, timedelta
from functools import cache
from types import NoneType
from typing import Any, Final, NamedTuple, Protocol, TypeVar, cast, get_args, get_origin, get_type_hints
from xml.sax.saxutils import unescape

from lxml import etree

from digipoort_as4 import codes, limits
from digipoort_as4.errors import PeerError
from digipoort_as4.hub import statuses
from digipoort_as4.hub.aanlevering import Aanlevering, Identiteit
from digipoort_as4.hub.decision import Status
from digipoort_as4.payload import BytesPayload, Document, FilePayload, Payload, base64_of
from digipoort_as4.soap import addressing, inhoud
from digipoort_as4.soap.message import LargeText, SoapMessage
from digipoort_as4.soap.names import KV, SOAP11, WHITE_SPACE, local_name, q
from digipoort_as4.wssecurity.open_message import Opened
from digipoort_as4.wus import schema
from digipoort_as4.wus.operations import OPHALEN, STATUSINFORMATIE

M = TypeVar("M")

_SPACES: Final = re.compile(f"[{WHITE_SPACE}]+")
_FORBIDDEN: Final = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")  # Char of XML 1.0


@dataclass(frozen=True, slots=True)
class Fout:
    """foutType: what a fault carries, and the statusFoutcode of a status."""

    foutcode: str  # at most 20 characters
    foutbeschrijving: str  # at most 1,048,576 characters


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
    documents: tuple[Document, ...]  # berichtInhoud first, then berichtBijlagen in order
    autorisatie_adres: str | None

    def aanlevering(self, sender_oin: str) -> Aanlevering:
        """The canonical unit of the hub, sent by the OIN of the certificate that signed the request."""
        whom, rol, to = self.identiteit_belanghebbende, self.rol_belanghebbende, self.identiteit_ontvanger
        rest = (self.aanleverkenmerk, self.eerder_aanleverkenmerk, to, self.rol_ontvanger, self.autorisatie_adres)
        return Aanlevering(sender_oin, self.berichtsoort, whom, rol, self.documents, *rest)


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
class OpvraagRequest:
    """Every request of the status and the ophaalservice; which of these one has and must have, the XSD says."""

    kenmerk: str | None = None
    berichtsoort: str | None = None
    identiteit_belanghebbende: Identiteit | None = None
    autorisatie_adres: str | None = None
    tijdstempel_vanaf: datetime | None = None
    tijdstempel_tot: datetime | None = None


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
        fout = None if status.foutcode is None else Fout(status.foutcode, status.foutbeschrijving or "")
        return cls(kenmerk, belanghebbende, status.code, status.at, status.omschrijving, fout, status.details)

    @property
    def is_end(self) -> bool:
        """Nothing follows for this message, by the table of statuses."""
        return (row := statuses.TABLE.get(self.statuscode)) is not None and row.end

    @property
    def is_good(self) -> bool:
        """Neither an error nor a warning."""
        return (row := statuses.TABLE.get(self.statuscode)) is not None and row.good

    @property
    def explanation(self) -> str:
        """What it means, in English; `digipoort explain` has Dutch too. Empty for a code that the table lacks."""
        return row.meaning["en"] if (row := codes.TABLES["status"].get(self.statuscode)) else ""

    @property
    def action(self) -> str:
        """What the sender does now."""
        return row.action["en"] if (row := codes.TABLES["status"].get(self.statuscode)) else ""

    @property
    def findings(self) -> tuple[str, ...]:
        """What is wrong, each of the `results` text (digipoort 3.4) by itself; empty when nothing is."""
        text = self.status_foutcode.foutbeschrijving if self.status_foutcode else ""
        found = tuple(f"line {line}: {unescape(said).strip()}" for line, said in _MESSAGE.findall(text))
        return found or ((text,) if text else ())


_MESSAGE: Final = re.compile(r'<msg line="(\d+)"[^>]*>([^<]*)')


@dataclass(frozen=True, slots=True)
class ProcesResultaat:
    """One process as a list shows it."""

    kenmerk: str
    berichtsoort: str
    identiteit_belanghebbende: Identiteit
    identiteit_ontvanger: Identiteit | None


@dataclass(frozen=True, slots=True)
class BerichtLijstResultaat:
    """A message that can be collected, without its content."""

    berichtsoort: str
    identiteit_belanghebbende: Identiteit
    kenmerk: str


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
class BerichtResultaat:
    """A message that was collected, with its content."""

    kenmerk: str
    berichtsoort: str
    berichtkenmerk: str
    aanleverkenmerk: str | None
    eerder_aanleverkenmerk: str | None
    tijdstempel_aangeleverd: datetime
    identiteit_belanghebbende: Identiteit
    rol_belanghebbende: str
    identiteit_aanleveraar: str | None  # a number without its type; see _with_plain_aanleveraar
    identiteit_ontvanger: Identiteit | None
    rol_ontvanger: str | None
    documents: tuple[Document, ...]  # berichtInhoud first, then berichtBijlagen in order
    constateringen_lijst: tuple[Constatering, ...] = ()
    additionele_elementen_lijst: tuple[AdditioneelElement, ...] = ()


@dataclass(frozen=True, slots=True)
class AfleverRequest(BerichtResultaat):
    """afleverRequest: all that a collected message has but one."""

    eerder_aanleverkenmerk: None = field(default=None, init=False)  # no field: the XSD has no such element here


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
    element: str  # aanleverFault, statusinformatieFault, …; empty when the detail holds none of them
    fout: Fout | None

    @property
    def cause(self) -> str:
        """What stands behind 'De volgende fout is opgetreden:', without the fixed sentences."""
        text = self.fout.foutbeschrijving if self.fout else self.faultstring
        return text.partition("De volgende fout is opgetreden:")[2].strip() or text.strip()

    @property
    def causes(self) -> tuple[str, ...]:
        """The same for each mistake, when the fault tells several on numbered lines."""
        return tuple(re.sub(r"^\(\d+\) ", "", line) for line in self.cause.splitlines())


ELEMENTS: Final[Mapping[type, tuple[str, ...]]] = {
    OpvraagRequest: tuple(f"{one.name}Request" for one in (*STATUSINFORMATIE.operations, *OPHALEN.operations)),
    str: ("getBerichtsoortenResponse",),
    ProcesResultaat: ("getProcessenResponse",),
    StatusResultaat: ("getStatussenProcesResponse", "getNieuweStatussenProcesResponse", "getNieuweStatussenResponse"),
    BerichtLijstResultaat: ("getBerichtenLijstResponse", "getNieuweBerichtenLijstResponse"),
    BerichtResultaat: tuple(f"{one.name}Response" for one in OPHALEN.operations if not one.name.endswith("Lijst")),
}
"""Elements that carry a model, for a row the responses it stands in; any other model is named as its element is."""

ROWS: Final = {
    "constateringenLijst": "constatering",
    "additioneleElementenLijst": "element",
    "berichtBijlagen": "bijlage",
}
"""What one row of a list is called."""


def _names(model: type) -> tuple[str, ...]:
    return ELEMENTS.get(model, (model.__name__[0].lower() + model.__name__[1:],))


class Field(NamedTuple):
    """How one field of a model stands in the XSD."""

    name: str
    element: str
    kind: Any  # str, datetime, Document or a model
    optional: bool
    many: bool


@cache
def fields_of(model: type) -> tuple[Field, ...]:
    """How the fields of a model stand in the XSD."""
    hints = get_type_hints(model)
    return tuple(_field(one.name, hints[one.name]) for one in fields(model) if hints[one.name] is not NoneType)


def _field(name: str, hint: Any) -> Field:
    inner = get_args(hint)  # of X | None, and of tuple[X, ...]
    first, *others = name.split("_")
    element = first + "".join(word.capitalize() for word in others)
    return Field(name, element, inner[0] if inner else hint, NoneType in inner, get_origin(hint) is tuple)


def about(model: type[M], unit: Aanlevering, **own: Any) -> M:
    """A message about a unit: a field that is not the message's own is the unit's of that name, less `identiteit_`."""
    build: Any = model
    names = {one.name: one.name.removeprefix("identiteit_") for one in fields_of(build)}
    message: M = build(**{name: getattr(unit, of) for name, of in names.items() if hasattr(unit, of)} | own)
    return message


def values(message: Any) -> Iterator[tuple[str, Any]]:
    """Element names and values of a model in the order of the XSD; what is None or an empty list is left out."""
    model: Any = type(message)
    for name, element, kind, *_ in fields_of(model):
        value = getattr(message, name)
        if kind is Document and value:
            yield "berichtInhoud", value[0]
            element, value = "berichtBijlagen", value[1:]
        if value is not None and value != ():
            yield element, value


class Quarantine(Protocol):
    """Where decoded documents wait until the store has kept them; payload.Spool is one."""

    def write(self, chunks: Iterable[bytes]) -> FilePayload:
        """Spool chunks to a fresh file."""


@dataclass(frozen=True, slots=True)
class Intake:
    """How documents are taken in."""

    quarantine: Quarantine
    new_key: Callable[[], str]  # a random key for each document, at least eight of 0-9 a-z _ -


def read(model: type[M], opened: Opened, intake: Intake | None = None) -> M:
    """Read a message of one kind, and nothing else; large documents become files of the intake's quarantine.
    Raises PeerError: schema (all errors at once), inhoud, inhoud-too-large, xml-limit for too many documents.
    Source: digipoort 1.4 to 1.6."""
    return _Reader(opened.message.large, intake).read(model, _check(model, opened))


def read_results(model: type[M], opened: Opened, intake: Intake | None = None) -> tuple[M, ...]:
    """Read the rows of an answer that holds a list: of models, or of berichtsoorten as texts. Args, errors: as read."""
    (results,) = _check(model, opened)
    reader = _Reader(opened.message.large, intake)
    return tuple(reader.read(model, row) for row in results)


def read_fault(message: SoapMessage) -> Fault | None:
    """The fault in a message's Body (digipoort 2.6), or None. Faults carry no signature: nothing here is proved."""
    fault = message.body.find(q(SOAP11, "Fault"))
    if fault is None:
        return None
    detail = fault.find("detail")
    named = None if detail is None else next(iter(detail.iterchildren(etree.Element)), None)
    known = named if named is not None and str(named.tag).startswith(f"{{{KV}}}") else None
    fout = None if known is None else Fout(_text(known, q(KV, "foutcode")), _text(known, q(KV, "foutbeschrijving")))
    element = "" if known is None else local_name(known.tag)
    return Fault(_text(fault, "faultcode"), _text(fault, "faultstring"), element, fout)


def _text(parent: etree._Element, name: str) -> str:
    return (parent.findtext(name) or "").strip()


def _check(model: type, opened: Opened) -> etree._Element:
    """The body element, when it is one that carries the model and the XSD allows it."""
    operation = opened.operation
    names = _names(model)
    if operation.tag not in {q(KV, name) for name in names}:
        where, found = f"regel {operation.sourceline}, Body", f"element {local_name(operation.tag)[:80]}"
        raise PeerError("schema", where=where, found=found, expected=f"{' of '.join(names)} in {KV}")
    body = _with_plain_aanleveraar(operation)
    schema.check(body, opened.message.large)
    return body


def _with_plain_aanleveraar(operation: etree._Element) -> etree._Element:
    """A body that the XSD can judge: identiteitAanleveraar as a number, in a copy; the verified tree stays as it is.
    The form with nummer and type is not valid, but seen (digipoort 1.6). What is neither form, the XSD says is wrong.
    """
    found = operation.find(q(KV, "identiteitAanleveraar"))
    if found is None or [local_name(child.tag) for child in found] != ["nummer", "type"]:
        return operation
    number = _collapse(found[0].text)
    if (found.text or "").strip() or len(found[0]) or len(number) > 35:
        return operation
    copy = deepcopy(operation)
    for plain in copy.iterfind(q(KV, "identiteitAanleveraar")):
        for child in list(plain):
            plain.remove(child)
        plain.text = number
    return copy


class _Reader:
    """Reads validated elements; order, presence and lengths are the XSD's business."""

    def __init__(self, large: Sequence[LargeText], intake: Intake | None) -> None:
        self._texts = {text.placeholder: text for text in large}
        self._intake = intake

    def read(self, model: type[M], element: etree._Element) -> M:
        build: Any = model
        if build is str:
            return cast(M, _collapse(element.text))
        children = {local_name(child.tag): child for child in element}
        message: M = build(**{field.name: self._value(field, children) for field in fields_of(build)})
        return message

    def _value(self, field: Field, children: Mapping[str, etree._Element]) -> Any:
        if field.kind is Document:
            return self._documents(children)
        if field.many:
            return tuple(self.read(field.kind, row) for row in children.get(field.element, ()))
        if field.optional and field.element not in children:
            return None
        child = children[field.element]
        if field.kind is str:
            return _collapse(child.text)
        if field.kind is datetime:
            return read_moment(_collapse(child.text), field.element, zoned=field.element in WINDOW)
        return self.read(field.kind, child)

    def _documents(self, children: Mapping[str, etree._Element]) -> tuple[Document, ...]:
        bijlagen = children.get("berichtBijlagen", ())
        if 1 + len(bijlagen) > limits.DOCUMENTS:
            found = f"{1 + len(bijlagen)} documenten"
            raise PeerError("xml-limit", where="berichtBijlagen", found=found, expected=f"≤ {limits.DOCUMENTS}")
        first = self._document("inhoud", children["berichtInhoud"])
        return (first, *(self._document("bijlage", bijlage) for bijlage in bijlagen))

    def _document(self, part: str, element: etree._Element) -> Document:
        if self._intake is None:
            raise TypeError("a message with documents needs an intake")
        mime_type, bestandsnaam, raw = (child.text or "" for child in element)
        large = self._texts.get(raw)
        counted = _Counted(inhoud.octets_of(large or LargeText("", BytesPayload(raw.encode()))))
        payload = BytesPayload(b"".join(counted)) if large is None else self._intake.quarantine.write(counted)
        names = _collapse(mime_type), _collapse(bestandsnaam)
        return Document(part, *names, payload, counted.size, counted.digest.digest(), self._intake.new_key())


class _Counted:
    """Passes chunks on, counting and hashing them."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self.chunks, self.size, self.digest = chunks, 0, hashlib.sha256()

    def __iter__(self) -> Iterator[bytes]:
        for chunk in self.chunks:
            self.size += len(chunk)
            self.digest.update(chunk)
            yield chunk


def _collapse(text: str | None) -> str:
    """whiteSpace=collapse: XML white space only, so a no-break space stays."""
    return _SPACES.sub(" ", text or "").strip(" ")


WINDOW: Final = ("tijdstempelVanaf", "tijdstempelTot")  # an hour off would lose messages: they must name a zone


def read_moment(text: str, where: str, *, zoned: bool = False) -> datetime:
    """An xsd:dateTime as aware UTC; without a zone it is taken as UTC, digits behind microseconds are cut.
    Raises PeerError: schema, for a time that XSD allows and a clock never shows, e.g. a year of five digits; window,
    for one without a zone where that must be there."""
    try:
        at = datetime.fromisoformat(text.replace("T24:", "T00:"))
        if zoned and at.tzinfo is None:
            found, fix = f"{text[:40]}, zonder tijdzone", "Zet een Z achter een tijd in UTC."
            raise PeerError("window", where=where, found=found, expected="een tijdstip met Z of +01:00", fix=fix)
        day_after = timedelta(days="T24:" in text)  # 24:00:00 is the first moment of the next day (XSD 3.2.7)
        return ((at if at.tzinfo else at.replace(tzinfo=UTC)) + day_after).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        found, expected = "een tijdstip dat niet bestaat", "2026-01-05T10:00:00Z"
        raise PeerError("schema", where=f"element {where}", found=found, expected=expected) from error


@dataclass(frozen=True, slots=True)
class Written:
    """A serialised body element."""

    octets: bytes  # in exclusive canonical form, the namespace declared on it without a prefix, as in real answers
    large: Mapping[str, Payload]  # octets that stand as a placeholder in `octets`; their base64 is made while sending
    keys: tuple[str, ...] = ()  # Document.key of each of `large`


INLINE: Final = limits.INHOUD_IN_TREE // 4 * 3  # octets whose base64 the reader at the other end keeps in its tree


def write(message: object, token: str = "", *, element: str = "") -> Written:
    """Write one message, a model, identiteitAanleveraar as the XSD wants it.
    `token`, fresh and unguessable, for the placeholders of documents; `element` where the model can stand in several.
    """
    writer = _Writer([message], token)
    return writer.body(element or _names(type(message))[0], writer.content(message))


def write_results(operation: str, rows: Sequence[object], token: str = "") -> Written:
    """Write an answer of rows: models, called on the wire as here, or berichtsoorten; `token` as for `write`."""
    writer = _Writer(rows, token)
    named = (("berichtsoort" if isinstance(row, str) else type(row).__name__, row) for row in rows)
    content = "".join(writer.element(name, row) for name, row in named)
    return writer.body(f"{operation}Response", f"<{operation}Return>{content}</{operation}Return>")


class _Writer:
    """Writes models as elements; large documents as placeholders."""

    def __init__(self, messages: Iterable[object], token: str) -> None:
        documents = [document for message in messages for document in getattr(message, "documents", ())]
        large = [document for document in documents if document.size > INLINE]
        self._placeholders = {document.key: f"{token}{number:03d}" for number, document in enumerate(large)}
        self._large = {self._placeholders[document.key]: document.payload for document in large}

    def body(self, name: str, content: str) -> Written:
        return Written(f'<{name} xmlns="{KV}">{content}</{name}>'.encode(), self._large, tuple(self._placeholders))

    def content(self, message: object) -> str:
        return "".join(self.element(name, value) for name, value in values(message))

    def element(self, name: str, value: Any) -> str:
        if isinstance(value, str):
            content = escape(value)
        elif isinstance(value, datetime):
            content = write_moment(value)
        elif isinstance(value, tuple):
            content = "".join(self.element(ROWS[name], row) for row in value)
        elif isinstance(value, Document):
            inhoud = self._placeholders.get(value.key) or b"".join(base64_of(value.payload)).decode("ascii")
            named = self.element("mimeType", value.mime_type) + self.element("bestandsnaam", value.bestandsnaam)
            content = f"{named}<inhoud>{inhoud}</inhoud>"  # base64 needs no escaping, and there is much of it
        else:
            content = self.content(value)
        return f"<{name}>{content}</{name}>"


def write_moment(at: datetime) -> str:
    """UTC with milliseconds and Z, as real answers have it; what is finer is cut off."""
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def escape(text: str) -> str:
    """Text content in canonical form: what XML 1.0 forbids is dropped."""
    return addressing.escape(_FORBIDDEN.sub("", text))
