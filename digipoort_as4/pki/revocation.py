"""CRLs as an index: each verified and read once, then asked per certificate.

Fetches nothing (whoever refreshes brings octets) and knows no OCSP: PKIoverheid's CAs are checked by CRL. Indirect CRLs
and CRLs for some reasons only count as missing, so they refuse. A delta CRL only adds: what it takes off stays revoked.
"""

from __future__ import annotations

import hashlib
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from asn1crypto import x509 as asn1
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from digipoort_as4.errors import ConfigError, PeerError
from digipoort_as4.pki.certificates import PARSE_ERRORS, Certificate, read_extension

SIGNATURE_HASHES: Final = frozenset({"sha256", "sha384", "sha512"})  # of a certificate or CRL (SIGN001; threats P14)


@dataclass(frozen=True, slots=True)
class Scope:
    """Which certificates of its issuer a CRL speaks of (issuingDistributionPoint)."""

    points: frozenset[x509.GeneralName] = frozenset()  # names of the distribution point; empty: no restriction
    only_users: bool = False
    only_cas: bool = False

    def covers(self, certificate: Certificate) -> bool:
        """Whether a certificate of the issuer falls under it."""
        if (self.only_cas and not certificate.is_ca) or (self.only_users and certificate.is_ca):
            return False
        points = read_extension(certificate, x509.CRLDistributionPoints)
        if points is None:
            return not self.points
        # a point with another CRL issuer, or for some reasons, asks for a CRL that we do not support
        plain = [point for point in points if point.crl_issuer is None and point.reasons is None]
        names = {name for point in plain for name in point.full_name or ()}
        return bool(plain) and (not self.points or not self.points.isdisjoint(names))


@dataclass(frozen=True, slots=True)
class Crl:
    """A CRL whose signature holds."""

    this_update: datetime
    next_update: datetime
    revoked: frozenset[int]  # serial numbers, on hold included
    scope: Scope
    delta: bool  # speaks of changes since an earlier one, so never enough by itself


@dataclass(frozen=True, slots=True)
class CrlIndex:
    """All usable CRLs, by name and key of their issuer."""

    lists: Mapping[bytes, tuple[Crl, ...]]  # key: see `_issuer_key`; newest first
    problems: tuple[str, ...]  # CRLs that were left out, each with its reason; for the journal
    version: str  # changes when the CRLs do

    @classmethod
    def from_crls(cls, crls: Iterable[bytes], issuers: Iterable[Certificate]) -> CrlIndex:
        """Verify and read CRLs, each in DER; one that cannot be used is left out and named in `problems`.
        The issuers' signatures count; the path decides later whether a CA itself is trusted."""
        lists: defaultdict[bytes, list[Crl]] = defaultdict(list)
        problems: list[str] = []
        digest = hashlib.sha256()
        by_name: defaultdict[str, list[Certificate]] = defaultdict(list)
        for issuer in issuers:
            by_name[_comparable(issuer.x509.subject)].append(issuer)
        for der in crls:
            digest.update(hashlib.sha256(der).digest())
            try:
                key, crl = _read(der, by_name)
                lists[key].append(crl)
            except _Unusable as error:
                problems.append(str(error))
        newest = {key: tuple(sorted(crls, key=lambda crl: crl.this_update)[::-1]) for key, crls in lists.items()}
        return cls(newest, tuple(problems), digest.hexdigest()[:16])

    def check(self, certificate: Certificate, issuer: Certificate, at: datetime) -> tuple[datetime, datetime]:
        """A certificate of an end entity or a CA is not revoked; since when and until when this holds, both included.
        `issuer`: whose key signed it; its CRL must be signed with the same key. `at`: the moment that counts.
        Raises PeerError: certificate-revoked, or revocation-unavailable when no CRL is there, in date and applicable.
        Source: RFC 5280 6.3; PKI002 to PKI004; threats P03, P04, P06."""
        usage = read_extension(issuer, x509.KeyUsage)
        if usage is not None and not usage.crl_sign:
            raise _unavailable(issuer, "a CA that may not sign CRLs")
        known = [crl for crl in self.lists.get(_issuer_key(issuer), ()) if crl.scope.covers(certificate)]
        current = [crl for crl in known if crl.this_update <= at <= crl.next_update]
        newest = next((crl for crl in current if not crl.delta), None)
        if newest is None:
            dates = [f"a CRL of {crl.this_update:%F %T}Z to {crl.next_update:%F %T}Z" for crl in known[:3]]
            raise _unavailable(issuer, ", ".join(dates) or "no CRL")
        for crl in (newest, *(crl for crl in current if crl.delta)):
            if (serial := certificate.x509.serial_number) in crl.revoked:
                found = f"serial number {serial:x} on the CRL of {crl.this_update:%F %T}Z"
                expected = "a certificate that is not revoked"
                raise PeerError("certificate-revoked", where=certificate.subject, found=found, expected=expected)
        return newest.this_update, newest.next_update


