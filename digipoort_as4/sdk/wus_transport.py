"""The plug-in that lets zeep speak WUS: seals what zeep wrote, posts it, and hands zeep only what the signature covers.

    client = zeep.Client(wsdl, transport=WusTransport(connection))

It is a transport and not a `wsse` object, because a signature is over octets: what was sealed is what is sent, what was
received is what is verified, and zeep reads the tree that was verified. Retries only the same signed octets.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import requests
import urllib3
from lxml import etree
from zeep.transports import Transport

from digipoort_as4 import limits
from digipoort_as4.errors import OutcomeUnknown, PeerError, Refused, SignatureError, TransportError, UsageError, failure
from digipoort_as4.payload import BytesPayload, Payload
from digipoort_as4.sdk.connection import CONNECT_TIMEOUT, LIFE, READ_TIMEOUT, Connection
from digipoort_as4.soap import xml_guard, xop
from digipoort_as4.soap.addressing import Addressing
from digipoort_as4.soap.message import SoapMessage
from digipoort_as4.soap.multipart import Written
from digipoort_as4.soap.names import KV, SOAP11, q
from digipoort_as4.wssecurity.open_message import Opened, SignaturePolicy, check_timestamp, open_message
from digipoort_as4.wssecurity.seal_message import seal
from digipoort_as4.wus.operations import AANLEVEREN

FIRST_PAUSE: Final = 0.25
LONGEST_PAUSE: Final = 8.0  # Seconds between attempts: doubled each time up to this
ATTEMPTS_UNSENT: Final = 3  # Nobody listens: said after this many tries, not after a minute
ANSWER_LIMIT: Final = 28 * limits.MIB
XML_TYPE: Final = "text/xml; charset=utf-8"


class AnswerLost(OutcomeUnknown):
    """The post office may have accepted the request; nobody heard it say so."""

    def __init__(self, request: Payload, why: str) -> None:
        self.request = request
        super().__init__(f"no answer came: {why}")
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
    answer: bytes
    opened: Opened | None
    """What the signature of the answer covers; None for a fault, which is unsigned (digipoort 2.6)."""
    request_type: str = XML_TYPE  # Content-Type; of MTOM with its boundary, without which the request cannot be read
    answer_type: str = XML_TYPE


@dataclass(frozen=True, slots=True)
class Octets:
    """A payload as requests wants a body: a length, and chunks from the start at each attempt."""

    payload: Payload

    def __len__(self) -> int:
        return self.payload.size

    def __iter__(self) -> Iterator[bytes]:
        return self.payload.open()


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back, in the names zeep looks for."""

    status_code: int
    content: bytes
    headers: Mapping[str, str]
    encoding: str = "utf-8"


class WusTransport(Transport):
    """zeep's transport for one post office; `large`: base64 text that stands in the body to what is streamed there."""

    def __init__(self, connection: Connection, large: Mapping[str, Payload] | None = None) -> None:
        super().__init__(session=connection.session)  # type: ignore[no-untyped-call]
        self.connection = connection
        self.large = large or {}
        self.exchanges: list[Exchange] = []

    def post_xml(self, address: str, envelope: etree._Element, headers: Mapping[str, str]) -> Answer:
        """Seal, post, verify.

        Raises:
            Refused: the answer is a fault.
            SignatureError: the answer is not signed by the post office, or answers something else.
            TransportError: nothing was sent.
            AnswerLost: it was sent, and no answer came while it was valid.
        """
        action = headers["SOAPAction"].strip('"')
        sent_at, message_id = self.connection.clock(), self.connection.new_id()
        request = self._seal(address, envelope, action, sent_at, message_id)
        answer = post(self.connection, address, request.body, action, sent_at + LIFE, request.content_type)
        message = parse_answer(answer)
        fault = message.body.find(q(SOAP11, "Fault"))
        opened = None if fault is not None else verify(self.connection, message, message_id, action)
        types = request.content_type, answer.headers.get("content-type", "")
        self.exchanges.append(Exchange(request.body, message_id, answer.content, opened, *types))
        if fault is not None:
            raise refusal(fault)
        return Answer(answer.status_code, xml_guard.serialise(message.envelope), {"Content-Type": XML_TYPE})

    def _seal(self, address: str, envelope: etree._Element, action: str, at: datetime, message_id: str) -> Written:
        operation = envelope.find(f"{q(SOAP11, 'Body')}/*")
        if operation is None:
            raise UsageError("the Body is empty")
        addressing = Addressing(to=address, action=action, message_id=message_id)
        mark = message_id.rpartition(":")[2]
        c, octets = self.connection, xml_guard.serialise(operation)
        sealed = seal(octets, addressing, c.signer, c.algorithms, at, LIFE, lambda: mark, self.large)
        if c.mtom and AANLEVEREN.by_action(action):
            return xop.pack(sealed.skeleton, self.large, secrets.token_hex(16))
        return Written(XML_TYPE, sealed.payload)


