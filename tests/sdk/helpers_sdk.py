"""A post office of ten lines on a real TLS socket, scripted by the test, that signs as the hub does."""

from __future__ import annotations

import asyncio
import inspect
import ssl
import threading
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from digipoort_as4.hub.aanlevering import Identiteit
from digipoort_as4.payload import BytesPayload, Payload
from digipoort_as4.pki import test_pki
from digipoort_as4.pki.keys import FileSigner, TlsFiles
from digipoort_as4.pki.test_pki import Identity
from digipoort_as4.sdk.client import AsyncDigipoortClient, AsyncSubmission, DigipoortClient
from digipoort_as4.sdk.connection import Connection, fresh_id
from digipoort_as4.sdk.models import Bericht, Bestand
from digipoort_as4.soap import inhoud, xml_guard
from digipoort_as4.soap.addressing import Addressing
from digipoort_as4.soap.message import SoapMessage
from digipoort_as4.soap.names import KV, WSA, WSA_ANONYMOUS, q
from digipoort_as4.wssecurity.algorithms import Algorithms
from digipoort_as4.wssecurity.seal_message import seal, unsigned

BASE = "http://logius.nl/digipoort/wus/2.0/aanleverservice/1.2/AanleverService/"
HUB_OIN = "00000099000000001000"
KENMERK = "700627b6-383e-4d8d-809f-b066845b36e0"

RESPONSE = f"""<aanleverResponse xmlns="{KV}"><kenmerk>{KENMERK}</kenmerk><berichtsoort>Omzetbelasting</berichtsoort>
<aanleverkenmerk>mijn-1</aanleverkenmerk><tijdstempelAangeleverd>2026-11-24T12:00:00.012Z</tijdstempelAangeleverd>
<identiteitBelanghebbende><nummer>001000044B37</nummer><type>BTW</type></identiteitBelanghebbende>
<rolBelanghebbende>Bedrijf</rolBelanghebbende>
<identiteitOntvanger><nummer>00000099000000012000</nummer><type>OIN</type></identiteitOntvanger>
<statuscode>105</statuscode><tijdstempelStatus>2026-11-24T12:00:00.012Z</tijdstempelStatus>
<statusomschrijving>Aanleverproces gestart.</statusomschrijving></aanleverResponse>""".encode()

FAULT = f"""<soapenv:Fault xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/"><faultcode>soapenv:Client</faultcode>
<faultstring>Algemene fout</faultstring><faultactor>Verantwoordingsplichtige</faultactor><detail>
<f:aanleverFault xmlns:f="{KV}"><f:foutcode>ALS100</f:foutcode><f:foutbeschrijving>Het verzoek voldoet niet.

De volgende fout is opgetreden:
De berichtsoort is niet bekend.
</f:foutbeschrijving></f:aanleverFault></detail></soapenv:Fault>""".encode()


@dataclass
class Request:
    """What the peer got."""

    octets: bytes
    soap_action: str
    message: SoapMessage

    @property
    def message_id(self) -> str:
        return (self.message.header.findtext(q(WSA, "MessageID")) or "").strip()


BERICHT = Bericht(
    berichtsoort="Omzetbelasting",
    identiteit_belanghebbende=Identiteit("001000044B37", "BTW"),
    bericht_inhoud=Bestand("aangifte.xbrl", "text/xml", BytesPayload(b"<xbrl>1</xbrl>")),
    aanleverkenmerk="mijn-1",
)
Make = Callable[..., Any]


class Blocking:
    """An AsyncDigipoortClient, or what it hands out, as a test calls it: awaited to its end, iterated to a list."""

    def __init__(self, found: Any, loop: asyncio.AbstractEventLoop) -> None:
        self.found, self.loop = found, loop

    def __getattr__(self, name: str) -> Any:
        value = getattr(self.found, name)
        if not inspect.ismethod(value):
            return value
        return lambda *words, **named: self.finished(value(*words, **named))

    def finished(self, result: Any) -> Any:
        if hasattr(result, "__aiter__"):
            return self.loop.run_until_complete(listed(result))
        if inspect.isawaitable(result):
            result = self.loop.run_until_complete(result)
        return Blocking(result, self.loop) if isinstance(result, AsyncSubmission) else result


async def listed(steps: AsyncIterator[Any]) -> list[Any]:
    return [one async for one in steps]


def blocking(client: DigipoortClient | AsyncDigipoortClient) -> Any:
    """Either client with the same calls."""
    return client if isinstance(client, DigipoortClient) else Blocking(client, asyncio.new_event_loop())


Script = Callable[[Request], tuple[int, bytes] | None]
"""HTTP status and body, or None: close the connection without an answer."""


@dataclass
class Peer:
    """The scripted post office."""

    url: str
    requests: list[Request] = field(default_factory=list)
    content_type: str = "text/xml; charset=utf-8"  # Of the next answer that is no SOAP
    scripts: list[Script] = field(default_factory=list)
    """Taken in turn; the last one stays."""


def read(octets: bytes) -> SoapMessage:
    skeleton, large = inhoud.extract(BytesPayload(octets), "0" * 32)
    return xml_guard.parse(skeleton, large)


