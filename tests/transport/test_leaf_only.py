"""A client that sends its own certificate without the CAs above it, as .NET and serverless platforms may."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from digipoort_as4.payload import BytesPayload, Spool
from digipoort_as4.pki import test_pki
from digipoort_as4.pki.keys import TlsFiles
from digipoort_as4.transport.http import HttpAnswer, HttpRequest
from digipoort_as4.transport.server import serve
from digipoort_as4.transport.tls import server_context


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("leaf-pki")
    test_pki.make(folder, datetime.now(UTC), ca_bits=2048)
    return folder


async def echo(request: HttpRequest) -> HttpAnswer:
    return HttpAnswer(200, {}, BytesPayload(request.tls_certificate or b"none"))


def ask(port: int, ca: Path, pem: Path, key: Path) -> bytes:
    context = ssl.create_default_context(cafile=str(ca))
    context.load_cert_chain(pem, key)
    with (
        socket.create_connection(("127.0.0.1", port), timeout=3) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as tls,
    ):
        tls.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        return tls.recv(20)


async def answered(folder: Path, pki: Path, name: str, ca: Path, between: Iterable[Path]) -> bytes:
    one, hub = test_pki.find_identity(pki, name), test_pki.find_identity(pki, "digipoort")
    leaf = folder / "leaf.pem"
    first = one.tls_cert.read_text().partition("-----END CERTIFICATE-----")
    leaf.write_text(first[0] + first[1] + "\n")
    context = server_context(TlsFiles(hub.tls_cert, hub.tls_key), ca, between)
    server = await serve(echo, context, Spool(folder / "spool"))
    try:
        return await asyncio.to_thread(ask, server.port, test_pki.anchors(pki), leaf, one.tls_key)
    finally:
        await server.close()


@pytest.mark.parametrize("name", ["bakkerij-jansen", "installatie-deboer"])
async def test_the_cas_between_complete_its_chain(tmp_path: Path, pki: Path, name: str) -> None:
    """G1 and G4."""
    between = [test_pki.intermediates(pki)]
    assert b"HTTP/1.1 200" == (await answered(tmp_path, pki, name, test_pki.anchors(pki), between))[:12]


async def test_without_them_the_handshake_ends(tmp_path: Path, pki: Path) -> None:
    with pytest.raises(ssl.SSLError, match="ALERT_UNKNOWN_CA"):
        await answered(tmp_path, pki, "bakkerij-jansen", test_pki.anchors(pki), [])


async def test_a_ca_between_is_no_anchor(tmp_path: Path, pki: Path) -> None:
    """Known, but below a root that is not trusted here."""
    other = tmp_path / "other"
    test_pki.make(other, datetime.now(UTC), ca_bits=2048)
    with pytest.raises(ssl.SSLError, match="ALERT_UNKNOWN_CA"):
        await answered(tmp_path, pki, "bakkerij-jansen", test_pki.anchors(other), [test_pki.intermediates(pki)])
