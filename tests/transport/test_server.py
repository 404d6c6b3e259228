"""The listener over real sockets: whole requests in, one answer out, and a guard against the slow and the many."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import json
import socket
import ssl
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from ipaddress import ip_network
from pathlib import Path

import pytest
from helpers_transport import Authority, Files

from digipoort_as4 import limits
from digipoort_as4.journal import Journal
from digipoort_as4.payload import BytesPayload, FilePayload, Spool, read_all
from digipoort_as4.transport.client import client_context, server_context
from digipoort_as4.transport.guard import Guard
from digipoort_as4.transport.http import HttpAnswer, HttpRequest
from digipoort_as4.transport.server import Server, serve

QUICK = Guard(
    header=timedelta(seconds=0.4),
    grace=timedelta(seconds=0.4),
    keepalive=timedelta(seconds=0.6),
    answer_stall=timedelta(seconds=0.5),
    linger=timedelta(seconds=0.3),
    connections=5,
    per_certificate=3,
)


class Echo:
    """Keeps what it heard and answers with the body's size; large answers on /big."""

    def __init__(self) -> None:
        self.heard: list[HttpRequest] = []
        self.bodies: list[bytes] = []
        self.spooled: list[bool] = []

    async def __call__(self, request: HttpRequest) -> HttpAnswer:
        self.heard.append(request)
        self.bodies.append(read_all(request.body))
        self.spooled.append(isinstance(request.body, FilePayload))
        if request.path == "/broken":
            raise RuntimeError("on purpose")
        size = 64 * limits.MIB if request.path == "/big" else 0
        answer = bytes(size) or str(request.body.size).encode()
        status = 500 if request.trouble else 200
        return HttpAnswer(status, {"content-type": "text/plain"}, BytesPayload(answer))


@asynccontextmanager
async def running(
    folder: Path,
    echo: Echo,
    context: ssl.SSLContext | None = None,
    max_body: int = 4 * limits.MIB,
    guard: Guard = QUICK,
) -> AsyncIterator[Server]:
    spool = Spool(folder / "spool")
    journal = Journal(folder / "journal.jsonl")
    server = await serve(echo, context, spool, max_body=max_body, journal=journal, guard=guard)
    try:
        yield server
    finally:
        await server.close(timedelta(seconds=1))
        journal.close()


