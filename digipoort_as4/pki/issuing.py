"""Build test certificates and CRLs in the shapes of PKIoverheid G1 and G4 from a recipe.

Pure: keys, serial numbers and times are arguments. Knows no folder, and is of no use for a real CA."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from inspect import signature
from typing import Any, Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.x509.oid import AuthorityInformationAccessOID, NameOID


@dataclass(frozen=True, slots=True)
class CaSpec:
    """A CA of the recipe."""

    name: str
    shape: str  # `g1` or `g4`
    issuer: str  # name of the CA above it; empty for a root
    cn: str
    o: str
    organization_identifier: str = ""
    path_length: int | None = None
    policies: tuple[str, ...] = ()
    extended_usages: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of end-entity certificate."""

    name: str
    shape: str
    issuer: str  # name of the CA
    uses: tuple[str, ...]  # `tls`, `signing` or both
    bits: int
    days: int  # validity
    policies: tuple[str, ...]
    usages: tuple[str, ...]  # names as in cryptography's KeyUsage
    extended_usages: tuple[str, ...]  # OIDs, dotted
    dns: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Party:
    """Somebody who gets certificates."""

    name: str  # lower case, digits and hyphens; also the name of its folder
    role: str  # `hub`, `business` or `agency`
    oin: str
    shape: str


@dataclass(frozen=True, slots=True)
class Recipe:
    """What certs/test-pki.toml says."""

    cas: tuple[CaSpec, ...]  # each after its issuer
    kinds: tuple[Kind, ...]
    parties: tuple[Party, ...]


def read_recipe(tables: Mapping[str, Any]) -> Recipe:
    """The recipe out of parsed TOML; a wrong key is a TypeError, the file is ours."""

    def frozen(row: Mapping[str, Any]) -> dict[str, Any]:
        return {key: tuple(value) if isinstance(value, list) else value for key, value in row.items()}

    made = {CaSpec: "ca", Kind: "kind", Party: "identity"}
    return Recipe(*(tuple(make(**frozen(row)) for row in tables[name]) for make, name in made.items()))


SHAPES: Final[dict[str, tuple[hashes.SHA256 | hashes.SHA512, padding.PSS | None]]] = {
    "g1": (hashes.SHA256(), None),
    "g4": (hashes.SHA512(), padding.PSS(padding.MGF1(hashes.SHA512()), 64)),
}
"""Hash and padding (None: PKCS#1 v1.5) of certificates and CRLs.
Source: digipoort 6.1 (G1), 6.2 (G4: SHA-512, MGF1 with SHA-512, salt of 64 octets)."""


@dataclass(frozen=True, slots=True, repr=False)
class Authority:
    """A CA that can sign."""

    name: str
    shape: str
    certificate: x509.Certificate
    key: rsa.RSAPrivateKey


CA_BITS: Final = 4096  # as G1 and G4
ROOT_LIFE: Final = timedelta(days=4748)  # 13 years, as the TRIAL roots (to 2039)
CA_BACKDATED: Final = timedelta(days=800)
"""A CA is older than what it issues, so an expired certificate in a test is wrong in nothing but its dates."""
BACKDATED: Final = timedelta(hours=1)
"""For certificates and CRLs: a partner whose clock is slow must be able to use them at once."""
ADDRESS: Final = "http://pki.test.invalid"  # of CRLs and CA certificates: data only, nothing is ever fetched
_LEGAL_PERSON: Final = bytes.fromhex("3017 3015 0608 2b06010505070b02 3009 0607 04008bec490102")
"""qcStatements: id-qcs-pkixQCSyntax-v2 with id-etsi-qcs-SemanticsId-Legal (EN 319 412-1 5.1.4)."""
_QC_STATEMENTS: Final = x509.ObjectIdentifier("1.3.6.1.5.5.7.1.3")
_Extensions = Iterable[tuple[x509.ExtensionType, bool]]  # each with: critical
_Period = tuple[datetime, datetime]


def issue_ca(spec: CaSpec, key: rsa.RSAPrivateKey, issuer: Authority | None, serial: int, now: datetime) -> Authority:
    """A CA's certificate, signed by its issuer or, for a root, by itself; the serial number has at most 159 bits.
    `now`: the CA counts as 800 days old; a root lives 13 years from now, others end a day before their issuer."""
    end = issuer.certificate.not_valid_after_utc - timedelta(days=1) if issuer else now + ROOT_LIFE
    subject = _name(C="NL", O=spec.o, CN=spec.cn, organizationIdentifier=spec.organization_identifier)
    parent, signer = (issuer.certificate.subject, issuer.key) if issuer else (subject, key)
    extensions, period = _extensions(spec, key.public_key(), issuer), (now - CA_BACKDATED, end)
    builder = _builder(subject, parent, key.public_key(), serial, period, extensions)
    digest, pad = SHAPES[spec.shape]
    return Authority(spec.name, spec.shape, builder.sign(signer, digest, rsa_padding=pad), key)


