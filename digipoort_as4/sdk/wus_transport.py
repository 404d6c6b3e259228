"""The plug-in that lets zeep speak WUS: seals what zeep wrote, posts it, and hands zeep only what the signature covers.

    client = zeep.Client(wsdl, transport=WusTransport(connection))

It is a transport and not a `wsse` object, because a signature is over octets: what was sealed is what is sent, what was
received is what is verified, and zeep reads the tree that was verified. Retries only the same signed octets."""

import base64
import itertools
import secrets
import shutil
import tempfile
import weakref
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import requests
import urllib3
from lxml import etree
from zeep.exceptions import Fault
from zeep.transports import Transport

from digipoort_as4 import limits
from digipoort_as4.config import data_file
from digipoort_as4.errors import (
    CertificateError,
    OutcomeUnknown,
    PeerError,
    Refused,
    SignatureError,
    TransportError,
    UsageError,
    failure,
)
from digipoort_as4.payload import BytesPayload, FilePayload, Payload, Spool, read_all
from digipoort_as4.pki.certificates import read_oin
from digipoort_as4.sdk.connection import CONNECT_TIMEOUT, LIFE, Connection
from digipoort_as4.soap import inhoud, xml_guard, xop
from digipoort_as4.soap.message import SoapMessage
from digipoort_as4.soap.multipart import Written
from digipoort_as4.soap.names import KV, SOAP11, WSA, local_name, q
from digipoort_as4.wssecurity.open_message import Opened, check_timestamp, open_message
from digipoort_as4.wssecurity.seal_message import seal
from digipoort_as4.wus.operations import AANLEVEREN
from digipoort_as4.wus.profiles import address_request

FIRST_PAUSE: Final = 0.25
LONGEST_PAUSE: Final = 8.0  # Seconds between attempts: doubled each time up to this
ATTEMPTS_UNSENT: Final = 3  # Nobody listens: said after this many tries, not after a minute
ANSWER_LIMIT: Final = 160 * limits.MIB  # Octets; 100 MiB of documents as wrapped base64 is 137 MiB
TRY_LATER: Final = (502, 503, 504)  # From a proxy, without SOAP: nobody knows whether the request went through
XML_TYPE: Final = "text/xml; charset=utf-8"
XSD: Final = "digipoort-koppelvlak-1.2.xsd"
OURS: Final = frozenset(q(WSA, name) for name in ("To", "Action", "MessageID"))
"""Headers that zeep writes and that are written anew here."""
ABOUT_CERTIFICATES: Final = ("certificate-", "key-weak", "revocation-")  # Causes, or how they start


class AnswerLost(OutcomeUnknown):
    """The post office may have accepted the request; nobody heard it say so."""

    def __init__(self, request: Payload, why: str) -> None:
        self.request, self.message_id, self.content_type = request, "", XML_TYPE  # Signed, as it was sent
        self.signature_value = ""
        super().__init__(f"no answer came: {why}", sent=True)
        self.add_note("found: the request was sent, so it may have been accepted")
        self.add_note(
            "fix: post the same octets again: if they were accepted you get the same answer, "
            "if a fault about wsu:Timestamp comes they were not, and you may send the document anew"
        )


@dataclass(frozen=True, slots=True)
class Exchange:
    """One request with its answer, octet for octet."""

    request: Payload
    message_id: str
    answer: Payload
    message: SoapMessage  # The answer's tree, large documents kept out of it
    opened: Opened | None
    """What the signature of the answer covers; None for a fault, which is unsigned (digipoort 2.6)."""
    request_type: str = XML_TYPE  # Content-Type; of MTOM with its boundary, without which the request cannot be read
    answer_type: str = XML_TYPE


class WusFault(Refused, Fault):
    """A SOAP fault, caught by `except Refused` as well as by zeep's `except zeep.exceptions.Fault`.
    `code` is the foutcode, if there is one, `message` the cause; `actor` and `detail` are as zeep has them."""

    def __init__(self, text: str, code: str, fault: etree._Element) -> None:
        Fault.__init__(self, text, code=code, actor=fault.findtext("faultactor"), detail=fault.find("detail"))  # type: ignore[no-untyped-call]
        self.code, self.status = code, ""
        self.faultcode = (fault.findtext("faultcode") or "").strip()
        self.exchange: Exchange | None = None  # None: the fault did not come over the wire