async def talk(server: Server, octets: bytes, *, wait: float = 3.0) -> bytes:
    """Send octets on a fresh connection and read until the server closes it."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(octets)
    with contextlib.suppress(ConnectionError):
        await writer.drain()
    try:
        return await asyncio.wait_for(reader.read(), wait)
    finally:
        writer.close()


def post(body: bytes, *more: str, path: str = "/wus?wsdl") -> bytes:
    head = [f"POST {path} HTTP/1.1", "Host: localhost", f"Content-Length: {len(body)}", "SOAPAction: x", *more]
    return "\r\n".join(head).encode() + b"\r\n\r\n" + body


def causes(folder: Path) -> list[str]:
    lines = (folder / "journal.jsonl").read_text().splitlines()
    return [json.loads(line).get("cause", "") for line in lines]


@pytest.mark.parametrize(
    ("proxies", "expected"),
    [(["127.0.0.0/8"], "https://post.example"), (["192.0.2.1"], "http://localhost"), ([], "http://localhost")],
)
async def test_a_request_says_how_it_was_reached(proxies: list[str], expected: str, tmp_path: Path) -> None:
    """A proxy counts by the address of its connection; Host is the rest (the rules are in test_forwarded.py)."""
    echo = Echo()
    forged, said = (
        "Forwarded: host=evil.example;proto=https",
        "Forwarded: for=198.51.100.7;host=post.example;proto=https",
    )
    guard = Guard(proxies=tuple(ip_network(one) for one in proxies))
    async with running(tmp_path, echo, guard=guard) as server:
        await talk(server, post(b"", "Connection: close", forged, said))
    assert expected == echo.heard[0].origin


async def test_a_request_arrives_whole(tmp_path: Path) -> None:
    """Method, path, query, lower-case headers and body reach the handler; the answer goes back."""
    echo = Echo()
    async with running(tmp_path, echo) as server:
        answer = await talk(server, post(b"hallo", "Connection: close"))
    assert answer.startswith(b"HTTP/1.1 200")
    assert answer.endswith(b"\r\n\r\n5")
    request = echo.heard[0]
    assert ("POST", "/wus", "wsdl", "x") == (request.method, request.path, request.query, request.headers["soapaction"])
    assert [b"hallo"] == echo.bodies
    assert "" == request.trouble
    assert request.tls_certificate is None


async def test_the_server_header_names_no_versions(tmp_path: Path) -> None:
    """Strangers learn neither Python's nor aiohttp's version."""
    async with running(tmp_path, Echo()) as server:
        answer = await talk(server, post(b"", "Connection: close"))
    assert b"Server: digipoort-as4\r\n" in answer
    assert b"aiohttp" not in answer


@pytest.mark.parametrize("chunked", [False, True])
async def test_a_large_body_is_spooled_and_the_spool_is_empty_afterwards(tmp_path: Path, chunked: bool) -> None:
    """Above limits.INLINE_BODY the body is a file, which goes with the answer."""
    body = bytes(range(256)) * 4096 * 2
    octets = post(body, "Connection: close")
    if chunked:
        octets = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
        octets += f"{len(body):x}\r\n".encode() + body + b"\r\n0\r\n\r\n"
    echo = Echo()
    async with running(tmp_path, echo) as server:
        await talk(server, octets)
    assert [body] == echo.bodies
    assert [True] == echo.spooled
    assert [] == list((tmp_path / "spool").iterdir())


async def test_a_body_of_just_the_limit_passes_and_one_octet_more_is_too_large(tmp_path: Path) -> None:
    """The cap holds by Content-Length."""
    echo = Echo()
    async with running(tmp_path, echo, max_body=1000) as server:
        await talk(server, post(bytes(1000), "Connection: close"))
        answer = await talk(server, post(bytes(1001)))
    assert ["", "body-too-large"] == [request.trouble for request in echo.heard]
    assert answer.startswith(b"HTTP/1.1 500")
    assert b"Connection: close" in answer


async def test_a_chunked_body_is_counted(tmp_path: Path) -> None:
    """The cap holds without a Content-Length, too, and the spool is cleared."""
    chunk = f"{limits.MIB:x}\r\n".encode() + bytes(limits.MIB) + b"\r\n"
    echo = Echo()
    async with running(tmp_path, echo, max_body=2 * limits.MIB) as server:
        head = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
        await talk(server, head + chunk * 3 + b"0\r\n\r\n")
    assert ["body-too-large"] == [request.trouble for request in echo.heard]
    assert [] == list((tmp_path / "spool").iterdir())


async def test_a_compressed_body_is_not_inflated(tmp_path: Path) -> None:
    """Content-Encoding is trouble; identity is none."""
    echo = Echo()
    async with running(tmp_path, echo) as server:
        await talk(server, post(gzip.compress(b"hallo"), "Content-Encoding: gzip"))
        await talk(server, post(b"hallo", "Content-Encoding: identity", "Connection: close"))
    assert ["content-encoding", ""] == [request.trouble for request in echo.heard]
    assert [b"", b"hallo"] == echo.bodies


async def test_a_client_that_asks_first_is_told_to_continue(tmp_path: Path) -> None:
    """Expect: 100-continue gets the interim answer; with a body too large it gets the final one at once."""
    async with running(tmp_path, Echo(), max_body=10) as server:
        answer = await talk(server, post(b"hallo", "Expect: 100-continue", "Connection: close"))
        refusal = await talk(server, post(b"hallo", "Expect: 100-continue").replace(b": 5", b": 11"), wait=8)
    assert answer.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200")
    assert refusal.startswith(b"HTTP/1.1 500")


async def test_a_body_that_stops_is_truncated(tmp_path: Path) -> None:
    """Fewer octets than promised end in an answer that says so, after the grace time."""
    echo = Echo()
    async with running(tmp_path, echo) as server:
        answer = await talk(server, post(b"hallo").replace(b": 5", b": 500"), wait=8)
    assert answer.startswith(b"HTTP/1.1 500")
    assert ["body-truncated"] == [request.trouble for request in echo.heard]


async def test_a_body_that_drips_is_closed_by_its_rate(tmp_path: Path) -> None:
    """An octet now and then does not keep a connection (M02)."""
    echo = Echo()
    async with running(tmp_path, echo) as server:
        _, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(post(b"").replace(b": 0", b": 1000"))
        start = time.monotonic()
        while not echo.heard and time.monotonic() - start < 3:
            writer.write(b"x")
            await asyncio.sleep(0.1)
        writer.close()
    assert ["body-truncated"] == [request.trouble for request in echo.heard]
    assert 0.3 < time.monotonic() - start < 2


@pytest.mark.parametrize("octets", [b"", b"POST / HT", b"POST / HTTP/1.1\r\nHost: localhost\r\n"])
async def test_a_header_that_does_not_end_is_closed(tmp_path: Path, octets: bytes) -> None:
    """No octet, half a line, half a header: closed after the header's time (M01)."""
    start = time.monotonic()
    async with running(tmp_path, Echo()) as server:
        answer = await talk(server, octets)
        took = time.monotonic() - start
    assert b"" == answer
    assert 0.3 < took < 1.5
    assert ["slow-header"] == causes(tmp_path)


