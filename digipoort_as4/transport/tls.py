"""TLS contexts for both ends of a connection: 1.2 and 1.3, forward secrecy, no renegotiation, no compression.

Trusts only the bundle it is given; does not look at revocation, which the services do with the certificate shown."""

from __future__ import annotations

import ssl
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Final

from digipoort_as4.errors import ConfigError

if TYPE_CHECKING:
    from digipoort_as4.pki.keys import TlsIdentity

SUITES: Final = "ECDHE+AESGCM:ECDHE+CHACHA20"
"""Of TLS 1.2; all suites of 1.3 are of this kind. "Goed" in the Dutch NCSC TLS guidelines."""


def server_context(identity: TlsIdentity, ca: Path, between: Iterable[Path] = ()) -> ssl.SSLContext:
    """The listening side: asks for a certificate and takes none for an answer.
    CAs in `between` complete the chain of a client that sends its own certificate alone; they are not trusted by that.
    GET of WSDL, XSD and health needs none, every POST does (decision 9): the service checks that. A certificate that
    does not lead to the PEM bundle `ca` ends in a handshake alert (decision 5)."""
    context = _context(ssl.PROTOCOL_TLS_SERVER, identity, ca)
    context.verify_mode = ssl.CERT_OPTIONAL
    context.verify_flags &= ~ssl.VERIFY_X509_PARTIAL_CHAIN  # a path ends at a root of `ca` only
    for bundle in between:
        context.load_verify_locations(cafile=str(bundle))
    return context


def client_context(identity: TlsIdentity, ca: Path) -> ssl.SSLContext:
    """The calling side: shows its certificate, demands one that leads to `ca` and names the host."""
    return _context(ssl.PROTOCOL_TLS_CLIENT, identity, ca)  # which has check_hostname and CERT_REQUIRED


def _context(side: ssl._SSLMethod, identity: TlsIdentity, ca: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(side)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(SUITES)
    context.set_alpn_protocols(["http/1.1"])
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    try:
        identity.load_into(context)
        context.load_verify_locations(cafile=str(ca))
    except OSError as error:  # ssl.SSLError is one
        raise ConfigError(f"TLS: {ca} or the own certificate and key cannot be used: {error}") from error
    return context