def post(
    connection: Connection, url: str, request: Payload, action: str, valid_until: datetime, content_type: str = XML_TYPE
) -> Answer:
    """Post a signed envelope; the same octets again while they are valid and patience lasts.

    Raises:
        TransportError: TLS was refused, or nobody listens, at every attempt: nothing was accepted.
        AnswerLost: sent at least once, and no answer came.
    """
    give_up = min(valid_until, connection.clock() + connection.patience)
    pause, tries, sent, why = FIRST_PAUSE, 0, False, ""
    while True:
        try:
            return post_once(connection, url, request, action, content_type)
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


def post_once(connection: Connection, url: str, request: Payload, action: str, content_type: str = XML_TYPE) -> Answer:
    """One POST; the answer's octets up to a limit."""
    accept = "text/xml" if content_type == XML_TYPE else "multipart/related, text/xml"
    headers = {"Content-Type": content_type, "SOAPAction": f'"{action}"', "Accept": accept}
    waits = (CONNECT_TIMEOUT.total_seconds(), READ_TIMEOUT.total_seconds())
    with connection.session.post(
        url, data=Octets(request), headers=headers, timeout=waits, allow_redirects=False, stream=True
    ) as response:
        content = b""
        for chunk in response.iter_content(limits.CHUNK):
            content += chunk
            if len(content) > ANSWER_LIMIT:
                raise TransportError(f"{url}: the answer is larger than {ANSWER_LIMIT} octets")
        return Answer(response.status_code, content, {name.lower(): value for name, value in response.headers.items()})


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


def parse_answer(answer: Answer) -> SoapMessage:
    """The one tree of an answer; a TransportError when no SOAP came back."""
    content_type = answer.headers.get("content-type", "")
    try:
        if not xop.is_package(content_type):
            return xml_guard.parse(answer.content)
        return xml_guard.parse(*xop.unpack(BytesPayload(answer.content), content_type, secrets.token_hex(16)))
    except PeerError as reason:
        what = f"the answer is no SOAP message (HTTP {answer.status_code})"
        raise failure(TransportError, what, found=str(reason)) from reason


def verify(connection: Connection, message: SoapMessage, message_id: str, action: str) -> Opened:
    """Everything that must hold before an answer is read.

    1. signature, coverage, certificate path and revocation; 2. Timestamp; 3. signed by the post office;
    4. it answers this request; 5. it is the response that this action has.

    Raises:
        SignatureError: one does not hold; the answer must not be used (DK-WUS WB013).
    """
    policy, now = SignaturePolicy(sha1=connection.algorithms.weak, to_required=False), connection.clock()
    try:
        opened = open_message(message, policy, connection.trust, now)  # 1
        check_timestamp(opened, policy, now)  # 2
    except PeerError as reason:
        raise unusable(reason.cause.name, reason.where, reason.found or reason.detail, reason.expected) from reason
    expected_action = action.removesuffix("Request") + "Response"
    for where, found, expected in (
        ("OIN of the signer", opened.oin, connection.hub_oin),  # 3
        ("wsa:RelatesTo", opened.addressing.relates_to, message_id),  # 4
        ("wsa:Action", opened.addressing.action, expected_action),  # 5
    ):
        if found != expected:
            raise unusable("another answer", where, str(found), expected)
    return opened


def unusable(what: str, where: str, found: str, expected: str) -> SignatureError:
    """An answer that must not be read."""
    return failure(SignatureError, f"the answer must not be used: {what}", where=where, found=found, expected=expected)


def refusal(fault: etree._Element) -> Refused:
    """A SOAP fault as an error: its foutcode, and what it says went wrong.

    Faults are unsigned (digipoort 2.6): good for people, never proof of anything.
    """
    code = fault.findtext(f"detail/*/{q(KV, 'foutcode')}") or fault.findtext("faultcode") or ""
    text = fault.findtext(f"detail/*/{q(KV, 'foutbeschrijving')}") or fault.findtext("faultstring") or ""
    return Refused("\n".join(cause_lines(text)), code=code.strip())


def cause_lines(text: str) -> list[str]:
    """The lines after `De volgende fout is opgetreden:`, or all when that is not there."""
    general, marker, rest = text.partition("De volgende fout is opgetreden:")
    causes = [line.strip() for line in (rest if marker else general).splitlines() if line.strip()]
    # Recorded faults of Digipoort leave the line empty (digipoort 2.6).
    return causes or [f"{general.strip()} (no cause is given)"]