async def test_a_header_that_drips_is_closed(tmp_path: Path) -> None:
    """Each further header line does not buy more time."""
    async with running(tmp_path, Echo()) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(b"POST / HTTP/1.1\r\n")
        start = time.monotonic()
        while not reader.at_eof() and time.monotonic() - start < 3:
            with contextlib.suppress(ConnectionError):
                writer.write(b"X-A: b\r\n")
            await asyncio.sleep(0.1)
            with contextlib.suppress(asyncio.TimeoutError, ConnectionError):
                await asyncio.wait_for(reader.read(1), 0.01)
            if writer.is_closing() or causes(tmp_path):
                break
        writer.close()
    assert ["slow-header"] == causes(tmp_path)


async def test_a_second_header_that_does_not_end_is_closed(tmp_path: Path) -> None:
    """The header's clock runs on a kept-alive connection, too."""
    async with running(tmp_path, Echo()) as server:
        await talk(server, post(b"hallo") + b"POST / HTTP/1.1\r\n")
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(post(b"hallo"))
        await reader.readuntil(b"\r\n\r\n5")
        writer.write(b"POST / HTTP/1.1\r\n")
        assert b"" == await asyncio.wait_for(reader.read(), 2)
        writer.close()
    assert "slow-header" in causes(tmp_path)


async def test_an_idle_connection_is_closed(tmp_path: Path) -> None:
    """Keep-alive ends; two requests before that share the connection."""
    echo = Echo()
    async with running(tmp_path, echo) as server:
        answer = await talk(server, post(b"hallo") + post(b"daar!!"))
    assert 2 == answer.count(b"HTTP/1.1 200")
    assert [b"hallo", b"daar!!"] == echo.bodies


async def test_a_reader_that_stands_still_is_cut_off(tmp_path: Path) -> None:
    """A peer that takes nothing of our answer loses its connection (M03)."""
    async with running(tmp_path, Echo()) as server:
        with socket.create_connection(("127.0.0.1", server.port)) as peer:
            peer.sendall(post(b"", path="/big"))
            for _ in range(40):
                await asyncio.sleep(0.1)
                if causes(tmp_path):
                    break
    assert ["slow-reader"] == causes(tmp_path)


async def test_a_reader_that_keeps_up_gets_a_large_answer(tmp_path: Path) -> None:
    """The same answer, taken at once, arrives whole; on a busy machine "at once" has its pauses."""
    patient = replace(QUICK, answer_stall=timedelta(seconds=30))
    async with running(tmp_path, Echo(), guard=patient) as server:
        answer = await talk(server, post(b"", "Connection: close", path="/big"), wait=60)
    assert 64 * limits.MIB == len(answer.partition(b"\r\n\r\n")[2])


async def test_the_longest_idle_makes_room(tmp_path: Path) -> None:
    """Above the cap a newcomer is served and the connection idle longest goes."""
    async with running(tmp_path, Echo()) as server:
        idle = []
        for _ in range(QUICK.connections):
            idle.append(await asyncio.open_connection("127.0.0.1", server.port))
            await asyncio.sleep(0.01)
        answer = await talk(server, post(b"hallo", "Connection: close"))
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await asyncio.wait_for(idle[0][0].readexactly(1), 0.2)
        for _, writer in idle:
            writer.close()
    assert answer.startswith(b"HTTP/1.1 200")
    assert "too-many-connections" in causes(tmp_path)


