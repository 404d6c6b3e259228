"""The first steps that every WUS service shares: parse the request, verify it, find an earlier answer to it.

Reads no business data, decides nothing about it and writes nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from contextlib import suppress
from datetime import datetime
from functools import partial
from types import TracebackType
from typing import TypeVar

from digipoort_as4 import limits
from digipoort_as4.errors import PeerError, check_all, raise_all
from digipoort_as4.hub.decision import StoredReply
from digipoort_as4.payload import FilePayload, Spool, sha256
from digipoort_as4.pki.certificates import Purpose, load_certificate, read_oin
from digipoort_as4.pki.path import Trust
from digipoort_as4.soap import xml_guard, xop
from digipoort_as4.soap.message import SoapMessage
from digipoort_as4.soap.multipart import read_content_type
from digipoort_as4.soap.names import local_name
from digipoort_as4.transport.http import HttpRequest
from digipoort_as4.wssecurity.open_message import Opened, SignaturePolicy, open_message, open_unsigned
from digipoort_as4.wus import koppelvlak, schema
from digipoort_as4.wus.faults import soap_action
from digipoort_as4.wus.office import Office, Snapshot, note
from digipoort_as4.wus.operations import ZET_STATUS, Operation, Service
from digipoort_as4.wus.profiles import Profile, judge_addresses

T = TypeVar("T")


async def off_loop(size: int, work: Callable[[], T]) -> T:
    """Do work without waiting: up to limits.INLINE_BODY octets at once, which is faster; above that in a thread."""
    return work() if size <= limits.INLINE_BODY else await asyncio.to_thread(work)


async def parse(request: HttpRequest, token: str, *, mtom: bool = False) -> SoapMessage:
    """From an HTTP request to one guarded tree; `token`, fresh and unguessable, names the large texts left out of it.
    Raises PeerError: what the transport met, method-not-allowed, content-encoding, content-type (also MTOM, unless it
    is allowed), and all of soap.xop and soap.xml_guard.
    Source: digipoort 1.3, 1.7; decision 13."""
    _check_http(request, mtom)
    content_type = request.headers.get("content-type", "")
    return await off_loop(request.body.size, lambda: xml_guard.parse(*xop.extract(request.body, content_type, token)))


def _check_http(request: HttpRequest, mtom: bool) -> None:
    if request.method != "POST":
        raise PeerError("method-not-allowed", found=request.method[:20], expected="POST")
    if request.trouble:
        raise PeerError(request.trouble)
    headers = request.headers
    check_all(
        lambda: _check_encoding(headers.get("content-encoding", "identity").strip().lower()),
        lambda: _check_content_type(headers.get("content-type", ""), mtom),
    )


def _check_encoding(encoding: str) -> None:
    if encoding not in {"", "identity"}:
        raise PeerError("content-encoding", found=encoding[:40])


def _check_content_type(header: str, mtom: bool) -> None:
    if mtom and xop.is_package(header):
        return
    media_type, parameters = read_content_type(header)
    if media_type != xop.SOAP_XML:
        as_mtom = "of als MTOM (multipart/related)" if mtom else "zonder MTOM: alleen aanleveren neemt dat aan"
        found, fix = media_type[:60] or "geen", f"Verstuur SOAP 1.1 als text/xml, {as_mtom}."
        expected = "text/xml; charset=utf-8"
        raise PeerError("content-type", where="Content-Type", found=found, expected=expected, fix=fix)
    charset = parameters.get("charset", "").lower()
    if charset.strip("\"'") not in {"", "utf-8", "utf8"}:
        raise PeerError("not-utf8", where="Content-Type", found=charset[:40], expected="charset=utf-8")


async def locate(trouble: Exception, message: SoapMessage | None, request: HttpRequest) -> None:
    """Add lines of the message to what a refusal says, where one can be known; `message` None was not read."""
    if message and isinstance(trouble, PeerError):
        await off_loop(request.body.size, partial(schema.locate, trouble, message))


def read_tls_party(certificate: bytes | None, trust: Trust, at: datetime) -> str:
    """The OIN that the TLS connection proves, by the DER of the peer's certificate or None (decision 9).
    Raises PeerError: tls-certificate, why is in its detail. The handshake knew nothing of revocation or purpose."""
    if certificate is None:
        raise PeerError("tls-certificate", detail="no client certificate")
    try:
        loaded = load_certificate(certificate)
        trust.judge(loaded, at, Purpose.TLS_CLIENT)
        return read_oin(loaded)
    except PeerError as refusal:
        if refusal.cause.technical:
            raise
        raise PeerError("tls-certificate", detail=str(refusal)) from refusal


async def verify(message: SoapMessage, request: HttpRequest, snapshot: Snapshot, now: datetime) -> Opened:
    """Verify who sent a request, by the TLS connection and by the signature, which must name the same organisation.
    Does not judge the age of the message: a verbatim repeat is answered also when it is old.
    Raises PeerError: tls-certificate, oin-differs, and the first finding of wssecurity.open_message.
    Source: decisions 9 and 10; the certificates of the two may differ."""
    tls_oin = read_tls_party(request.tls_certificate, snapshot.trust, now)
    opened = await open_request(message, request, snapshot.policy_of(tls_oin), snapshot.trust, now)
    if opened.oin != tls_oin:
        raise PeerError("oin-differs", detail=f"TLS {tls_oin}, signature {opened.oin}")
    return opened


async def open_request(
    message: SoapMessage, request: HttpRequest, policy: SignaturePolicy, trust: Trust, now: datetime
) -> Opened:
    """Open a message under its connection's policy: by its signature, or by the TLS certificate alone."""
    if policy.signed:
        return await off_loop(request.body.size, lambda: open_message(message, policy, trust, now))
    digest = await off_loop(request.body.size, lambda: sha256(request.body))
    return open_unsigned(message, policy, trust, now, (request.tls_certificate or b"", Purpose.TLS_CLIENT), digest)


