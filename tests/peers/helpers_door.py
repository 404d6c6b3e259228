"""The accepting hub behind a real port with real TLS, and clients that write every octet to it themselves.

The requests come from python-xmlsec and a template (helpers_peer); nothing here asks the package to sign or to send.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import BinaryIO

from helpers_peer import CLIENTS, Shape, request
from helpers_wus import World

from digipoort_as4.payload import BytesPayload
from digipoort_as4.pki import test_pki
from digipoort_as4.pki.certificates import load_pem
from digipoort_as4.transport.http import HttpAnswer

NOW = datetime.now(UTC)  # TLS looks at the machine's clock, so the certificates and messages must too
PATH = "/wus/2.0/aanleverservice/1.2"
STATUS_PATH = "/wus/2.0/statusinformatieservice/1.2"
BASE = "http://logius.nl/digipoort/wus/2.0/"
ACTION = f"{BASE}aanleverservice/1.2/AanleverService/aanleverenRequest"
STATUS_ACTION = f"{BASE}statusinformatieservice/1.2/StatusinformatieService/getStatussenProcesRequest"
KV = "http://logius.nl/digipoort/koppelvlakservices/1.2/"
ROLE = "<rolBelanghebbende>Bedrijf</rolBelanghebbende>"
VAT_RETURN = (
    f'<aanleverRequest xmlns="{KV}"><berichtsoort>Omzetbelasting</berichtsoort>'
    "<aanleverkenmerk>Happyflow</aanleverkenmerk>"
    "<identiteitBelanghebbende><nummer>001000044B37</nummer><type>Fi</type></identiteitBelanghebbende>"
    f"{ROLE}<berichtInhoud><mimeType>text/xml</mimeType><bestandsnaam>Omzetbelasting.xbrl</bestandsnaam>"
    "<inhoud>PHhicmwvPg==</inhoud></berichtInhoud>"
    "<autorisatieAdres>http://geenausp.nl</autorisatieAdres></aanleverRequest>"
)
"""Written by hand after digipoort 1.4; the document is <xbrl/>."""


@dataclass(frozen=True)
class Post:
    """How one client puts its message on the wire."""

    path: str = PATH
    headers: tuple[str, ...] = ("Content-Type: text/xml; charset=utf-8", f'SOAPAction: "{ACTION}"')
    chunks: tuple[int, ...] = ()
    """Sizes of the chunks, the last one repeated; none means Content-Length."""
    expect: bool = False
    """Waits for 100 Continue before it sends the body."""
    version: str = "1.1"
    length: int = 0
    """What Content-Length says instead of the truth."""

    def head(self, body: bytes) -> bytes:
        length = "Transfer-Encoding: chunked" if self.chunks else f"Content-Length: {self.length or len(body)}"
        more = ["Expect: 100-continue"] if self.expect else []
        first = [f"POST {self.path} HTTP/{self.version}", "Host: localhost"]
        return "\r\n".join([*first, *self.headers, length, *more]).encode() + b"\r\n\r\n"

    def body(self, octets: bytes) -> bytes:
        return b"".join(chunked(octets, self.chunks)) if self.chunks else octets


def chunked(octets: bytes, sizes: Sequence[int]) -> Iterable[bytes]:
    """The chunks of RFC 9112 7.1, and the last one."""
    wanted = list(sizes)
    while octets:
        size = wanted.pop(0) if len(wanted) > 1 else wanted[0]
        part, octets = octets[:size], octets[size:]
        yield b"%x\r\n%s\r\n" % (len(part), part)
    yield b"0\r\n\r\n"


@dataclass(frozen=True)
class Line:
    """How one client speaks TLS."""

    tls: tuple[ssl.TLSVersion, ssl.TLSVersion] = (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3)
    alpn: tuple[str, ...] = ()
    name: str | None = "localhost"
    """In SNI; None sends none."""
    trusts: bool = True
    """False looks at no certificate of ours, as WCF with its server validation off."""

    def context(self, pki: Path, who: str) -> ssl.SSLContext:
        """Of Python's own, not the package's."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version, context.maximum_version = self.tls
        context.check_hostname = self.trusts and self.name is not None
        context.verify_mode = ssl.CERT_REQUIRED if self.trusts else ssl.CERT_NONE
        context.load_verify_locations(cafile=str(test_pki.anchors(pki)))
        identity = test_pki.find_identity(pki, who)
        context.load_cert_chain(identity.tls_cert, identity.tls_key)
        if self.alpn:
            context.set_alpn_protocols(list(self.alpn))
        return context


