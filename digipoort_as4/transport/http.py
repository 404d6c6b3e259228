"""One HTTP request and one answer as values: the words between sockets and protocols.

Sends nothing and judges nothing."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass

from digipoort_as4.payload import Payload


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """What a peer sent, its body whole unless `trouble` says otherwise."""

    method: str  # upper case
    path: str  # decoded, without the query
    query: str  # raw, without the question mark
    headers: Mapping[str, str]  # asked for in lower case; of a repeated header the first value
    body: Payload  # in memory up to limits.INLINE_BODY, above it a spool file that goes after the answer
    tls_certificate: bytes | None = None  # DER of the peer's; None without TLS or when it showed none
    origin: str = ""  # scheme and host by which the client reached us; empty when it named no host
    trouble: str = ""
    """A key of errors.CAUSES that the transport met: body-too-large, body-truncated, content-encoding, or unavailable
    when the spool failed. Then `body` is empty, and the service answers in its own shape."""


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """What goes, or came, back."""

    status: int
    headers: Mapping[str, str]  # of an answer that came, names in lower case
    body: Payload
    tls_certificate: bytes | None = None  # DER that the party asked showed and was judged by; None of an answer of ours


async def stream(body: Payload) -> AsyncIterator[bytes]:
    """The chunks of a body, each read by a thread."""
    chunks = body.open()
    while chunk := await asyncio.to_thread(next, chunks, b""):
        yield chunk
