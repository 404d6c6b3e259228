"""The signing side-car: takes plain SOAP from a program that cannot sign, and speaks signed WUS with the post office.

Adds nothing to the body and reads none of its fields. What it hands back was verified, or is a fault that says why not.
"""

import asyncio
import hmac
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from ipaddress import ip_address
from typing import Final
from urllib.parse import urlsplit

from lxml import etree

from digipoort_as4.errors import DigipoortError, PeerError, UsageError, failure
from digipoort_as4.journal import Journal
from digipoort_as4.payload import BytesPayload, Payload, Spool
from digipoort_as4.sdk.connection import Connection, fresh_id
from digipoort_as4.sdk.wus_transport import XML_TYPE, WusFault, WusTransport, put_back
from digipoort_as4.soap import inhoud, xml_guard
from digipoort_as4.soap.message import SoapMessage
from digipoort_as4.soap.names import KV, SOAP11, WSA, WSSE, local_name, q
from digipoort_as4.transport.http import HttpAnswer, HttpRequest
from digipoort_as4.wus import wsdl
from digipoort_as4.wus.operations import SERVICES, Operation, Service

MUST_UNDERSTAND: Final = q(SOAP11, "mustUnderstand")
DECLARATION: Final = b'<?xml version="1.0" encoding="UTF-8"?>\n'
IGNORED: Final = (f"{{{WSA}}}", f"{{{WSSE}}}")
"""Namespaces of headers that we write anew, whatever the caller put there."""


@dataclass(frozen=True, slots=True)
class Sidecar:
    """One caller's standing at one post office."""

    connection: Connection
    spool: Spool  # documents above 64 KiB wait here while they are sent
    journal: Journal
    api_key: str = ""  # what callers must show; empty: whoever reaches the port may call

    async def __call__(self, request: HttpRequest) -> HttpAnswer:
        """One request: door → parse → sign and send → the verified answer, plain. GET `?wsdl` needs no door."""
        services = {path: one for one in SERVICES if one.name in self.connection.services for path in one.paths}
        if (described := wsdl.answer(request, services, "", "plain")) is not None:
            return described
        service = services.get(request.path)
        try:
            if service is None:
                raise PeerError("unknown-path", found=request.path[:200], expected=" of ".join(self.paths()))
            check_door(request, self.api_key)
            return await asyncio.to_thread(self._relay, request, service)
        except DigipoortError as error:
            number = self.journal.write("refused", level=logging.WARNING, path=request.path, detail=str(error))
            status = error.cause.http if isinstance(error, PeerError) else 500
            return HttpAnswer(status, {"content-type": XML_TYPE}, BytesPayload(fault_of(error, service, number)))

    def paths(self) -> tuple[str, ...]:
        """Where callers may post."""
        return tuple(service.path for service in SERVICES if service.name in self.connection.services)

    def _relay(self, request: HttpRequest, service: Service) -> HttpAnswer:
        token = fresh_id().rpartition(":")[2].replace("-", "")
        message = xml_guard.parse(*inhoud.extract(request.body, token), headless=True)
        operation = read_operation(message, service)
        large = {text.placeholder: self.spool.write(inhoud.decode(text.text)) for text in message.large}
        try:
            return self._send(message, operation, service, large)
        finally:
            for payload in large.values():
                Spool.discard(payload)

    def _send(
        self, message: SoapMessage, operation: Operation, service: Service, large: Mapping[str, Payload]
    ) -> HttpAnswer:
        transport = WusTransport(self.connection, large)
        try:
            url = self.connection.services[service.name]
            exchange = transport.exchange(url, message.envelope, operation.request_action)
            status, action = 200, operation.response_action
        except WusFault as refused:  # the post office's own words, which need no signature to be read by people
            if refused.exchange is None:
                raise
            exchange, status, action = refused.exchange, 500, operation.fault_action
        self.journal.write("relayed", operation=operation.name, message_id=exchange.message_id, status=status)
        return HttpAnswer(status, {"content-type": XML_TYPE}, BytesPayload(plain(exchange.message, message, action)))