class Temporary(Spool):
    """A spool in a temporary folder, which goes when neither this nor a payload in it is referred to any more."""

    def __init__(self) -> None:
        super().__init__(Path(tempfile.mkdtemp(prefix="digipoort-")))
        weakref.finalize(self, shutil.rmtree, self.folder, ignore_errors=True)

    def write(self, chunks: Iterable[bytes]) -> FilePayload:
        """Spool chunks to a file that holds on to this folder."""
        file = super().write(chunks)
        return Held(file.path, 0, file.size, self)


@dataclass(frozen=True, slots=True)
class Held(FilePayload):
    """A stretch of a file in such a folder."""

    spool: Temporary


@dataclass(frozen=True, slots=True)
class Octets:
    """A payload as requests wants a body: a length, and chunks from the start at each attempt."""

    payload: Payload

    def __len__(self) -> int:
        return self.payload.size

    def __iter__(self) -> Iterator[bytes]:
        return self.payload.open()


@dataclass(frozen=True, slots=True)
class Raw:
    """What came back, as it came."""

    status: int
    body: Payload
    content_type: str


@dataclass(frozen=True, slots=True)
class Answer:
    """What zeep gets to read, in the names it looks for."""

    status_code: int
    content: bytes
    headers: Mapping[str, str]
    encoding: str = "utf-8"


class WusTransport(Transport):
    """zeep's transport for one post office; may serve many clients and calls, one call at a time."""

    def __init__(
        self, connection: Connection, large: Mapping[str, Payload] | None = None, again: AnswerLost | None = None
    ) -> None:
        """Nothing is sent yet.
        Args:
            connection: as which business, to which post office.
            large: base64 text that stands in the body, to the octets that are streamed in its place.
            again: a request that was signed before, posted in place of what zeep wrote."""
        super().__init__(session=connection.session)  # type: ignore[no-untyped-call]
        self.connection, self.large, self.again = connection, large or {}, again
        self.last: Exchange | None = None

    def post_xml(self, address: str, envelope: etree._Element, headers: Mapping[str, str]) -> Answer:
        """What zeep calls: `exchange` with the Body's one element; a header of the caller's would get lost."""
        for header in envelope.iterfind(f"{q(SOAP11, 'Header')}/*"):
            if header.tag not in OURS:
                fix = "leave out wsse= and _soapheaders=: this transport addresses and signs"
                raise failure(UsageError, f"a header {local_name(header.tag)} would be lost", fix=fix)
        answered = self.exchange(address, envelope, headers["SOAPAction"].strip('"'))
        return Answer(200, put_back(answered.message), {"Content-Type": XML_TYPE})

    def exchange(self, address: str, envelope: etree._Element, action: str) -> Exchange:
        """Seal the Body's element, post, verify; what it returns stays as `last`.
        Raises:
            WusFault: the answer is a fault.
            SignatureError: the answer is not signed by the post office, or answers something else.
            TransportError: nothing was sent.
            AnswerLost: it was sent, and no answer came while it was valid."""
        sent_at, message_id = self.connection.clock(), self.connection.new_id()
        if self.again is None:
            request, value = self._seal(address, envelope, action, sent_at, message_id)
        else:
            request, message_id = Written(self.again.content_type, self.again.request), self.again.message_id
            value = self.again.signature_value
        try:
            raw = post(self.connection, address, request.body, action, sent_at + LIFE, request.content_type)
            message = parse_answer(raw, request.body)
        except AnswerLost as lost:
            lost.message_id, lost.content_type, lost.signature_value = message_id, request.content_type, value
            raise
        fault = message.body.find(q(SOAP11, "Fault"))
        asked = (message_id, action, value)
        opened = verify(self.connection, message, *asked, fresh=self.again is None) if fault is None else None
        self.last = exchange = Exchange(
            request.body, message_id, raw.body, message, opened, request.content_type, raw.content_type
        )
        if fault is not None:
            refused = refusal(fault)
            refused.exchange = exchange
            raise refused
        return exchange

    def load(self, url: str) -> bytes:
        """A document that zeep wants; ours for the XSD that a saved official WSDL imports from its server's root."""
        parts = urlsplit(url)
        path = Path(parts.path)
        if parts.scheme in ("", "file") and path.name == XSD and not path.exists():
            url = str(data_file(f"schemas/{XSD}"))
        return bytes(super().load(url))  # type: ignore[no-untyped-call]

    def _seal(
        self, address: str, envelope: etree._Element, action: str, at: datetime, message_id: str
    ) -> tuple[Written, str]:
        """The signed request, and its SignatureValue."""
        operation, c = envelope.find(f"{q(SOAP11, 'Body')}/*"), self.connection
        if operation is None:
            raise UsageError("the Body is empty")
        if not c.profile.policy.signed:
            raise UsageError("this client signs every request; the profile of this connection knows no signatures")
        addressing = address_request(c.profile, address, c.hub_oin, read_oin(c.signer.certificate), action, message_id)
        mark, large = message_id.rpartition(":")[2], self.large or take_out(operation)
        octets = xml_guard.serialise(operation)
        sealed = seal(octets, addressing, c.signer, c.algorithms, at, LIFE, lambda: mark, large)
        if c.mtom and AANLEVEREN.by_action(action):
            return xop.pack(sealed.skeleton, large, secrets.token_hex(16)), sealed.signature_value
        return Written(XML_TYPE, sealed.payload), sealed.signature_value