@pytest.mark.parametrize(
    "octets",
    [
        b"\x16\x03\x01\x02\x00\x01\x00",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhallo",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 9000 + b"\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\n" + b"X: a\r\n" * 300 + b"\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    ],
    ids=["tls", "two-lengths", "length-and-chunked", "long-header", "many-headers", "bad-chunk"],
)
async def test_what_is_no_http_gets_400_and_nothing_of_itself_back(tmp_path: Path, octets: bytes) -> None:
    """Smuggling and floods are one 4xx; the connection closes (M05, M06)."""
    echo = Echo()
    async with running(tmp_path, echo) as server:
        answer = await talk(server, octets)
    assert b"HTTP/1.1 200" not in answer
    assert answer.split(b" ")[1:2] in ([b"400"], [b"500"])
    assert [] == [request for request in echo.heard if not request.trouble]
    assert b"Host" not in answer


async def test_a_broken_handler_costs_one_answer(tmp_path: Path) -> None:
    """The peer gets a journal number and no word of the exception; the next request is served."""
    async with running(tmp_path, Echo()) as server:
        answer = await talk(server, post(b"", path="/broken") + post(b"hallo", "Connection: close"))
    line = json.loads((tmp_path / "journal.jsonl").read_text().splitlines()[0])
    assert answer.startswith(b"HTTP/1.1 500")
    assert line["number"].encode() in answer
    assert b"purpose" not in answer
    assert "RuntimeError: on purpose" == line["detail"]
    assert 1 == answer.count(b"HTTP/1.1 200")


# --- TLS ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"), "ca")


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Files:
    return Authority(tmp_path_factory.mktemp("other"), "other").issue("stranger")


async def over_tls(server: Server, context: ssl.SSLContext) -> bytes:
    reader, writer = await asyncio.open_connection("localhost", server.port, ssl=context)
    writer.write(post(b"hallo", "Connection: close"))
    try:
        return await asyncio.wait_for(reader.read(), 3)
    finally:
        writer.close()


async def test_the_peers_certificate_reaches_the_handler(tmp_path: Path, authority: Authority) -> None:
    """DER, as the CA issued it; also when the TLS session is resumed."""
    echo, client = Echo(), authority.issue("client")
    async with running(tmp_path, echo, server_context(authority.issue("server"), authority.bundle)) as server:
        context = client_context(client, authority.bundle)
        await over_tls(server, context)
        await over_tls(server, context)
    assert [client.der, client.der] == [request.tls_certificate for request in echo.heard]


async def test_a_peer_without_a_certificate_is_heard(tmp_path: Path, authority: Authority) -> None:
    """GET needs none; the service sees None and decides."""
    echo = Echo()
    async with running(tmp_path, echo, server_context(authority.issue("server"), authority.bundle)) as server:
        context = ssl.create_default_context(cafile=str(authority.bundle))
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT
        await over_tls(server, context)
    assert [None] == [request.tls_certificate for request in echo.heard]


async def test_a_tls_peer_that_leaves_is_counted_out(tmp_path: Path, authority: Authority) -> None:
    """However it leaves, also when the server closes: nothing breaks in the event loop, and the cap has room again."""
    broken: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: broken.append(context))
    echo, context = Echo(), client_context(authority.issue("client"), authority.bundle)
    async with running(tmp_path, echo, server_context(authority.issue("server"), authority.bundle)) as server:
        for _ in range(2 * QUICK.per_certificate):
            plain = socket.create_connection(("127.0.0.1", server.port), timeout=3)
            tls = await asyncio.to_thread(context.wrap_socket, plain, server_hostname="localhost")
            await asyncio.to_thread(tls.sendall, post(b"hallo"))
            assert (await asyncio.to_thread(tls.recv, 100)).startswith(b"HTTP/1.1 200")
            await asyncio.to_thread(tls.close)
            await asyncio.sleep(0.05)
        plain = socket.create_connection(("127.0.0.1", server.port), timeout=3)
        tls = await asyncio.to_thread(context.wrap_socket, plain, server_hostname="localhost")
        await asyncio.sleep(0.05)
        (connection,) = server._door.connections
        for _ in range(2):  # asyncio's transport forgets its TLS object at the second
            connection.transport.close()
        await asyncio.to_thread(tls.close)
        await asyncio.sleep(0.05)
    assert [] == broken