def check_listen(host: str, api_key: str) -> None:
    """Whoever can reach the port signs in our name: beyond this machine only with a key. Raises UsageError."""
    try:
        near = host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        near = False
    if not near and not api_key:
        fix = "listen on 127.0.0.1, or name a file with a key: --api-key-file"
        raise failure(UsageError, f"{host} can be reached by others, who would sign in your name", fix=fix)


def check_door(request: HttpRequest, api_key: str) -> None:
    """A program that may call, and no page in a browser on the same machine (threats: DNS rebinding, CSRF).
    Raises:
        PeerError: method-not-allowed, content-type, what the transport met, party-unknown."""
    if request.method != "POST":
        raise PeerError("method-not-allowed", found=request.method[:20], expected="POST")
    if request.trouble:
        raise PeerError(request.trouble)
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != "text/xml":  # a browser asks leave before it sends this type elsewhere, and gets none here
        raise PeerError("content-type", where="Content-Type", found=media_type[:60] or "geen", expected="text/xml")
    if "origin" in request.headers:
        raise PeerError("header-unknown", where="Origin", found="een browser", expected="een programma")
    host = urlsplit(f"//{request.headers.get('host', '')}").hostname or ""
    if not api_key and host not in ("localhost", "127.0.0.1", "::1"):
        raise PeerError("header-value", where="Host", found=host[:60], expected="localhost")
    shown = request.headers.get("authorization", "").removeprefix("Bearer ").strip()
    if api_key and not hmac.compare_digest(shown.encode(), api_key.encode()):
        raise PeerError("party-unknown", where="Authorization", detail="no or another API key")


def read_operation(message: SoapMessage, service: Service) -> Operation:
    """Which operation is asked, by the one element in the Body.
    Raises:
        PeerError: header-unknown for a header that must be understood; envelope; operation-unknown."""
    for header in message.header:
        if header.get(MUST_UNDERSTAND) in ("1", "true") and not str(header.tag).startswith(IGNORED):
            raise PeerError("header-unknown", where=local_name(header.tag)[:60], expected="geen eigen headers")
    children = list(message.body)
    if len(children) != 1:
        raise PeerError("envelope", where="Body", found=f"{len(children)} elementen", expected="een element")
    operation = service.by_element(children[0])
    if operation is None:
        expected = " of ".join(local_name(each.request) for each in service.operations)
        raise PeerError("operation-unknown", where="Body", found=local_name(children[0].tag)[:80], expected=expected)
    return operation


def plain(answer: SoapMessage, asked: SoapMessage, action: str) -> bytes:
    """The answer without the post office's headers; related to the caller's MessageID when it gave one."""
    answer.header.clear()
    if (message_id := asked.header.findtext(q(WSA, "MessageID"))) is not None:
        etree.SubElement(answer.header, q(WSA, "Action")).text = action
        etree.SubElement(answer.header, q(WSA, "RelatesTo")).text = message_id.strip()
    return DECLARATION + put_back(answer)


def fault_of(error: DigipoortError, service: Service | None, number: str) -> bytes:
    """A SOAP fault of the side-car itself, in the shape that clients of the koppelvlak read (digipoort 2.6)."""
    notes = "\n".join(getattr(error, "__notes__", ()))
    text = escape(f"{error}\n{notes}\n(side-car, {error.category}, journal {number})", quote=False)
    side = "Client" if isinstance(error, PeerError) and not error.cause.technical else "Server"
    element, prefix = (service.fault, service.prefix) if service else ("aanleverFault", "ALS")
    return (
        DECLARATION
        + (
            f'<soapenv:Envelope xmlns:soapenv="{SOAP11}"><soapenv:Body><soapenv:Fault>'
            f"<faultcode>soapenv:{side}</faultcode><faultstring>{text}</faultstring><detail>"
            f'<fault:{element} xmlns:fault="{KV}"><fault:foutcode>{prefix}400</fault:foutcode>'
            f"<fault:foutbeschrijving>{text}</fault:foutbeschrijving></fault:{element}>"
            "</detail></soapenv:Fault></soapenv:Body></soapenv:Envelope>"
        ).encode()
    )
