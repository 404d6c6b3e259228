"""Bad input over real sockets and real TLS: each refused with its code, and nothing stored.

tests/wus has the same rows without sockets, and all others; here stand those that the transport or TLS decides.
"""

from __future__ import annotations

import asyncio
import shutil
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import pytest_asyncio
from helpers_wus import Sender, World

from digipoort_as4.gateway import Gateway
from digipoort_as4.journal import Journal
from digipoort_as4.payload import read_all
from digipoort_as4.pki import test_pki
from digipoort_as4.pki.keys import TlsFiles
from digipoort_as4.transport.client import client_context, server_context
from digipoort_as4.transport.guard import Guard
from digipoort_as4.transport.server import serve

NOW = datetime.now(UTC)
PATH = "/wus/2.0/aanleverservice/1.2"
FIXED = "De beveiliging van het bericht kon niet worden vastgesteld."
MOST = 200_000
"""Octets of a body at this server; a VAT return of the tests has about 6,000."""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wire-pki") / "pki"
    test_pki.make(folder, NOW, ca_bits=2048)
    return folder


@dataclass
class Wire:
    """A post office behind a real port, and a client that writes what it likes."""

    world: World
    pki: Path
    port: int

    def context(self, name: str | None) -> ssl.SSLContext:
        if name is None:
            return ssl.create_default_context(cafile=str(test_pki.anchors(self.pki)))
        identity = test_pki.find_identity(self.pki, name)
        return client_context(TlsFiles(identity.tls_cert, identity.tls_key), test_pki.anchors(self.pki))

    async def says(self, octets: bytes, name: str | None = "bakkerij-jansen", *, cut: bool = False) -> bytes:
        """Send raw octets and read to the end; `cut` closes our half first, as a broken line does."""
        return await asyncio.to_thread(self._says, octets, self.context(name), cut)

    def _says(self, octets: bytes, context: ssl.SSLContext, cut: bool) -> bytes:
        with socket.create_connection(("localhost", self.port), timeout=10) as plain:
            tls = context.wrap_socket(plain, server_hostname="localhost")
            tls.sendall(octets)
            if cut:
                plain = tls.unwrap()
            answer = b""
            try:
                while chunk := (plain if cut else tls).recv(65536):
                    answer += chunk
            except OSError:
                return answer
            return answer

    def message(self, name: str = "bakkerij-jansen") -> bytes:
        return read_all(Sender(self.pki, name).aanleveren(at=self.world.clock()).body)


@pytest_asyncio.fixture
async def wire(tmp_path: Path, made: Path) -> AsyncIterator[Wire]:
    pki = Path(shutil.copytree(made, tmp_path / "pki"))
    world = World.open(tmp_path, pki)
    world.clock.at = NOW
    identity = test_pki.find_identity(pki, "digipoort")
    context = server_context(TlsFiles(identity.tls_cert, identity.tls_key), test_pki.anchors(pki))
    journal = Journal(tmp_path / "transport.jsonl")

    async def answer(request):  # type: ignore[no-untyped-def]
        return await Gateway(world.office)(request)  # the office may be swapped by a test

    server = await serve(answer, context, world.office.spool, max_body=MOST, journal=journal, guard=Guard())
    yield Wire(world, pki, server.port)
    await server.close(timedelta(seconds=1))
    await world.close()


def post(body: bytes, *headers: str, length: int | None = None) -> bytes:
    lines = [
        f"POST {PATH} HTTP/1.1",
        "Host: localhost",
        "Connection: close",
        "Content-Type: text/xml; charset=utf-8",
        'SOAPAction: ""',
        *headers,
    ]
    if not any(line.lower().startswith("transfer-encoding") for line in headers):
        lines.append(f"Content-Length: {len(body) if length is None else length}")
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def refused(answer: bytes, status: int, foutcode: str, text: str) -> None:
    assert f"HTTP/1.1 {status} ".encode() == answer[: len("HTTP/1.1 xxx ")], answer[:300]
    assert f"<fault:foutcode>{foutcode}</fault:foutcode>".encode() in answer
    assert text.encode() in answer


async def test_a_good_message_is_accepted(wire: Wire) -> None:
    """The same octets that the other tests break, whole."""
    answer = await wire.says(post(wire.message()))

    assert answer.startswith(b"HTTP/1.1 200 ")
    assert 1 == wire.world.stored()["process"]


def chunked(body: bytes) -> bytes:
    return f"{len(body):x}\r\n".encode() + body + b"\r\n0\r\n\r\n"


BROKEN: dict[str, tuple[Callable[[bytes], bytes], int, str]] = {
    "body too large by Content-Length": (lambda body: post(body, length=MOST + 1), 413, "Het verzoek is te groot."),
    "body too large by count": (
        lambda body: post(chunked(body + b" " * MOST), "Transfer-Encoding: chunked"),
        413,
        "Het verzoek is te groot.",
    ),
    "gzip body": (
        lambda body: post(body, "Content-Encoding: gzip"),
        415,
        "Een gecomprimeerd verzoek wordt niet aangenomen.",
    ),
    "not XML": (lambda body: post(b"dit is geen XML"), 500, "Het verzoek is geen welgevormde XML."),
    "DOCTYPE": (lambda body: post(b"<!DOCTYPE x>" + body.partition(b"?>\n")[2]), 500, "Een DOCTYPE"),
    "one octet of the Body changed": (lambda body: post(body.replace(b"Happyflow", b"Happyflov")), 500, FIXED),
}


@pytest.mark.parametrize("name", BROKEN)
async def test_broken_requests(wire: Wire, name: str) -> None:
    """Each with exactly one thing broken."""
    break_it, status, text = BROKEN[name]

    answer = await wire.says(break_it(wire.message()))

    refused(answer, status, "ALS100", text)
    assert {} == wire.world.stored()


async def test_a_truncated_body(wire: Wire) -> None:
    """A line that breaks half way leaves nothing, whether or not the peer can still read why."""
    body = wire.message()

    await wire.says(post(body[:-100], length=len(body)), cut=True)
    await asyncio.sleep(0.2)

    assert {} == wire.world.stored()


async def test_get(wire: Wire) -> None:
    """Only POST; the answer names it."""
    answer = await wire.says(f"GET {PATH} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())

    refused(answer, 405, "ALS100", "Alleen POST is toegestaan.")
    assert b"\r\nallow: post\r\n" in answer.lower()


async def test_no_client_certificate(wire: Wire) -> None:
    """GET needs none, POST does; the peer hears the fixed text."""
    answer = await wire.says(post(wire.message()), None)

    refused(answer, 500, "ALS100", FIXED)
    assert {} == wire.world.stored()


async def test_a_client_certificate_of_another_root(wire: Wire, tmp_path: Path) -> None:
    """TLS speaks for itself: an alert, no HTTP."""
    test_pki.issue(wire.pki, "vreemd", "00000099000000104000", "g1", "business", NOW, untrusted=True, tls=True)

    with pytest.raises(ssl.SSLError):
        answer = await wire.says(post(wire.message()), "vreemd")
        if not answer:
            raise ssl.SSLError("the server closed without a word of HTTP")
    assert {} == wire.world.stored()


async def test_a_revoked_client_certificate(wire: Wire) -> None:
    """The handshake knows nothing of revocation; the post office does."""
    message = wire.message()
    test_pki.revoke(wire.pki, "bakkerij-jansen", NOW)
    wire.world.with_trust()

    answer = await wire.says(post(message))

    refused(answer, 500, "ALS100", FIXED)
    assert {} == wire.world.stored()
    assert "tls-certificate" == wire.world.journal()[-1]["cause"]