def start(peer: Peer, identity: Identity, ca: Path) -> ThreadingHTTPServer:
    """Serve on a free port of loopback with mutual TLS."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            octets = self.rfile.read(int(self.headers["Content-Length"]))
            request = Request(octets, self.headers["SOAPAction"], read(octets))
            peer.requests.append(request)
            script = peer.scripts.pop(0) if len(peer.scripts) > 1 else peer.scripts[0]
            answer = script(request)
            if answer is None:
                self.close_connection = True
                return
            self.send_response(answer[0])
            is_soap = b"Envelope" in answer[1]
            self.send_header("Content-Type", "text/xml; charset=utf-8" if is_soap else peer.content_type)
            self.send_header("Content-Length", str(len(answer[1])))
            self.end_headers()
            self.wfile.write(answer[1])

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(ca))
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_cert_chain(identity.tls_cert, identity.tls_key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    peer.url = f"https://localhost:{server.server_port}/wus/2.0/aanleverservice/1.2"
    return server


def receipt(
    signer: Identity,
    *,
    relates_to: str | None = None,
    action: str = BASE + "aanleverenResponse",
    age: timedelta = timedelta(0),
    body: bytes = RESPONSE,
    large: Mapping[str, Payload] | None = None,
    change: Callable[[bytes], bytes] = lambda octets: octets,
) -> Script:
    """A script that answers as the hub does, but for what the test breaks."""

    def answer(request: Request) -> tuple[int, bytes]:
        addressing = Addressing(
            to=WSA_ANONYMOUS, action=action, message_id=fresh_id(), relates_to=relates_to or request.message_id
        )
        sealed = seal(
            body,
            addressing,
            FileSigner.load(signer.signing_cert, signer.signing_key),
            Algorithms(),
            datetime.now(UTC) - age,
            timedelta(minutes=5),
            lambda: "1",
            large,
        )
        return 200, change(b"".join(sealed.payload.open()))

    return answer


def fault(request: Request) -> tuple[int, bytes]:
    """A script that refuses, unsigned."""
    addressing = Addressing(
        to=WSA_ANONYMOUS, action=BASE + "aanleveren/Fault/", message_id=fresh_id(), relates_to=request.message_id
    )
    return 500, unsigned(FAULT, addressing)


def drop(_: Request) -> None:
    """A script that says nothing."""


def connection(pki: Path, name: str, url: str, **changes: object) -> Connection:
    """A business's standing with the peer."""
    identity, trust = test_pki.find_identity(pki, name), test_pki.trust(pki)
    made = Connection(
        dict.fromkeys(("aanleveren", "statusinformatie", "ophalen"), url),
        test_pki.anchors(pki),
        TlsFiles(identity.tls_cert, identity.tls_key),
        FileSigner.load(identity.signing_cert, identity.signing_key),
        lambda: trust,
        HUB_OIN,
    )
    return replace(made, **changes)  # type: ignore[arg-type]


STATUS_BASE = "http://logius.nl/digipoort/wus/2.0/statusinformatieservice/1.2/StatusinformatieService/"
FETCH_BASE = "http://logius.nl/digipoort/wus/2.0/ophaalservice/1.2/OphaalService/"
WHO = "<identiteitBelanghebbende><nummer>001000044B37</nummer><type>BTW</type></identiteitBelanghebbende>"


def told(signer: Identity, *codes: str, fout: str = "") -> Script:
    """A script that tells the statuses of a process, the last one with a foutbeschrijving."""
    fault = f"<statusFoutcode><foutcode>VAS500</foutcode><foutbeschrijving>{fout}</foutbeschrijving></statusFoutcode>"
    rows = "".join(
        f"<StatusResultaat><kenmerk>{KENMERK}</kenmerk>{WHO}<statuscode>{code}</statuscode>"
        f"<tijdstempelStatus>2026-11-24T12:00:{second:02d}Z</tijdstempelStatus>"
        f"<statusomschrijving>tekst {code}</statusomschrijving>{fault if fout and code == codes[-1] else ''}"
        "</StatusResultaat>"
        for second, code in enumerate(codes)
    )
    return rows_of(signer, STATUS_BASE, "getStatussenProces", rows)


def rows_of(
    signer: Identity, base: str, operation: str, rows: str, large: Mapping[str, Payload] | None = None
) -> Script:
    """A script that answers an operation with these rows."""
    name = f"{operation}Response"
    body = f'<{name} xmlns="{KV}"><{operation}Return>{rows}</{operation}Return></{name}>'
    return receipt(signer, body=body.encode(), action=f"{base}{operation}Response", large=large)


def collected(berichtkenmerk: str, inhoud: str) -> str:
    """A BerichtResultaat; inhoud as base64 or as a placeholder."""
    return (
        f"<BerichtResultaat><kenmerk>{KENMERK}</kenmerk><berichtsoort>SBA</berichtsoort>"
        f"<berichtkenmerk>{berichtkenmerk}</berichtkenmerk><eerderAanleverkenmerk>mijn-1</eerderAanleverkenmerk>"
        f"<tijdstempelAangeleverd>2026-11-24T12:00:00Z</tijdstempelAangeleverd>{WHO}"
        "<rolBelanghebbende>Bedrijf</rolBelanghebbende><berichtInhoud><mimeType>text/xml</mimeType>"
        f"<bestandsnaam>aanslag.xml</bestandsnaam><inhoud>{inhoud}</inhoud></berichtInhoud></BerichtResultaat>"
    )
