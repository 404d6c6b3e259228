"""Posts to parties, each known by its OIN: the TLS certificate is judged in the handshake, before a word is said.

Knows no agency by name and judges no certificate itself; the judge is handed in.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable, Mapping

from digipoort_as4.errors import PeerError
from digipoort_as4.payload import Payload
from digipoort_as4.transport.client import Client
from digipoort_as4.transport.http import HttpAnswer

Judge = Callable[[str, bytes], None]
"""(OIN expected, DER shown): returns when the certificate is that party's and holds, else raises PeerError."""


def checked(context: ssl.SSLContext, check: Callable[[bytes], None]) -> ssl.SSLContext:
    """Let a context's handshakes end only after the peer's certificate was judged.

    Looking after the answer is too late: by then the documents are with somebody else.

    Args:
        context: of `tls.client_context`; changed and returned.
        check: gets the peer's DER; raises PeerError to end the connection.
    """

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
    """A pool of connections for each party."""

    def __init__(self, new_context: Callable[[], ssl.SSLContext], judge: Judge) -> None:
        """Connects nowhere yet.

        Args:
            new_context: makes a context that shows our certificate, one per party.
            judge: of the parties' certificates.
        """
        self._new_context, self._judge = new_context, judge
        self._clients: dict[str, Client] = {}

    async def post(self, oin: str, url: str, body: Payload, headers: Mapping[str, str]) -> HttpAnswer:
        """Send one request to one party.

        Args:
            oin: whose certificate the other end must show.
            url: where it listens.
            body: streamed when it is not in memory.
            headers: content-type, soapaction …

        Raises:
            TransportError: `sent` False when no connection stood, a certificate of another party included.
        """
        return await self._client(oin).post(url, body, headers)

    def _client(self, oin: str) -> Client:
        if oin not in self._clients:
            context = checked(self._new_context(), lambda der: self._judge(oin, der))
            self._clients[oin] = Client(context)
        return self._clients[oin]

    async def close(self) -> None:
        """Close all connections."""
        for client in self._clients.values():
            await client.close()