@dataclass
class Said:
    """What came back, octet by octet, and what the handshake agreed on."""

    raw: bytes
    continued: bool = False
    """100 Continue came before the body was sent."""
    alpn: str | None = None
    tls: str | None = None
    answers: list[HttpAnswer] = field(default_factory=list)

    @property
    def answer(self) -> HttpAnswer:
        (one,) = self.answers
        return one


@dataclass
class Door:
    """A running hub, and its visitors."""

    world: World
    pki: Path
    port: int

    def shape(self, client: str, **changes: object) -> Shape:
        """A client's shape with a Timestamp of this moment, written and as long as that client does."""
        shape = CLIENTS[client]
        made = datetime.fromisoformat(shape.created)
        life = datetime.fromisoformat(shape.expires or shape.created) - made
        stamps = {"created": stamp(shape.created, NOW), "expires": stamp(shape.created, NOW + life)}
        return shape.but(**{"message_id": f"urn:uuid:{uuid.uuid4()}", **stamps, **changes})

    def signed(self, shape: Shape, operation: str = VAT_RETURN, who: str = "bakkerij-jansen") -> bytes:
        identity = test_pki.find_identity(self.pki, who)
        der = load_pem(identity.signing_cert.read_bytes())[0].der
        return request(shape, operation.encode(), identity.signing_key.read_bytes(), der)

    async def hears(
        self, *bodies: bytes, post: Post | None = None, line: Line | None = None, who: str = "bakkerij-jansen"
    ) -> Said:
        """The messages one after the other on one connection, the last with Connection: close where it can be."""
        speak = partial(self._speak, bodies, post or Post(), line or Line(), who)
        return await asyncio.to_thread(speak)

    def _speak(self, bodies: Sequence[bytes], post: Post, line: Line, who: str) -> Said:
        with socket.create_connection(("127.0.0.1", self.port), timeout=10) as plain:
            tls = line.context(self.pki, who).wrap_socket(plain, server_hostname=line.name)
            said = Said(b"", alpn=tls.selected_alpn_protocol(), tls=tls.version())
            with tls, tls.makefile("rb") as reader:
                for body in bodies:
                    last = replace(post, headers=(*post.headers, "Connection: close")) if body is bodies[-1] else post
                    tls.sendall(last.head(body))
                    if last.expect:
                        said.continued = reader.peek(21)[:21] == b"HTTP/1.1 100 Continue" and bool(reader.read(25))
                    if said.continued or not last.expect:
                        tls.sendall(last.body(body))
                    said.answers.append(_read(reader, said))
                said.raw += reader.read()
        return said


def _read(reader: BinaryIO, said: Said) -> HttpAnswer:
    """One answer with a Content-Length, as the most old-fashioned client reads it."""
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        line = reader.readline()
        if not line:
            raise ConnectionError(f"the server said only {head!r}")
        head += line
    first, *lines = head.decode().strip().split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    body = reader.read(int(headers["content-length"]))
    said.raw += head + body
    return HttpAnswer(int(first.split()[1]), headers, BytesPayload(body))


def stamp(like: str, at: datetime) -> str:
    """A moment written as another is: with the same number of digits behind the second."""
    return at.strftime("%Y-%m-%dT%H:%M:%S") + like[19:]