def put_back(message: SoapMessage) -> bytes:
    """The envelope with large texts back in their places."""
    pieces, octets = [], xml_guard.serialise(message.envelope)
    for large in message.large:
        before, _, octets = octets.partition(large.placeholder.encode())
        pieces += [before, read_all(large.text)]
    return b"".join([*pieces, octets])


def take_out(operation: etree._Element) -> dict[str, Payload]:
    """Large documents out of a tree that zeep wrote, a fresh word in the place of each; by word, in order."""
    large: dict[str, Payload] = {}
    for element in operation.iter(q(KV, "inhoud")):
        if len(element.text or "") > limits.INHOUD_IN_TREE:
            word = base64.b64encode(secrets.token_bytes(24)).decode()
            large[word] = BytesPayload(base64.b64decode(element.text or ""))
            element.text = word
    return large


def post(
    connection: Connection, url: str, request: Payload, action: str, valid_until: datetime, content_type: str = XML_TYPE
) -> Raw:
    """Post a signed envelope; the same octets again while they are valid and patience lasts.
    Raises:
        TransportError: TLS was refused, or nobody listens, at every attempt: nothing was accepted.
        AnswerLost: sent at least once, and no answer came."""
    give_up = min(valid_until, connection.clock() + connection.patience)
    pause, tries, sent, why = FIRST_PAUSE, 0, False, ""
    while True:
        try:
            raw = post_once(connection, url, request, action, content_type)
            if "xml" in raw.content_type or raw.status not in TRY_LATER:
                return raw
            sent, why = True, f"HTTP {raw.status}, which is no SOAP"
        except requests.exceptions.SSLError as reason:
            if sent:  # an earlier attempt may have been accepted, whatever TLS says of this one
                raise AnswerLost(request, innermost(reason)) from reason
            expected = "a server certificate below the ca of post-office.json, and our client certificate trusted there"
            found = innermost(reason)
            raise failure(TransportError, f"{url}: TLS was refused", found=found, expected=expected) from reason
        except requests.RequestException as reason:
            sent, why = sent or not is_unsent(reason), innermost(reason)
        tries += 1
        if not sent and tries >= ATTEMPTS_UNSENT:
            raise failure(TransportError, f"{url}: no connection", found=why, fix="digipoort up")
        if connection.clock() + timedelta(seconds=pause) >= give_up:
            raise AnswerLost(request, why)
        connection.sleep(pause)
        pause = min(2 * pause, LONGEST_PAUSE)


def post_once(connection: Connection, url: str, request: Payload, action: str, content_type: str = XML_TYPE) -> Raw:
    """One POST; the answer's octets up to a limit."""
    accept = "text/xml" if content_type == XML_TYPE else "multipart/related, text/xml"
    headers = {"Content-Type": content_type, "SOAPAction": f'"{action}"', "Accept": accept}
    waits = (CONNECT_TIMEOUT.total_seconds(), connection.timeout.total_seconds())
    with connection.session.post(
        url, data=Octets(request), headers=headers, timeout=waits, allow_redirects=False, stream=True
    ) as response:
        body = kept(bounded(request, response.iter_content(limits.CHUNK)))
        return Raw(response.status_code, body, response.headers.get("Content-Type", ""))


def bounded(request: Payload, chunks: Iterable[bytes]) -> Iterator[bytes]:
    """The chunks, as long as there are not too many."""
    size = 0
    for chunk in chunks:
        size += len(chunk)
        if size > ANSWER_LIMIT:
            raise AnswerLost(request, f"more than {ANSWER_LIMIT} octets came")
        yield chunk


def kept(chunks: Iterator[bytes]) -> Payload:
    """Octets that can be read again: in memory, or in a temporary file when there are many."""
    head = b""
    for chunk in chunks:
        head += chunk
        if len(head) > limits.INLINE_BODY:
            return Temporary().write(itertools.chain((head,), chunks))
    return BytesPayload(head)