async def test_an_untrusted_certificate_ends_in_the_handshake(
    tmp_path: Path, authority: Authority, stranger: Files
) -> None:
    """The TLS layer speaks for itself: an alert, and no request is heard."""
    echo = Echo()
    async with running(tmp_path, echo, server_context(authority.issue("server"), authority.bundle)) as server:
        shown = client_context(stranger, authority.bundle)
        with pytest.raises(ssl.SSLError, match="ALERT_UNKNOWN_CA"):
            await asyncio.to_thread(blocking_tls, server.port, shown)
    assert [] == echo.heard
    assert ["CERTIFICATE_VERIFY_FAILED"] == causes(tmp_path)


def blocking_tls(port: int, context: ssl.SSLContext) -> bytes:
    """As any client does it: in TLS 1.3 the refusal of a client certificate arrives with the first read."""
    with (
        socket.create_connection(("127.0.0.1", port), timeout=3) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as tls,
    ):
        tls.sendall(post(b"hallo", "Connection: close"))
        return tls.recv(100)


async def test_tls_1_1_is_refused(tmp_path: Path, authority: Authority) -> None:
    """1.2 is the lowest."""
    async with running(tmp_path, Echo(), server_context(authority.issue("server"), authority.bundle)) as server:
        context = client_context(authority.issue("client"), authority.bundle)
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_2
        assert (await over_tls(server, context)).startswith(b"HTTP/1.1 200")
        old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        old.check_hostname, old.verify_mode = False, ssl.CERT_NONE
        with pytest.warns(DeprecationWarning):
            old.minimum_version = ssl.TLSVersion.TLSv1
            old.maximum_version = ssl.TLSVersion.TLSv1_1
        old.set_ciphers("ALL:@SECLEVEL=0")
        with pytest.raises((ssl.SSLError, ConnectionError)):
            await over_tls(server, old)


async def test_a_handshake_that_stalls_is_closed(tmp_path: Path, authority: Authority) -> None:
    """A connection that never speaks TLS falls within the header's time (M04)."""
    start = time.monotonic()
    async with running(tmp_path, Echo(), server_context(authority.issue("server"), authority.bundle)) as server:
        await talk(server, b"\x16\x03\x01")
        took = time.monotonic() - start
    assert 0.3 < took < 1.5


async def test_one_certificate_has_a_cap_of_its_own(tmp_path: Path, authority: Authority) -> None:
    """A party that opens too many connections loses the newest, not somebody else's."""
    async with running(tmp_path, Echo(), server_context(authority.issue("server"), authority.bundle)) as server:
        greedy = client_context(authority.issue("greedy"), authority.bundle)
        held = [
            await asyncio.open_connection("localhost", server.port, ssl=greedy) for _ in range(QUICK.per_certificate)
        ]
        await asyncio.sleep(0.05)
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            assert b"" == await over_tls(server, greedy)
        other = await over_tls(server, client_context(authority.issue("other"), authority.bundle))
        for _, writer in held:
            writer.close()
    assert other.startswith(b"HTTP/1.1 200")
    assert "too-many-connections" in causes(tmp_path)


async def test_a_megabyte_in_chunks_of_one_octet_is_cheap(tmp_path: Path) -> None:
    """Many tiny chunks cost less than a second of CPU (M09)."""
    echo = Echo()
    head = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
    octets = head + b"1\r\nx\r\n" * 2**20 + b"0\r\n\r\n"
    async with running(tmp_path, echo) as server:
        start = time.process_time()
        await talk(server, octets, wait=20)
        took = time.process_time() - start
    assert [b"x" * 2**20] == echo.bodies
    assert took < 3  # linear: half a second where measured; quadratic would take minutes


async def test_a_connection_ends_after_its_longest_time(tmp_path: Path, authority: Authority) -> None:
    """WT007 and WT008: several messages on one TLS connection, then one whose answer is the last and says so."""
    brief = replace(QUICK, session=timedelta(seconds=0.5), keepalive=timedelta(seconds=30))
    context = server_context(authority.issue("server"), authority.bundle)
    async with running(tmp_path, Echo(), context, guard=brief) as server:
        shown = client_context(authority.issue("client"), authority.bundle)
        reader, writer = await asyncio.open_connection("localhost", server.port, ssl=shown)
        for _ in range(2):
            writer.write(post(b"hallo"))
            assert b"close" not in await asyncio.wait_for(reader.readuntil(b"\r\n\r\n5"), 3)
        await asyncio.sleep(0.6)
        writer.write(post(b"hallo"))
        last = await asyncio.wait_for(reader.read(), 3)
        writer.close()
    assert last.startswith(b"HTTP/1.1 200")
    assert b"Connection: close" in last
