"""Posts to peers over pooled TLS connections. Follows no redirect, uses no proxy, inflates nothing, retries nothing."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from datetime import timedelta

import aiohttp

from digipoort_as4 import limits
from digipoort_as4.errors import TransportError
from digipoort_as4.payload import BytesPayload, Payload
from digipoort_as4.transport.http import HttpAnswer, stream
from digipoort_as4.transport.tls import client_context, server_context

__all__ = ["Client", "client_context", "server_context"]


class Client:
    """A pool of connections that show one certificate; belongs to the event loop that first posts with it."""

    def __init__(
        self,
        context: ssl.SSLContext | None,  # of `client_context`; None for plain HTTP in tests
        total: timedelta = limits.CALL,  # for one whole call; a large body adds what limits.SEND_RATE allows it
        *,
        connect: timedelta = limits.CONNECT,  # of that, for the connection
        max_answer: int = limits.ANSWER,  # octets of an answer's body
    ) -> None:
        self._context, self._max_answer = context, max_answer
        self._total, self._connect = total.total_seconds(), connect.total_seconds()
        self._session: aiohttp.ClientSession | None = None

    async def post(self, url: str, body: Payload, headers: Mapping[str, str]) -> HttpAnswer:
        """Send one request, a body that is not in memory streamed, and read its whole answer, whatever its status.
        Raises TransportError: `sent` False when no connection stood, True when the outcome was not learnt."""
        sent_headers = {**headers, "Content-Length": str(body.size)}
        data = body.octets if isinstance(body, BytesPayload) else stream(body)
        timeout = aiohttp.ClientTimeout(total=self._total + body.size / limits.SEND_RATE, sock_connect=self._connect)
        call = self._open().post(url, data=data, headers=sent_headers, allow_redirects=False, timeout=timeout)
        try:
            async with call as answer:
                octets = bytearray()
                async for chunk in answer.content.iter_any():
                    octets += chunk
                    if len(octets) > self._max_answer:
                        raise aiohttp.ClientPayloadError(f"the answer is longer than {self._max_answer} octets")
                found = {name.lower(): value for name, value in answer.headers.items()}
                return HttpAnswer(answer.status, found, BytesPayload(bytes(octets)))
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            unsent = (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError, aiohttp.InvalidURL)
            why = "no answer in time" if isinstance(error, TimeoutError) else f"{type(error).__name__}: {error}"
            raise TransportError(f"{url}: {why}", sent=not isinstance(error, unsent)) from error

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            connector = aiohttp.TCPConnector(
                ssl=True if self._context is None else self._context,
                limit=0,
                keepalive_timeout=limits.POOL_KEEPALIVE.total_seconds(),
            )
            self._session = aiohttp.ClientSession(
                connector=connector,
                auto_decompress=False,
                trust_env=False,
                cookie_jar=aiohttp.DummyCookieJar(),
                headers={"User-Agent": "digipoort-as4", "Accept-Encoding": "identity"},
            )
        return self._session

    async def close(self) -> None:
        """Close all connections."""
        if self._session is not None:
            await self._session.close()

    async def __aenter__(self) -> Client:
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.close()