def is_unsent(reason: requests.RequestException) -> bool:
    """True when no connection came about, so that not an octet of the request went out."""
    cause = reason.args[0] if reason.args else None
    cause = getattr(cause, "reason", cause)
    unsent = (urllib3.exceptions.NewConnectionError, urllib3.exceptions.ConnectTimeoutError)
    return isinstance(reason, requests.ConnectTimeout) or isinstance(cause, unsent)


def innermost(reason: BaseException) -> str:
    """The words of the error that started it."""
    while reason.__context__ is not None:
        reason = reason.__context__
    return f"{type(reason).__name__}: {reason}"


def parse_answer(raw: Raw, request: Payload | None = None) -> SoapMessage:
    """The one tree of an answer, large texts kept out of it.
    Raises:
        AnswerLost: no SOAP came back for `request`, and it is not known who answered. TransportError: nor was it read.
    """
    most, documents, token = limits.ANSWER_READ, limits.ANSWER_DOCUMENTS, secrets.token_hex(16)
    try:
        if xop.is_package(raw.content_type):
            return xml_guard.parse(*xop.unpack(raw.body, raw.content_type, token))
        return xml_guard.parse(*inhoud.extract(raw.body, token, most=most, documents=documents), most=most)
    except PeerError as reason:
        what = f"the answer is no SOAP message (HTTP {raw.status})"
        if request is not None and not 400 <= raw.status < 500:
            raise AnswerLost(request, f"{what}: {reason}") from reason
        raise failure(TransportError, what, found=str(reason)) from reason


def verify(
    connection: Connection,
    message: SoapMessage,
    message_id: str,
    action: str,
    confirms: str | None = None,
    *,
    fresh: bool = True,
) -> Opened:
    """Everything that must hold before an answer is read.
    1. signature, coverage, confirmation, certificate path and revocation; 2. Timestamp; 3. signed by the post office;
    4. it answers this request; 5. it is the response that this action has.
    Args:
        connection: by whose keys, and at what time.
        message: the answer.
        message_id: of the request.
        action: of the request.
        confirms: its SignatureValue; None asks for no confirmation.
        fresh: False for a request that was posted again: the answer is then as old as the first one.
    Raises:
        CertificateError: a SignatureError about the signer's certificate.
        SignatureError: one does not hold; the answer must not be used (DK-WUS WB013)."""
    policy = replace(connection.profile.policy, sha1=connection.algorithms.weak, to_required=False, confirms=confirms)
    now = connection.clock()
    try:
        opened = open_message(message, policy, connection.trust, now)  # 1
        if fresh:
            check_timestamp(opened, policy, now)  # 2
    except PeerError as reason:
        name = reason.cause.name
        kind = CertificateError if name.startswith(ABOUT_CERTIFICATES) else SignatureError
        raise unusable(name, reason.where, reason.found or reason.detail, reason.expected, kind) from reason
    expected_action = action.removesuffix("Request") + "Response"
    for where, found, expected in (
        ("OIN of the signer", opened.oin, connection.hub_oin),  # 3
        ("wsa:RelatesTo", opened.addressing.relates_to, message_id),  # 4
        ("wsa:Action", opened.addressing.action, expected_action),  # 5
    ):
        if found != expected:
            raise unusable("another answer", where, str(found), expected)
    return opened


def unusable(
    what: str, where: str, found: str, expected: str, kind: type[SignatureError] = SignatureError
) -> SignatureError:
    """An answer that must not be read."""
    error = failure(kind, f"the answer must not be used: {what}", where=where, found=found, expected=expected)
    error.reference = where or what
    return error


def refusal(fault: etree._Element) -> WusFault:
    """A SOAP fault as an error: its foutcode, and what it says went wrong.
    Faults are unsigned (digipoort 2.6): good for people, never proof of anything."""
    code = fault.findtext(f"detail/*/{q(KV, 'foutcode')}") or fault.findtext("faultcode") or ""
    text = fault.findtext(f"detail/*/{q(KV, 'foutbeschrijving')}") or fault.findtext("faultstring") or ""
    return WusFault("\n".join(cause_lines(text)), code.strip(), fault)


def cause_lines(text: str) -> list[str]:
    """The lines after `De volgende fout is opgetreden:`, or all when that is not there."""
    general, marker, rest = text.partition("De volgende fout is opgetreden:")
    causes = [line.strip() for line in (rest if marker else general).splitlines() if line.strip()]
    # Recorded faults of Digipoort leave the line empty (digipoort 2.6).
    return causes or [f"{general.strip()} (no cause is given)"]
