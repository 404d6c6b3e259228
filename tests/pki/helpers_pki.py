"""What the tests of pki share: where ../shared is, and certificates with exactly one thing wrong."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from asn1crypto import core
from asn1crypto import x509 as asn1
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from digipoort_as4.pki.certificates import Certificate, load_certificate, load_pem
from digipoort_as4.pki.issuing import Authority, Kind, issue_end_entity
from digipoort_as4.pki.test_pki import Identity, _read_authority

NOW = datetime(2026, 6, 1, 12, 0, tzinfo=UTC)
YEAR = timedelta(days=365)


def shared(*parts: str) -> Path:
    """A file of the project's shared test data; skips the test where there is none."""
    beside = Path(__file__).resolve().parents[2].parent / "shared"
    path = Path(os.environ.get("DIGIPOORT_SHARED", beside)) / "data" / Path(*parts)
    if not path.exists():
        pytest.skip(f"shared test data is not here: {'/'.join(parts)}; set DIGIPOORT_SHARED")
    return path


def leaf_of(path: Path) -> Certificate:
    return load_pem(path.read_bytes())[0]


def signing_leaf(identity: Identity) -> Certificate:
    return leaf_of(identity.signing_cert)


def authority(folder: Path, name: str) -> Authority:
    return _read_authority(folder / "ca" / f"{name}.pem")


def as_certificate(certificate: x509.Certificate) -> Certificate:
    return load_certificate(certificate.public_bytes(Encoding.DER))


def crl_der(crl: x509.CertificateRevocationList) -> bytes:
    return crl.public_bytes(Encoding.DER)


KEY = rsa.generate_private_key(65_537, 2048)
"""One key for all certificates whose key does not matter."""

KIND = Kind(
    name="test",
    shape="g1",
    issuer="g1-tsp",
    uses=("tls", "signing"),
    bits=2048,
    days=365,
    policies=("2.16.528.1.1003.1.2.8.6",),
    usages=("digital_signature", "key_encipherment"),
    extended_usages=("1.3.6.1.5.5.7.3.2", "1.3.6.1.5.5.7.3.1"),
    dns=("localhost",),
)
"""The profile of the real certificate of the Aansluit Suite (shared data, certs)."""


def subject(oin: str = "00000099000000101000", cn: str = "TEST somebody") -> x509.Name:
    return x509.Name(
        [x509.NameAttribute(NameOID.SERIAL_NUMBER, oin), x509.NameAttribute(NameOID.COMMON_NAME, cn)],
    )


def issued(issuer: Authority, kind: Kind = KIND, *, serial: int = 4711, name: x509.Name | None = None) -> Certificate:
    period = (NOW - timedelta(days=1), NOW + YEAR)
    return as_certificate(issue_end_entity(kind, name or subject(), KEY.public_key(), issuer, serial, period))


def self_signed(
    public_key: object = None, extensions: list[tuple[x509.ExtensionType, bool]] | None = None, serial: int = 1
) -> bytes:
    """DER of a certificate that nobody vouches for; for checks that look at one certificate only."""
    builder = x509.CertificateBuilder().subject_name(subject()).issuer_name(subject()).serial_number(serial)
    builder = builder.not_valid_before(NOW).not_valid_after(NOW + YEAR).public_key(public_key or KEY.public_key())
    for extension, critical in extensions or []:
        builder = builder.add_extension(extension, critical)
    return builder.sign(KEY, hashes.SHA256()).public_bytes(Encoding.DER)


def rewritten(der: bytes, change: Callable[[asn1.TbsCertificate], None]) -> bytes:
    """A certificate with something changed under a signature that no longer fits."""
    certificate = asn1.Certificate.load(der)
    change(certificate["tbs_certificate"])
    return certificate.dump(force=True)


def with_subject(*rdns: list[tuple[str, core.Asn1Value]]) -> Certificate:
    """A certificate with a subject of these RDNs, each a list of (type, value in any string type)."""

    def change(tbs: asn1.TbsCertificate) -> None:
        sequence = asn1.RDNSequence(
            [
                asn1.RelativeDistinguishedName(
                    [
                        asn1.NameTypeAndValue(
                            {"type": kind, "value": asn1.DirectoryString(name=STRINGS[type(value)], value=value.native)}
                        )
                        for kind, value in rdn
                    ]
                )
                for rdn in rdns
            ]
        )
        tbs["subject"] = asn1.Name(name="", value=sequence)

    return load_certificate(rewritten(self_signed(), change))


STRINGS = {
    core.PrintableString: "printable_string",
    core.UTF8String: "utf8_string",
    core.BMPString: "bmp_string",
    core.TeletexString: "teletex_string",
}
