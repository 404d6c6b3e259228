"""DK-SEC and the NCSC guidelines for TLS at our listener: versions and ciphers, asked by OpenSSL's own client."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import socket
import ssl
import subprocess
from pathlib import Path

import pytest
from helpers_transport import Authority
from test_server import Echo, over_tls, running

from digipoort_as4.transport.client import client_context, server_context

GOOD = ("ECDHE-ECDSA-AES256-GCM-SHA384", "ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-ECDSA-CHACHA20-POLY1305")
BAD = ("AES256-GCM-SHA384", "ECDHE-ECDSA-AES256-SHA384", "ECDHE-ECDSA-AES256-SHA", "DHE-RSA-AES256-GCM-SHA384")
"""digipoort 6.7: "goed" is ECDHE with AES-GCM or CHACHA20; the policy of the WSDLs still names the others."""


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"), "ca")


def old_suite(cipher: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(f"{cipher}:@SECLEVEL=0")
    return context


async def test_only_suites_with_forward_secrecy_and_aead(tmp_path: Path, authority: Authority) -> None:
    """TLSCIPH001: TLS 1.2 with a good suite; the same with any other ends in the handshake."""
    async with running(tmp_path, Echo(), server_context(authority.issue("server"), authority.bundle)) as server:
        for cipher in GOOD:
            assert (await over_tls(server, old_suite(cipher))).startswith(b"HTTP/1.1 200")
        for cipher in BAD:
            with pytest.raises((ssl.SSLError, ConnectionError)):
                await over_tls(server, old_suite(cipher))


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_tls_1_2_and_1_3_are_spoken(tmp_path: Path, authority: Authority, version: ssl.TLSVersion) -> None:
    """TLS004: 1.2 is a must, 1.3 recommended."""
    async with running(tmp_path, Echo(), server_context(authority.issue("server"), authority.bundle)) as server:
        context = client_context(authority.issue("client"), authority.bundle)
        context.minimum_version = context.maximum_version = version
        assert (await over_tls(server, context)).startswith(b"HTTP/1.1 200")


def hello(version: str) -> bytes:
    """A ClientHello by hand (RFC 5246 7.4.1.2): version, 32 octets, no session, suites, no compression, extensions."""
    suites = "c02bc02f002f000a"  # ECDHE with AES-128-GCM, and two of the time of SSL 3
    extensions = "000a000400020017" + "000d000400020403"  # secp256r1; ECDSA with SHA-256
    body = version + "00" * 32 + "00" + f"{len(suites) // 2:04x}{suites}0100{len(extensions) // 2:04x}{extensions}"
    handshake = f"01{len(body) // 2:06x}{body}"
    return bytes.fromhex(f"16{version}{len(handshake) // 2:04x}{handshake}")


async def test_ssl_3_is_answered_with_an_alert(tmp_path: Path, authority: Authority) -> None:
    """TLS003: no way back to SSL 3; the same ClientHello that says TLS 1.2 gets a ServerHello."""
    async with running(tmp_path, Echo(), server_context(authority.issue("server"), authority.bundle)) as server:
        old = await asyncio.to_thread(say, server.port, hello("0300"))
        new = await asyncio.to_thread(say, server.port, hello("0303"))
    assert (b"\x15", b"\x16") == (old[:1], new[:1])


def say(port: int, octets: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", port), timeout=3) as peer, contextlib.suppress(ConnectionError):
        peer.sendall(octets)
        return peer.recv(100)
    return b""


def test_contexts_have_no_compression_and_no_renegotiation(authority: Authority) -> None:
    """TLS006, the NCSC guidelines: neither; both ends at least 1.2."""
    for make in (server_context, client_context):
        context = make(authority.issue("one"), authority.bundle)
        assert ssl.TLSVersion.TLSv1_2 == context.minimum_version
        assert context.options & ssl.OP_NO_COMPRESSION
        assert context.options & ssl.OP_NO_RENEGOTIATION


@pytest.mark.skipif(not shutil.which("openssl"), reason="openssl is not here")
async def test_openssl_finds_no_renegotiation_and_no_compression(tmp_path: Path, authority: Authority) -> None:
    """As openssl s_client tells it; R asks to renegotiate and is refused."""
    client = authority.issue("client")
    async with running(tmp_path, Echo(), server_context(authority.issue("server"), authority.bundle)) as server:
        command = ["openssl", "s_client", "-connect", f"127.0.0.1:{server.port}", "-tls1_2"]
        command += ["-cert", str(client.certificate), "-key", str(client.key)]
        done = await asyncio.to_thread(
            subprocess.run, command, input=b"R\n", capture_output=True, timeout=20, check=False
        )
    assert b"Compression: NONE" in done.stdout
    assert b"RENEGOTIATING" in done.stdout + done.stderr
    assert b"no renegotiation" in done.stderr.lower()
