"""What a certificate says: its octets, its key, its OIN and what it may be used for.

Pure. Does not decide whether a certificate is trusted, in date or revoked (path, revocation), and reads no file."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from functools import lru_cache
from typing import Final, TypeVar

from asn1crypto import x509 as asn1
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding

from digipoort_as4 import limits
from digipoort_as4.errors import PeerError


class Purpose(Enum):
    """What a certificate is used for in the matter at hand."""

    SIGNING = "signing"
    TLS_CLIENT = "tls-client"
    TLS_SERVER = "tls-server"


@dataclass(frozen=True, slots=True)
class Certificate:
    """A certificate that is well-formed; says nothing about trust. Equal when the octets are."""

    der: bytes  # as received, strict DER
    x509: x509.Certificate = field(compare=False, repr=False)
    sha256: bytes = field(compare=False, repr=False)  # fingerprint, 32 octets
    public_key: CertificatePublicKeyTypes = field(compare=False, repr=False)  # any type; see `check_key`
    not_before: datetime = field(compare=False, repr=False)  # belongs to the period, as not_after does; aware, UTC
    not_after: datetime = field(compare=False, repr=False)

    @property
    def subject(self) -> str:
        """Subject in RFC 4514 form, for journals and people; never compare it."""
        return self.x509.subject.rfc4514_string()

    @property
    def is_ca(self) -> bool:
        """Whether basicConstraints says CA."""
        constraints = read_extension(self, x509.BasicConstraints)
        return constraints is not None and constraints.ca


def _malformed(found: str, expected: str) -> PeerError:
    return PeerError("certificate-malformed", where="certificate", found=found, expected=expected)


REMEMBERED: Final = 1024
"""Certificates kept parsed. A party sends the same one with each message; 1024 of about 10 kB parsed is 10 MB at most,
also when a stranger sends a fresh one each time."""
_BAD_X509: Final = (x509.DuplicateExtension, x509.InvalidVersion, x509.UnsupportedGeneralNameType)
PARSE_ERRORS: Final = (ValueError, TypeError, UnsupportedAlgorithm, *_BAD_X509)
"""What the library raises for octets that are not what they should be."""


@lru_cache(maxsize=REMEMBERED)
def load_certificate(der: bytes) -> Certificate:
    """Parse strictly: one certificate of at most limits.TOKEN octets, nothing behind it.
    Raises PeerError: certificate-malformed.
    Source: RFC 5280 4.1; threats P15."""
    if len(der) > limits.TOKEN:
        raise _malformed(f"{len(der)} octets", f"at most {limits.TOKEN}")
    try:
        parsed = x509.load_der_x509_certificate(der)
        key, period = parsed.public_key(), (parsed.not_valid_before_utc, parsed.not_valid_after_utc)
        # Read what the libraries would leave for later, so that nothing malformed turns up in the middle of a check;
        # asn1crypto, which compares names in paths, is stricter about their strings.
        list(parsed.subject), list(parsed.issuer), list(parsed.extensions)
        again = asn1.Certificate.load(der)
        again.subject.hashable, again.issuer.hashable  # noqa: B018
    except PARSE_ERRORS as error:
        raise _malformed(f"{type(error).__name__}: {error}", "an X.509 v3 certificate in DER") from error
    if parsed.public_bytes(Encoding.DER) != der:
        raise _malformed("octets that change when they are written again", "DER")
    if parsed.version is not x509.Version.v3:
        raise _malformed(f"version {parsed.version.name}", "v3")
    if parsed.serial_number <= 0 or parsed.serial_number.bit_length() > 160:  # RFC 5280 4.1.2.2
        raise _malformed(f"serial number {parsed.serial_number:x}", "a positive number of at most 20 octets")
    return Certificate(der, parsed, hashlib.sha256(der).digest(), key, *period)


def load_pem(text: bytes) -> tuple[Certificate, ...]:
    """All certificates of a PEM file, in order, text between them allowed; certificate-malformed when there is none."""
    try:
        parsed = x509.load_pem_x509_certificates(text)
    except ValueError as error:
        raise _malformed(f"ValueError: {error}", "certificates in PEM") from error
    return tuple(load_certificate(certificate.public_bytes(Encoding.DER)) for certificate in parsed)


_OIN: Final = re.compile(r"[0-9]{20}|00000007[0-9A-Z]{9}[0-9]{3}", re.ASCII)
"""Prefix 8, number 9, suffix 3; letters only in numbers of the BRIN register (00000007). The suffix is not always 000:
001 and 002 are in use (digipoort 6.4). Twenty digits cover both."""
_OIN_STRINGS: Final = frozenset({"printable_string", "utf8_string"})
"""X.520 says PrintableString; some CAs write UTF8String. Both hold the same octets for digits and capitals."""


@lru_cache(maxsize=REMEMBERED)
def read_oin(certificate: Certificate) -> str:
    """The OIN or HRN: Subject.serialNumber, 20 positions.
    Exactly one serialNumber, alone in its RDN, so that no two readers can pick different ones.
    Raises PeerError: oin-missing.
    Source: Digikoppeling Beveiligingsstandaarden PKI001; OIN-stelsel; threats R12, R13."""
    rdns = list(asn1.Certificate.load(certificate.der).subject.chosen)
    numbered = [rdn for rdn in rdns if any(pair["type"].native == "serial_number" for pair in rdn)]
    if len(numbered) != 1 or len(numbered[0]) != 1:
        raise _oin(f"{len(numbered)} RDNs with a serialNumber" if len(numbered) != 1 else "a serialNumber among others")
    value = numbered[0][0]["value"]
    if value.name not in _OIN_STRINGS:
        raise _oin(f"a serialNumber of type {value.name}")
    if not _OIN.fullmatch(value.native):
        raise _oin(f"a serialNumber of {len(value.native)} positions, or with other characters")
    return str(value.native)


def _oin(found: str) -> PeerError:
    expected = "one serialNumber with an OIN or HRN of 20 positions"
    return PeerError("oin-missing", where="certificate, Subject.serialNumber", found=found, expected=expected)


_CURVES: Final = ("secp256r1", "secp384r1", "secp521r1")
"""NIST curves of PKIoverheid; Brainpool is not allowed in its certificates (digipoort 6.7)."""
_EXPONENTS: Final = range(65_537, 2**32)
"""PKIoverheid has 65537. Below it signatures have been forged, far above it verifying costs too much."""


def check_key(certificate: Certificate) -> None:
    """The public key is of a kind and size that we rely on.
    Raises PeerError: key-weak.
    Source: Digikoppeling Beveiligingsstandaarden; threats P14."""
    key = certificate.public_key
    found = ""
    if isinstance(key, rsa.RSAPublicKey):
        if not limits.RSA_BITS <= key.key_size <= limits.RSA_BITS_MOST:
            found = f"RSA {key.key_size}"
        elif key.public_numbers().e not in _EXPONENTS:
            found = "an RSA exponent out of bounds"
    elif not isinstance(key, ec.EllipticCurvePublicKey) or key.curve.name not in _CURVES:
        found = type(key).__name__
    if found:
        expected = f"RSA of {limits.RSA_BITS} to {limits.RSA_BITS_MOST} bits, or EC on {', '.join(_CURVES)}"
        raise PeerError("key-weak", where="certificate, public key", found=found, expected=expected)


_CLIENT_AUTH: Final = frozenset({"1.3.6.1.5.5.7.3.2"})
_DOCUMENT_SIGNING: Final = frozenset({"1.3.6.1.5.5.7.3.36", "1.3.6.1.4.1.311.10.3.12"})  # RFC 9336, and Microsoft's

Usages = Mapping[Purpose, frozenset[str]]
"""What a type of certificate may be used for, and of which extended key usages it then needs one; anyExtendedKeyUsage
never counts."""

_TLS_SYS: Final[Usages] = {Purpose.TLS_CLIENT: _CLIENT_AUTH, Purpose.TLS_SERVER: frozenset({"1.3.6.1.5.5.7.3.1"})}
# A "server" certificate of G1 signs WUS messages in practice: the Aansluit Suite does so itself (digipoort 6.5).
_SERVER: Final[Usages] = {Purpose.SIGNING: _CLIENT_AUTH, **_TLS_SYS}
_AUTHENTICATION: Final[Usages] = {Purpose.TLS_CLIENT: _CLIENT_AUTH}
_AUTHENTICITY: Final[Usages] = {Purpose.SIGNING: _DOCUMENT_SIGNING}
_AUTHENTICITY_G1: Final[Usages] = {Purpose.SIGNING: _CLIENT_AUTH | _DOCUMENT_SIGNING | {"1.3.6.1.5.5.7.3.4"}}  # e-mail

_ARC: Final = "2.16.528.1.1003.1.2"
TRIAL_ARC: Final = f"{_ARC}.41."  # Policies below it are never accepted in production

CERTIFICATE_TYPES: Final[Mapping[str, Usages]] = {
    f"{_ARC}.8.4": _AUTHENTICITY_G1,  # Private Services G1, authenticity
    f"{_ARC}.8.6": _SERVER,  # Private Services G1, server
    f"{_ARC}.5.6": _SERVER,  # Organisation Services G3, server
    f"{_ARC}.44.15.35.11": _TLS_SYS,  # G4 Private TLS SYS
    f"{_ARC}.44.16.25.8": _AUTHENTICATION,  # G4 Private Other LP, authentication
    f"{_ARC}.44.16.25.4": _AUTHENTICITY,  # G4 Private Other LP, authenticity
    f"{TRIAL_ARC}15.35.11": _TLS_SYS,
    f"{TRIAL_ARC}16.25.8": _AUTHENTICATION,
    f"{TRIAL_ARC}16.25.4": _AUTHENTICITY,
}  # Policy OID to what certificates of that type are for. Source: digipoort 6.2, 6.3 (G4 production: after TRIAL)

_G1: Final = frozenset({f"{_ARC}.8.4", f"{_ARC}.8.6"})
PRODUCTION_POLICIES: Final = _G1 | {f"{_ARC}.44.15.35.11", f"{_ARC}.44.16.25.8", f"{_ARC}.44.16.25.4"}
"""What a production hub accepts: the private trees only (PKI005)."""
TEST_POLICIES: Final = _G1 | {f"{TRIAL_ARC}15.35.11", f"{TRIAL_ARC}16.25.8", f"{TRIAL_ARC}16.25.4"}
"""What the local post office accepts. G1 has no TRIAL arc: test certificates have its real OIDs under a TEST root."""


def check_purpose(certificate: Certificate, purpose: Purpose, policies: frozenset[str]) -> None:
    """The certificate is of a type that may be used so: policy, key usage, extended key usage.
    The certificate is an end entity's, `policies` are the accepted OIDs, dotted.
    Raises PeerError: certificate-purpose.
    Source: digipoort 6.2, 6.6 point 4; RFC 5280 4.2.1.3, 4.2.1.12; threats P08 to P10."""
    if certificate.is_ca:
        raise _purpose(purpose, "a CA", "an end entity")
    # TLS 1.3 signs in both directions, so digitalSignature is needed for each purpose.
    usage = read_extension(certificate, x509.KeyUsage)
    if usage is None or not usage.digital_signature:
        raise _purpose(purpose, "no keyUsage digitalSignature", "digitalSignature")
    found = read_extension(certificate, x509.CertificatePolicies) or ()
    stated = {policy.policy_identifier.dotted_string for policy in found}
    types = [CERTIFICATE_TYPES[policy] for policy in stated & policies if policy in CERTIFICATE_TYPES]
    wanted = frozenset[str]().union(*(usages.get(purpose, ()) for usages in types))
    if not wanted:
        raise _purpose(purpose, f"policies {sorted(stated)}", "an accepted type of certificate for this use")
    extended = read_extension(certificate, x509.ExtendedKeyUsage) or ()
    if wanted.isdisjoint(usage.dotted_string for usage in extended):
        raise _purpose(purpose, "no fitting extended key usage", " or ".join(sorted(wanted)))


def _purpose(purpose: Purpose, found: str, expected: str) -> PeerError:
    where = f"certificate used for {purpose.value}"
    return PeerError("certificate-purpose", where=where, found=found, expected=expected)


_Kind = TypeVar("_Kind", bound=x509.ExtensionType)


def read_extension(certificate: Certificate, kind: type[_Kind]) -> _Kind | None:
    """The value of an extension, or None when the certificate has none of that kind."""
    try:
        return certificate.x509.extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None