def check_known(opened: Opened, service: Service, snapshot: Snapshot) -> None:
    """The sender is a party, or a body with an endpoint here; only that sets statuses. PeerError: party-unknown."""
    if opened.oin in snapshot.agencies:
        return
    if service == ZET_STATUS or snapshot.parties.knows(opened.oin) is None:
        raise PeerError("party-unknown", detail=f"{opened.oin} is no {'agency' if service == ZET_STATUS else 'party'}")


def read_operation(opened: Opened, request: HttpRequest, service: Service, profile: Profile, our_oin: str) -> Operation:
    """Which operation is asked; SOAPAction (if given), wsa:Action and body must agree, addresses be as agreed.
    Raises PeerError: operation-unknown, soap-action, header-value, header-missing.
    Source: digipoort 1.3, 1.8; DK-WUS WA001."""
    operation = service.by_element(opened.operation)
    if operation is None:
        offered = ", ".join(each.name for each in service.operations)
        found = local_name(opened.operation.tag)[:80]
        raise PeerError("operation-unknown", where="Body", found=found, expected=offered)
    check_all(
        lambda: _check_action("wsa:Action", opened.addressing.action, operation),
        lambda: _check_action("SOAPAction", soap_action(request) or operation.request_action, operation),
        lambda: raise_all(judge_addresses(opened.addressing, opened.oin, our_oin, service, profile)),
    )
    return operation


def _check_action(where: str, found: str, operation: Operation) -> None:
    if found != (expected := operation.request_action):
        fix = f"Zet {where} op de actie van {operation.name}."
        raise PeerError("soap-action", where=where, found=found[:200], expected=expected, fix=fix)


async def find_repeat(opened: Opened, office: Office, operation: Operation) -> StoredReply | None:
    """The answer given before to this very request; None when it is new. Comes before any judgement of freshness.
    Raises PeerError: message-id-reused, for the same MessageID under another signature (decision 8)."""
    earlier = await office.store.find_reply(opened.oin, opened.addressing.message_id, office.now())
    if earlier is None:
        return None
    reply = same_reply(earlier, opened)
    note("repeated", opened, operation, office)
    return reply


def same_reply(earlier: StoredReply, opened: Opened) -> StoredReply:
    """The stored answer when it is that to this very request. Raises PeerError: message-id-reused."""
    if earlier.signature_value != opened.signature_value:
        where, found, expected = "wsa:MessageID", opened.addressing.message_id[:200], "een nieuw MessageID"
        fix = "Gebruik voor elk bericht een nieuw wsa:MessageID."
        raise PeerError("message-id-reused", where=where, found=found, expected=expected, fix=fix)
    return earlier


async def read_documents(model: type[T], opened: Opened, receiving: koppelvlak.Intake) -> T:
    """Read a message that has documents, in a thread when they are large. Raises PeerError: as koppelvlak.read."""
    size = len(opened.message.octets) + sum(text.text.size for text in opened.message.large)
    return await off_loop(size, lambda: koppelvlak.read(model, opened, receiving))


class Quarantine:
    """Spool files of one request: whatever the store has not moved away by the end is thrown away."""

    def __init__(self, spool: Spool) -> None:
        self._spool = spool
        self._files: list[FilePayload] = []

    def write(self, chunks: Iterable[bytes]) -> FilePayload:
        """Spool chunks to a fresh file."""
        file = self._spool.write(chunks)
        self._files.append(file)
        return file

    def __enter__(self) -> Quarantine:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        # a file that will not go must not spoil an answer that is committed; the next start removes it
        for file in self._files:
            with suppress(OSError):
                self._spool.discard(file)
