"""The client against real listeners: what was sent, what came back, and whether the peer may have heard us."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from helpers_transport import Authority

from digipoort_as4 import limits
from digipoort_as4.errors import TransportError
from digipoort_as4.payload import BytesPayload, Payload, Spool, read_all
from digipoort_as4.transport.client import Client, client_context, server_context
from digipoort_as4.transport.http import HttpAnswer, HttpRequest
from digipoort_as4.transport.server import serve

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nja"


@asynccontextmanager
async def raw_peer(answer: bytes | None) -> AsyncIterator[tuple[str, list[bytes]]]:
    """A listener that reads one header and says `answer`, or nothing, for ever."""
    heard: list[bytes] = []

    async def serve_one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            heard.append(await reader.readuntil(b"\r\n\r\n"))
            if answer is None:
                await asyncio.sleep(60)
            writer.write(answer or b"")
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve_one, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/pad", heard
    finally:
        server.close()


async def failure(url: str, **settings: object) -> TransportError:
    async with Client(None, timedelta(seconds=0.5), **settings) as client:  # type: ignore[arg-type]
        with pytest.raises(TransportError) as caught:
            await client.post(url, BytesPayload(b"hallo"), {"content-type": "text/xml"})
    return caught.value


async def test_an_answer_comes_back_whatever_its_status() -> None:
    """500 with a fault is an answer; header names are in lower case."""
    said = b"HTTP/1.1 500 Oei\r\nContent-Length: 5\r\nX-Een: Twee\r\n\r\nfault"
    async with raw_peer(said) as (url, heard), Client(None) as client:
        answer = await client.post(url, BytesPayload(b"hallo"), {"SOAPAction": '"x"'})
    assert (500, "Twee", b"fault") == (answer.status, answer.headers["x-een"], read_all(answer.body))
    assert b'SOAPAction: "x"\r\n' in heard[0]
    assert b"Content-Length: 5\r\n" in heard[0]


async def test_a_redirect_is_not_followed() -> None:
    """The answer is the redirect itself."""
    said = b"HTTP/1.1 307 Daar\r\nLocation: http://127.0.0.1:9/\r\nContent-Length: 0\r\n\r\n"
    async with raw_peer(said) as (url, _), Client(None) as client:
        answer = await client.post(url, BytesPayload(b""), {})
    assert 307 == answer.status


async def test_proxy_variables_are_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    """Calls go straight to the peer (decision 26)."""
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    async with raw_peer(ANSWER) as (url, _), Client(None) as client:
        assert 200 == (await client.post(url, BytesPayload(b""), {})).status


async def test_nobody_listening_means_nothing_was_sent() -> None:
    """Refused connections are safe to retry."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        error = await failure(f"http://127.0.0.1:{held.getsockname()[1]}/")
    assert not error.sent


@pytest.mark.parametrize(
    "answer",
    [None, b"", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nja", b"geen http\r\n\r\n"],
    ids=["silence", "hang-up", "half", "nonsense"],
)
async def test_no_whole_answer_means_the_outcome_was_not_learnt(answer: bytes | None) -> None:
    """The peer may have accepted the request."""
    async with raw_peer(answer) as (url, _):
        error = await failure(url)
    assert error.sent


async def test_an_answer_that_does_not_end_is_cut() -> None:
    """Up to the cap it is read, one octet more is refused."""
    async with raw_peer(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n123456789") as (url, _):
        async with Client(None, max_answer=9) as client:
            assert 9 == (await client.post(url, BytesPayload(b""), {})).body.size
        error = await failure(url, max_answer=8)
    assert error.sent


async def test_a_compressed_answer_is_not_inflated() -> None:
    """Octets come as they are."""
    said = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\nja"
    async with raw_peer(said) as (url, _), Client(None) as client:
        assert b"ja" == read_all((await client.post(url, BytesPayload(b""), {})).body)


class Heard:
    def __init__(self) -> None:
        self.requests: list[tuple[HttpRequest, bytes]] = []

    async def __call__(self, request: HttpRequest) -> HttpAnswer:
        self.requests.append((request, read_all(request.body)))
        return HttpAnswer(200, {}, BytesPayload(b"ja"))


@asynccontextmanager
async def tls_peer(folder: Path, authority: Authority, heard: Heard) -> AsyncIterator[int]:
    context = server_context(authority.issue("server"), authority.bundle)
    server = await serve(heard, context, Spool(folder / "spool"))
    try:
        yield server.port
    finally:
        await server.close(timedelta(seconds=1))


async def post_to(url: str, authority: Authority, shown: Authority, body: Payload) -> HttpAnswer:
    async with Client(client_context(shown.issue("client"), authority.bundle)) as client:
        return await client.post(url, body, {})


async def test_a_spooled_body_is_streamed_with_its_length(tmp_path: Path) -> None:
    """Over mutual TLS, without chunked coding."""
    authority, heard = Authority(tmp_path, "ca"), Heard()
    octets = bytes(range(256)) * 4096 * 3
    body = Spool(tmp_path / "own").write([octets])
    async with tls_peer(tmp_path, authority, heard) as port:
        await post_to(f"https://localhost:{port}/", authority, authority, body)
    request, came = heard.requests[0]
    assert octets == came
    assert str(3 * limits.MIB) == request.headers["content-length"]
    assert "transfer-encoding" not in request.headers


async def test_a_peer_of_another_authority_is_not_told_anything(tmp_path: Path) -> None:
    """The server's certificate must lead to our bundle."""
    authority, heard = Authority(tmp_path, "ca"), Heard()
    (tmp_path / "b").mkdir()
    other = Authority(tmp_path / "b", "other")
    async with tls_peer(tmp_path, authority, heard) as port:
        with pytest.raises(TransportError) as caught:
            await post_to(f"https://localhost:{port}/", other, authority, BytesPayload(b"x"))
    assert not caught.value.sent
    assert [] == heard.requests


async def test_a_peer_under_another_name_is_not_told_anything(tmp_path: Path) -> None:
    """The certificate says localhost, not 127.0.0.1."""
    authority, heard = Authority(tmp_path, "ca"), Heard()
    async with tls_peer(tmp_path, authority, heard) as port:
        assert 200 == (await post_to(f"https://localhost:{port}/", authority, authority, BytesPayload(b"x"))).status
        with pytest.raises(TransportError) as caught:
            await post_to(f"https://127.0.0.1:{port}/", authority, authority, BytesPayload(b"x"))
    assert not caught.value.sent
