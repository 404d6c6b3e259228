"""Listens for HTTP: whole requests in, one answer each out, over TLS or plain. Knows no service above HTTP.

A body up to limits.INLINE_BODY stays in memory; a larger one lies in a spool file until the answer has left."""

import asyncio
import logging
import ssl
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any, BinaryIO, Final, cast

from aiohttp import HttpVersion10, HttpVersion11, web

from digipoort_as4 import limits
from digipoort_as4.journal import Journal
from digipoort_as4.payload import BytesPayload, FilePayload, Payload, Spool
from digipoort_as4.transport import forwarded
from digipoort_as4.transport.guard import SERVER, Door, Guard, GuardedConnection, paced, peer_certificate, speaking_tls
from digipoort_as4.transport.http import HttpAnswer, HttpRequest, stream

Handler = Callable[[HttpRequest], Awaitable[HttpAnswer]]

NOTHING: Final = BytesPayload(b"")
TLS_SHUTDOWN: Final = 5.0  # seconds for a peer to say goodbye in TLS
BACKLOG: Final = 1024  # connections that may wait to be accepted; asyncio's 100 is short for a busy morning


class Server:
    """A listener and its connections; made by `serve`."""

    def __init__(self, listener: asyncio.Server, door: Door) -> None:
        self._listener, self._door = listener, door
        self.port: int = listener.sockets[0].getsockname()[1]

    async def close(self, grace: timedelta = limits.CALL) -> None:
        """Accept nobody more, let requests in work take `grace` to finish, close."""
        self._listener.close()
        self._door.pre_shutdown()
        await self._door.shutdown(grace.total_seconds())


async def serve(
    handler: Handler,  # gets each request with its whole body; what it returns is the answer
    context: ssl.SSLContext | None,  # of `tls.server_context`; None: plain HTTP, for tests and behind a local proxy
    spool: Spool,  # where large bodies lie
    host: str = "127.0.0.1",
    port: int = 0,  # 0 lets the system choose
    max_body: int = limits.WUS_BODY,  # octets; above it the handler hears `body-too-large`
    *,
    journal: Journal | None = None,  # hears of dropped connections and broken handlers
    guard: Guard | None = None,
) -> Server:
    """Start to listen; the server knows its port. Raises OSError: the address cannot be bound."""
    guard, journal = guard or Guard(), journal or Journal(None)
    door = Door(_Desk(handler, spool, max_body, guard, journal).handle, guard, journal)
    tls: dict[str, Any] = {}
    if context is not None:
        context.sslobject_class = speaking_tls(journal)
        tls = {"ssl_handshake_timeout": guard.header.total_seconds(), "ssl_shutdown_timeout": TLS_SHUTDOWN}
    loop = asyncio.get_running_loop()
    return Server(await loop.create_server(door, host, port, ssl=context, backlog=BACKLOG, **tls), door)


class _Desk:
    """Turns aiohttp's requests into ours and our answers into aiohttp's."""

    def __init__(self, handler: Handler, spool: Spool, max_body: int, guard: Guard, journal: Journal) -> None:
        self._handler, self._spool, self._max_body = handler, spool, max_body
        self._guard, self._journal = guard, journal

    async def handle(self, incoming: web.BaseRequest) -> web.StreamResponse:
        """One request, one answer."""
        if incoming.version not in (HttpVersion10, HttpVersion11):
            refusal = web.Response(status=505, text="HTTP/1.1, a.u.b.\n", headers={"Server": SERVER})
            refusal.force_close()
            return refusal
        body, trouble = await self._read(incoming)
        try:
            answer = await self._ask(self._request(incoming, body, trouble))
            last = bool(trouble) or cast(GuardedConnection, incoming.protocol).overdue
            response = await _respond(incoming, answer, last)
        finally:
            if isinstance(body, FilePayload):  # the system takes a tenth of a second to forget a hundred megabytes
                await asyncio.to_thread(Spool.discard, body)
        if last:
            response.force_close()
        return response

    def _request(self, incoming: web.BaseRequest, body: Payload, trouble: str) -> HttpRequest:
        headers, reached = incoming.headers, (incoming.scheme, incoming.remote or "")
        asked = (incoming.method, incoming.path, incoming.rel_url.raw_query_string, headers)
        origin = forwarded.origin(*reached, lambda name: headers.getall(name, []), self._guard.proxies)
        return HttpRequest(*asked, body, peer_certificate(incoming.transport), origin, trouble)

    async def _ask(self, request: HttpRequest) -> HttpAnswer:
        # The server's outermost loop: whatever breaks in a handler costs one answer, not the process.
        try:
            return await self._handler(request)
        except Exception as error:
            detail = f"{type(error).__name__}: {error}"
            number = self._journal.write("handler-broken", level=logging.ERROR, path=request.path, detail=detail)
            logging.getLogger("digipoort").debug("handler broken, journal number %s", number, exc_info=error)
            text = f"Er is iets misgegaan; journaalnummer {number}.\n".encode()
            return HttpAnswer(500, {"content-type": "text/plain; charset=utf-8"}, BytesPayload(text))

    async def _read(self, incoming: web.BaseRequest) -> tuple[Payload, str]:
        if incoming.headers.get("Content-Encoding", "identity").lower() != "identity":
            return NOTHING, "content-encoding"
        if (incoming.content_length or 0) > self._max_body:
            return NOTHING, "body-too-large"
        if incoming.headers.get("Expect", "").lower() == "100-continue":
            await incoming.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            incoming.writer.output_size = 0
        body = _Body(self._spool)
        try:
            async for chunk in paced(incoming.content, self._guard):
                if body.size + len(chunk) > self._max_body:
                    return NOTHING, "body-too-large"
                await body.add(chunk)
            return await body.whole(), ""
        except (TimeoutError, ConnectionError, web.RequestPayloadError):
            return NOTHING, "body-truncated"
        except OSError as error:
            self._journal.write("spool-failed", level=logging.ERROR, detail=str(error))
            return NOTHING, "unavailable"
        finally:
            body.discard()


class _Body:
    """Octets on their way in: in memory while few, else in a spool file written by a thread."""

    def __init__(self, spool: Spool) -> None:
        self._waiting, self._spool = bytearray(), spool
        self._file: BinaryIO | None = None
        self.size = 0

    async def add(self, chunk: bytes) -> None:
        self._waiting += chunk
        self.size += len(chunk)
        if len(self._waiting) > limits.INLINE_BODY:
            await asyncio.to_thread(self._write)

    async def whole(self) -> Payload:
        if (file := self._file) is None:
            return BytesPayload(bytes(self._waiting))
        await asyncio.to_thread(self._write, last=True)
        return FilePayload(Path(file.name), 0, self.size)

    def discard(self) -> None:
        """Remove what did not become whole."""
        if self._file is not None:
            self._file.close()
            Path(self._file.name).unlink(missing_ok=True)

    def _write(self, last: bool = False) -> None:
        self._file = file = self._file or self._spool.fresh().open("xb")
        file.write(self._waiting)
        self._waiting.clear()
        if last:
            file.close()
            self._file = None


async def _respond(incoming: web.BaseRequest, answer: HttpAnswer, last: bool) -> web.StreamResponse:
    headers = {"Server": SERVER, **answer.headers, **({"Connection": "close"} if last else {})}
    if isinstance(answer.body, BytesPayload):
        return web.Response(status=answer.status, headers=headers, body=answer.body.octets)
    response = web.StreamResponse(status=answer.status, headers=headers)
    response.content_length = answer.body.size
    await response.prepare(incoming)
    async for chunk in stream(answer.body):
        await response.write(chunk)
    await response.write_eof()
    return response
