"""A tiny CA, a trust that judges by it, and messages for the tests of soap and wssecurity."""

from __future__ import annotations

import base64
import os
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.x509.oid import NameOID

from digipoort_as4.errors import PeerError
from digipoort_as4.payload import BytesPayload
from digipoort_as4.pki.certificates import Certificate, Purpose, load_certificate
from digipoort_as4.soap import inhoud, xml_guard
from digipoort_as4.soap.addressing import Addressing
from digipoort_as4.soap.message import SoapMessage
from digipoort_as4.wssecurity.algorithms import Algorithms
from digipoort_as4.wssecurity.open_message import Opened, SignaturePolicy, open_message
from digipoort_as4.wssecurity.seal_message import Sealed, seal

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
OIN = "00000099000000101000"
TOKEN = "5e1d6f0c3a9b48d7"
ACTION = "http://logius.nl/digipoort/wus/2.0/aanleverservice/1.2/AanleverService/aanleverenRequest"
HASHES = {"sha1": hashes.SHA1, "sha256": hashes.SHA256, "sha384": hashes.SHA384, "sha512": hashes.SHA512}
SHARED = Path(os.environ.get("DIGIPOORT_SHARED", Path(__file__).resolve().parents[3] / "shared"))


def shared(name: str) -> Path:
    """A supplied file, or a skip that says which one is missing."""
    path = SHARED / "data" / name
    if not path.exists():
        pytest.skip(f"shared test data {name} is not here (set DIGIPOORT_SHARED)")
    return path


@dataclass(frozen=True)
class KeyPair:
    """A Signer with its key at hand, so that another engine can sign with it too."""

    certificate: Certificate
    key: rsa.RSAPrivateKey

    def sign(self, octets: bytes, hash_name: str) -> bytes:
        return self.key.sign(octets, padding.PKCS1v15(), HASHES[hash_name]())

    @property
    def key_pem(self) -> bytes:
        return self.key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )

    @property
    def certificate_pem(self) -> bytes:
        return self.certificate.x509.public_bytes(serialization.Encoding.PEM)


def issue(name: str, oin: str | None, issuer: KeyPair | None = None, *, bits: int = 2048) -> KeyPair:
    """A certificate for a fresh key, self-signed without issuer."""
    key = rsa.generate_private_key(65_537, bits)
    attributes = [x509.NameAttribute(NameOID.COMMON_NAME, name)]
    attributes += [x509.NameAttribute(NameOID.SERIAL_NUMBER, oin)] if oin else []
    subject = x509.Name(attributes)
    usage = dict.fromkeys(
        (
            "content_commitment",
            "key_encipherment",
            "data_encipherment",
            "key_agreement",
            "encipher_only",
            "decipher_only",
        ),
        False,
    )
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.certificate.x509.subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW - timedelta(days=30))
        .not_valid_after(NOW + timedelta(days=300))
        .add_extension(x509.BasicConstraints(ca=issuer is None, path_length=None), critical=True)
        .add_extension(
            x509.KeyUsage(
                digital_signature=issuer is not None, key_cert_sign=issuer is None, crl_sign=issuer is None, **usage
            ),
            critical=True,
        )
    )
    signed = builder.sign(issuer.key if issuer else key, hashes.SHA256())
    return KeyPair(load_certificate(signed.public_bytes(serialization.Encoding.DER)), key)


@cache
def authority() -> KeyPair:
    return issue("TEST authority", None)


@cache
def business() -> KeyPair:
    return issue("TEST bakkerij", OIN, authority())


@cache
def stranger() -> KeyPair:
    """Somebody with the same name and number from an authority of his own."""
    return issue("TEST bakkerij", OIN, issue("TEST authority", None))


