"""A guard at the door of aiohttp's server: the time-outs, minimum rates and caps that it lacks (threats M01-M05).

Reads no body and knows no service; `server` does the first and hands requests to the second."""

from __future__ import annotations

import asyncio
import ssl
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Final, cast

from aiohttp import StreamReader, web

from digipoort_as4 import limits
from digipoort_as4.journal import Journal
from digipoort_as4.transport.forwarded import Network

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]
SERVER: Final = "digipoort-as4"  # the Server header: no versions for strangers


@dataclass(frozen=True, slots=True)
class Guard:
    """What one listener bears with."""

    header: timedelta = limits.HEADER_TIMEOUT
    """From accepting the connection, TLS handshake included, to the last header; and from the first octet of a next
    header to its last."""
    rate: int = limits.MINIMUM_RATE  # octets per second of body after `grace`
    grace: timedelta = limits.RATE_GRACE  # also the longest pause within a body
    keepalive: timedelta = limits.KEEPALIVE
    session: timedelta = timedelta(hours=1)  # after which a connection ends with its answer (DK-WUS WT008)
    answer_stall: timedelta = limits.ANSWER_STALL
    linger: timedelta = limits.LINGER
    connections: int = limits.CONNECTIONS
    per_certificate: int = limits.CONNECTIONS_PER_CERTIFICATE
    proxies: tuple[Network, ...] = ()  # where proxies are that may say how a client reached us


async def paced(content: StreamReader, guard: Guard) -> AsyncIterator[bytes]:
    """The chunks of a body; TimeoutError when none comes for `grace`, or when they are below `rate` after it."""
    clock, grace = asyncio.get_running_loop().time, guard.grace.total_seconds()
    start, received = clock(), 0
    if content.is_eof():  # a small body came with its header: nobody is waited for
        yield content.read_nowait()
    while not content.at_eof():
        # Whoever sent much may rest, but never longer than the grace time.
        deadline = min(clock() + grace, start + grace + received / guard.rate)
        async with asyncio.timeout_at(deadline):
            chunk = await content.readany()
        received += len(chunk)
        if chunk:
            yield chunk


class GuardedConnection(web.RequestHandler):
    """One connection; drops a peer that sends its header or takes its answer too slowly."""

    def __init__(self, door: Door, loop: asyncio.AbstractEventLoop) -> None:
        # Made when the socket is accepted, so the TLS handshake counts into the header's time.
        guard = door.guard
        times = {"keepalive_timeout": guard.keepalive.total_seconds(), "lingering_time": guard.linger.total_seconds()}
        # access_log: aiohttp's own way to switch it off
        super().__init__(door, loop=loop, auto_decompress=False, access_log=None, **times)  # type: ignore[arg-type]
        self._door = door
        self._wire: asyncio.Transport | None = None
        self._header_until = loop.time() + guard.header.total_seconds()
        self._session_until = loop.time() + guard.session.total_seconds()
        self._header_clock = _Clock(loop, lambda: self.drop("slow-header"))
        self._answer_clock = _Clock(loop, lambda: self.drop("slow-reader"))
        self._headers_seen = 0
        self.heard_at = loop.time()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Start the clock of the first header."""
        self._wire = cast(asyncio.Transport, transport)
        # One octet that waits for the peer starts the answer's clock; at 0 asyncio's TLS would pause with none to send.
        self._wire.set_write_buffer_limits(high=1, low=0)
        super().connection_made(transport)
        self._header_clock.start(self._header_until)

    def data_received(self, data: bytes) -> None:
        """Stop the header's clock when a header is whole, start it when a next one begins."""
        super().data_received(data)
        self.heard_at = self._loop.time()
        if self._request_count > self._headers_seen:
            self._headers_seen = self._request_count
            self._header_clock.stop()
        elif data and self.idle and self._header_clock.timer is None:
            self._header_clock.start(self.heard_at + self._door.guard.header.total_seconds())

    def pause_writing(self) -> None:
        """The peer does not take our octets: start its clock."""
        super().pause_writing()
        self._answer_clock.start(self._loop.time() + self._door.guard.answer_stall.total_seconds())

    def resume_writing(self) -> None:
        """The peer took them."""
        super().resume_writing()
        self._answer_clock.stop()

    def connection_lost(self, exc: BaseException | None) -> None:
        """Stop all clocks."""
        self._header_clock.stop()
        self._answer_clock.stop()
        super().connection_lost(exc)

    @property
    def overdue(self) -> bool:
        """True when its answer shall be the last (DK-WUS WT008)."""
        return self._loop.time() >= self._session_until

    @property
    def idle(self) -> bool:
        """True while no request is whole or in work."""
        return self._waiter is not None and not self._waiter.done()

    def drop(self, why: str) -> None:
        """Close at once, whatever waits to be sent."""
        self._door.journal.write("connection-dropped", cause=why)
        if self._wire is not None:
            self._wire.abort()

    def handle_error(
        self, request: web.BaseRequest, status: int = 500, exc: BaseException | None = None, message: str | None = None
    ) -> web.StreamResponse:
        """Answer what is no HTTP with a few words, none of them the peer's; the journal has the reason."""
        self._door.journal.write("http-refused", cause=type(exc).__name__, status=status)
        if request.writer.output_size > 0:
            raise ConnectionError("an answer was under way")
        answer = web.Response(status=status, text="Dit is geen geldig HTTP-verzoek.\n", headers={"Server": SERVER})
        answer.force_close()
        return answer

    def log_exception(self, *args: object, **kw: object) -> None:
        """To the journal instead of aiohttp's logger, which quotes the peer."""
        self._door.journal.write("http-error", detail=repr(kw.get("exc_info", "")))