def issue_end_entity(
    kind: Kind, subject: x509.Name, public_key: rsa.RSAPublicKey, issuer: Authority, serial: int, period: _Period
) -> x509.Certificate:
    """A certificate with a serial number of at most 159 bits, normally from the CA that the kind names."""
    extensions = _extensions(kind, public_key, issuer)
    builder = _builder(subject, issuer.certificate.subject, public_key, serial, period, extensions)
    digest, pad = SHAPES[issuer.shape]
    return builder.sign(issuer.key, digest, rsa_padding=pad)


def subject_of(party: Party, *, with_oin: bool = True) -> x509.Name:
    """The subject of a party's certificate, recognisable as a test; the OIN as a PrintableString, or left out."""
    oin = party.oin if with_oin else ""
    name = f"{'TRIAL' if party.shape == 'g4' else 'TEST'} {party.name}"
    if party.shape == "g4":
        # NTRNL and eight digits of the number inside the OIN: made up, as the number itself is
        return _name(C="NL", O=name, CN=name, organizationIdentifier=f"NTRNL-{party.oin[9:17]}", serialNumber=oin)
    o = f"{name} - not for Production use"
    return _name(C="NL", ST="Zuid-Holland", L="Den Haag", O=o, serialNumber=oin, CN=name)


def make_crl(
    issuer: Authority, revoked: Iterable[tuple[int, datetime]], number: int, period: _Period
) -> x509.CertificateRevocationList:
    """A full CRL of serial numbers, each with its moment; its number is higher than that of the CRL before."""
    builder = x509.CertificateRevocationListBuilder().issuer_name(issuer.certificate.subject)
    builder = builder.last_update(period[0]).next_update(period[1])
    for serial, when in revoked:
        entry = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(when)
        reason = x509.CRLReason(x509.ReasonFlags.cessation_of_operation)
        builder = builder.add_revoked_certificate(entry.add_extension(reason, critical=False).build())
    builder = builder.add_extension(_authority_key(issuer), critical=False)
    digest, pad = SHAPES[issuer.shape]
    return builder.add_extension(x509.CRLNumber(number), critical=False).sign(issuer.key, digest, rsa_padding=pad)


def _extensions(of: CaSpec | Kind, key: rsa.RSAPublicKey, issuer: Authority | None) -> _Extensions:
    if isinstance(of, Kind):
        yield x509.BasicConstraints(False, None), True
        usages, dns, legal_person = of.usages, of.dns, of.shape == "g4"
    else:
        yield x509.BasicConstraints(True, of.path_length), True
        usages = ("key_cert_sign", "crl_sign", *(("digital_signature",) if of.shape == "g4" else ()))
        dns, legal_person = (), bool(of.organization_identifier)
    yield x509.KeyUsage(**{usage: usage in usages for usage in signature(x509.KeyUsage).parameters}), True
    yield x509.SubjectKeyIdentifier.from_public_key(key), False
    if issuer:
        yield from _issuer_extensions(issuer, of.policies)
    if of.extended_usages:
        yield x509.ExtendedKeyUsage([x509.ObjectIdentifier(oid) for oid in of.extended_usages]), False
    if dns:
        yield x509.SubjectAlternativeName([x509.DNSName(name) for name in dns]), False
    if legal_person:
        yield x509.UnrecognizedExtension(_QC_STATEMENTS, _LEGAL_PERSON), False


def _builder(
    subject: x509.Name, issuer: x509.Name, key: rsa.RSAPublicKey, serial: int, period: _Period, extensions: _Extensions
) -> x509.CertificateBuilder:
    builder = x509.CertificateBuilder().issuer_name(issuer).subject_name(subject).public_key(key)
    builder = builder.serial_number(serial).not_valid_before(period[0]).not_valid_after(period[1])
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical)
    return builder


_NAME_OIDS: Final = {
    "C": NameOID.COUNTRY_NAME,
    "ST": NameOID.STATE_OR_PROVINCE_NAME,
    "L": NameOID.LOCALITY_NAME,
    "O": NameOID.ORGANIZATION_NAME,
    "CN": NameOID.COMMON_NAME,
    "organizationIdentifier": NameOID.ORGANIZATION_IDENTIFIER,
    "serialNumber": NameOID.SERIAL_NUMBER,
}


def _name(**parts: str) -> x509.Name:
    # cryptography writes C and serialNumber as PrintableString, the rest as UTF8String
    return x509.Name([x509.NameAttribute(_NAME_OIDS[key], value) for key, value in parts.items() if value])


def _issuer_extensions(issuer: Authority, policies: tuple[str, ...]) -> _Extensions:
    yield _authority_key(issuer), False
    crl = x509.UniformResourceIdentifier(f"{ADDRESS}/{issuer.name}.crl")
    yield x509.CRLDistributionPoints([x509.DistributionPoint([crl], None, None, None)]), False
    certificate = x509.UniformResourceIdentifier(f"{ADDRESS}/{issuer.name}.cer")
    access = x509.AccessDescription(AuthorityInformationAccessOID.CA_ISSUERS, certificate)
    yield x509.AuthorityInformationAccess([access]), False
    oids = [x509.PolicyInformation(x509.ObjectIdentifier(oid), None) for oid in policies]
    yield x509.CertificatePolicies(oids), False


def _authority_key(issuer: Authority) -> x509.AuthorityKeyIdentifier:
    key = issuer.certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(key)