def load_crls(octets: bytes) -> tuple[bytes, ...]:
    """The CRLs of a file, each as DER: one CRL in DER, or any number in PEM; ConfigError when it is neither."""
    try:
        parsed = [x509.load_pem_x509_crl(block) for block in _PEM.findall(octets)] or [x509.load_der_x509_crl(octets)]
    except ValueError as error:
        raise ConfigError(f"found {error}, expected a CRL in DER or PEM") from error
    return tuple(crl.public_bytes(Encoding.DER) for crl in parsed)


_PEM: Final = re.compile(rb"-----BEGIN X509 CRL-----.*?-----END X509 CRL-----", re.DOTALL)


class _Unusable(Exception):
    """A CRL is left out; the text says which and why."""


def _read(der: bytes, by_name: Mapping[str, list[Certificate]]) -> tuple[bytes, Crl]:
    try:
        crl = x509.load_der_x509_crl(der)
        issuer = _signer_of(crl, by_name)
        scope, delta = _scope_of(crl)
        revoked = frozenset(_serials(crl, delta))
    except PARSE_ERRORS as error:
        raise _Unusable(f"CRL of {len(der)} octets: malformed: {error}") from error
    if crl.next_update_utc is None:
        raise _unusable(crl, "no nextUpdate")
    return _issuer_key(issuer), Crl(crl.last_update_utc, crl.next_update_utc, revoked, scope, delta)


def _signer_of(crl: x509.CertificateRevocationList, by_name: Mapping[str, list[Certificate]]) -> Certificate:
    algorithm = crl.signature_hash_algorithm
    if algorithm is None or algorithm.name not in SIGNATURE_HASHES:
        raise _unusable(crl, f"signed with {crl.signature_algorithm_oid.dotted_string}")
    for issuer in by_name.get(_comparable(crl.issuer), []):
        with suppress(TypeError):  # a key of a kind that signs no CRLs
            if crl.is_signature_valid(issuer.public_key):  # type: ignore[arg-type]
                return issuer
    raise _unusable(crl, "signature of none of the known CAs")


def _scope_of(crl: x509.CertificateRevocationList) -> tuple[Scope, bool]:
    """The scope, and whether it is a delta CRL."""
    scope, delta = Scope(), False
    for extension in crl.extensions:
        if isinstance(point := extension.value, x509.IssuingDistributionPoint):
            other = point.only_some_reasons or point.only_contains_attribute_certs or point.relative_name
            if point.indirect_crl or other:
                kinds = "some reasons, attribute certificates or a relative name"
                raise _unusable(crl, f"an indirect CRL, or one for {kinds}")
            names = frozenset(point.full_name or ())
            scope = Scope(names, point.only_contains_user_certs, point.only_contains_ca_certs)
        elif isinstance(extension.value, x509.DeltaCRLIndicator):
            delta = True
        elif extension.critical and not isinstance(extension.value, x509.CRLNumber | x509.AuthorityKeyIdentifier):
            raise _unusable(crl, f"unknown critical extension {extension.oid.dotted_string}")
    return scope, delta


def _serials(crl: x509.CertificateRevocationList, delta: bool) -> Iterator[int]:
    """All serial numbers; one entry that we cannot understand spoils the list (RFC 5280 5.3)."""
    released = x509.CRLReason(x509.ReasonFlags.remove_from_crl)
    for entry in crl:
        if any(extension.critical for extension in entry.extensions):
            raise _unusable(crl, f"a critical extension in the entry of serial number {entry.serial_number:x}")
        if not (delta and any(extension.value == released for extension in entry.extensions)):
            yield entry.serial_number


def _issuer_key(issuer: Certificate) -> bytes:
    """Name and key, so that a namesake's CRL does not count."""
    key = issuer.public_key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(_comparable(issuer.x509.subject).encode() + key).digest()


def _comparable(name: x509.Name) -> str:
    """Equal for names that are equal by RFC 5280 7.1: string type, case and spaces do not count."""
    return str(asn1.Name.load(name.public_bytes()).hashable)


def _unusable(crl: x509.CertificateRevocationList, reason: str) -> _Unusable:
    return _Unusable(f"CRL of {crl.issuer.rfc4514_string()}: {reason}")


def _unavailable(issuer: Certificate, found: str) -> PeerError:
    detail = f"{issuer.subject}: found {found}, expected a CRL of this CA that is in date"
    return PeerError("revocation-unavailable", detail=detail)