class Door(web.Server):
    """aiohttp's low-level server with guarded connections and caps on their number."""

    def __init__(self, handler: Handler, guard: Guard, journal: Journal) -> None:
        super().__init__(handler)
        self.guard, self.journal = guard, journal
        self._shown: dict[web.RequestHandler, bytes] = {}  # a lost transport no longer tells
        self._by_certificate: Counter[bytes] = Counter()

    def __call__(self) -> GuardedConnection:
        """A connection's protocol; asyncio calls this at accept."""
        return GuardedConnection(self, self._loop)

    def connection_made(self, handler: web.RequestHandler, transport: asyncio.Transport) -> None:
        """Count it; above a cap somebody has to go."""
        super().connection_made(handler, transport)
        certificate = peer_certificate(transport)
        if certificate is not None:
            self._shown[handler] = certificate
            self._by_certificate[certificate] += 1
        crowded = self._by_certificate[certificate or b""] > self.guard.per_certificate
        if crowded or len(self._connections) > self.guard.connections:
            # A certificate over its own cap pays itself; else who idles longest goes, and only then the newcomer.
            idle = [] if crowded else [c for c in cast(list[GuardedConnection], self.connections) if c.idle]
            newcomer = cast(GuardedConnection, handler)
            min(idle, key=lambda c: c.heard_at, default=newcomer).drop("too-many-connections")

    def connection_lost(self, handler: web.RequestHandler, exc: BaseException | None = None) -> None:
        """Count it no more."""
        certificate = self._shown.pop(handler, None)
        if certificate is not None:
            self._by_certificate[certificate] -= 1
            if not self._by_certificate[certificate]:
                del self._by_certificate[certificate]
        super().connection_lost(handler, exc)


def speaking_tls(journal: Journal) -> type[ssl.SSLObject]:
    """TLS for asyncio's server side that says why it refuses: the alert leaves before the connection closes.
    asyncio drops the alert of a failed handshake, and the peer is left with a bare reset. Answering "more octets
    wanted" once makes it send what OpenSSL has ready; the peer then hangs up, or the header's time is over."""

    class SpeakingTls(ssl.SSLObject):
        failure: ssl.SSLError | None = None

        def do_handshake(self) -> None:
            if self.failure is not None:
                raise self.failure
            try:
                super().do_handshake()
            except ssl.SSLError as failure:
                if isinstance(failure, ssl.SSLWantReadError | ssl.SSLWantWriteError):
                    raise
                journal.write("tls-refused", cause=str(failure.reason), detail=getattr(failure, "verify_message", ""))
                self.failure = failure
                raise ssl.SSLWantReadError from failure

    return SpeakingTls


def peer_certificate(transport: asyncio.BaseTransport | None) -> bytes | None:
    """DER of the certificate that the TLS peer showed and proved; None without one."""
    tls = None if transport is None else transport.get_extra_info("ssl_object")
    return tls.getpeercert(binary_form=True) if isinstance(tls, ssl.SSLObject) else None


class _Clock:
    """One timer that can be started, stopped and started again."""

    def __init__(self, loop: asyncio.AbstractEventLoop, ring: Callable[[], None]) -> None:
        self._loop, self._ring = loop, ring
        self.timer: asyncio.TimerHandle | None = None  # None while it does not run

    def start(self, until: float) -> None:
        self.stop()
        self.timer = self._loop.call_at(until, self._ring)

    def stop(self) -> None:
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None
