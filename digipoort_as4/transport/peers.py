"""Posts to parties, each known by its OIN: the TLS certificate is judged in the handshake, before a word is said.

Knows no agency by name and judges no certificate itself; the judge is handed in."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Mapping
from dataclasses import replace

from digipoort_as4.errors import PeerError
from digipoort_as4.payload import Payload
from digipoort_as4.transport.client import Client
from digipoort_as4.transport.http import HttpAnswer

Judge = Callable[[str, bytes], None]
"""(OIN expected, DER shown): returns when the certificate is that party's and holds, else raises PeerError."""


def checked(context: ssl.SSLContext, check: Callable[[bytes], None]) -> ssl.SSLContext:
    """Let a context's handshakes end only after `check` has judged the peer's DER; PeerError ends the connection.
    Looking after the answer is too late: by then the documents are with somebody else."""

    class Checked(ssl.SSLObject):
        def do_handshake(self) -> None:
            super().do_handshake()
            try:
                check(self.getpeercert(binary_form=True) or b"")
            except PeerError as error:
                # asyncio ends a handshake on SSLError alone
                raise ssl.SSLCertVerificationError(f"certificate of the peer: {error}") from error

    context.sslobject_class = Checked
    return context


class Peers:
    """A pool of connections for each party, each with a fresh context that shows our certificate."""

    def __init__(self, new_context: Callable[[], ssl.SSLContext], judge: Judge) -> None:
        self._new_context, self._judge = new_context, judge
        self._clients: dict[str, Client] = {}
        self._shown: dict[str, bytes] = {}  # DER that each party showed last

    async def post(self, oin: str, url: str, body: Payload, headers: Mapping[str, str]) -> HttpAnswer:
        """Send one request to the party that holds the OIN; see `Client.post`.
        Raises TransportError: `sent` False when no connection stood, a certificate of another party included."""
        if oin not in self._clients:
            self._clients[oin] = Client(checked(self._new_context(), lambda der: self._meet(oin, der)))
        answer = await self._clients[oin].post(url, body, headers)
        return replace(answer, tls_certificate=self._shown.get(oin))

    def _meet(self, oin: str, der: bytes) -> None:
        self._judge(oin, der)
        self._shown[oin] = der

    async def close(self) -> None:
        """Close all connections."""
        for client in self._clients.values():
            await client.close()