@cache
def elliptic() -> Certificate:
    """A certificate with an elliptic-curve key, which no WUS algorithm can use."""
    name = x509.Name([x509.NameAttribute(NameOID.SERIAL_NUMBER, OIN)])
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).serial_number(1)
    builder = builder.not_valid_before(NOW).not_valid_after(NOW + timedelta(days=1))
    key = ec.generate_private_key(ec.SECP256R1())
    signed = builder.public_key(key.public_key()).sign(key, hashes.SHA256())
    return load_certificate(signed.public_bytes(serialization.Encoding.DER))


@dataclass(frozen=True)
class Verdict:
    path: tuple[Certificate, ...]


@dataclass(frozen=True)
class OneAuthority:
    """Judges by one CA: its signature and the dates. Nothing is revoked here; tests/pki judges revocation."""

    anchor: Certificate

    def judge(self, certificate: Certificate, at: datetime, purpose: Purpose) -> Verdict:
        assert purpose is Purpose.SIGNING
        parsed = certificate.x509
        try:
            parsed.verify_directly_issued_by(self.anchor.x509)
        except (InvalidSignature, ValueError) as error:
            raise PeerError("certificate-untrusted", where="certificate") from error
        if not parsed.not_valid_before_utc <= at <= parsed.not_valid_after_utc:
            raise PeerError("certificate-expired", where="certificate")
        return Verdict((certificate, self.anchor))


def trust() -> Any:
    return OneAuthority(authority().certificate)


def aanlever_request(document: bytes = b"<aangifte/>") -> bytes:
    """An aanleverRequest as a serialised element."""
    return aanlever_request_of(base64.b64encode(document).decode())


def aanlever_request_of(text: str) -> bytes:
    return (
        '<aanleverRequest xmlns="http://logius.nl/digipoort/koppelvlakservices/1.2/">'
        "<berichtsoort>Omzetbelasting</berichtsoort><aanleverkenmerk>Happyflow</aanleverkenmerk>"
        "<identiteitBelanghebbende><nummer>001000044B37</nummer><type>BTW</type></identiteitBelanghebbende>"
        "<rolBelanghebbende>Bedrijf</rolBelanghebbende><berichtInhoud><mimeType>text/xml</mimeType>"
        f"<bestandsnaam>Omzetbelasting.xbrl</bestandsnaam><inhoud>{text}</inhoud></berichtInhoud>"
        "<autorisatieAdres>http://geenausp.nl</autorisatieAdres></aanleverRequest>"
    ).encode()


ADDRESSING = Addressing(
    to="https://localhost/wus/2.0/aanleverservice/1.2",
    action=ACTION,
    message_id="urn:uuid:3f6f1f2e-43c4-4c8e-9a40-0d6a1d3a9c11",
    reply_to="http://www.w3.org/2005/08/addressing/anonymous",
)


def sealed(
    operation: bytes | None = None,
    *,
    signer: KeyPair | None = None,
    algorithms: Algorithms | None = None,
    addressing: Addressing = ADDRESSING,
    created: datetime = NOW,
    large: Any = None,
) -> Sealed:
    return seal(
        operation or aanlever_request(),
        addressing,
        signer or business(),
        algorithms or Algorithms(),
        created,
        timedelta(minutes=10),
        lambda: "5f3a",
        large,
    )


def sealed_octets(**arguments: Any) -> bytes:
    return b"".join(sealed(**arguments).payload.open())


def message_of(octets: bytes) -> SoapMessage:
    skeleton, large = inhoud.extract(BytesPayload(octets), TOKEN)
    return xml_guard.parse(skeleton, large)


def opened(octets: bytes, policy: SignaturePolicy | None = None, at: datetime = NOW) -> Opened:
    return open_message(message_of(octets), policy or SignaturePolicy(), trust(), at)


def cause_of(octets: bytes, policy: SignaturePolicy | None = None, at: datetime = NOW) -> str:
    """The cause for which a message is refused; fails when it is not."""
    with pytest.raises(PeerError) as refusal:
        opened(octets, policy, at)
    return refusal.value.cause.name
