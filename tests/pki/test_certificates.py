"""Reading certificates: form, OIN, key, purpose. Each check with a good one and with one thing wrong."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from asn1crypto import core
from asn1crypto import x509 as asn1
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from helpers_pki import (
    KEY,
    KIND,
    authority,
    issued,
    leaf_of,
    rewritten,
    self_signed,
    shared,
    signing_leaf,
    with_subject,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from digipoort_as4 import limits
from digipoort_as4.errors import PeerError
from digipoort_as4.pki import test_pki
from digipoort_as4.pki.certificates import (
    TEST_POLICIES,
    Purpose,
    check_key,
    check_purpose,
    load_certificate,
    load_pem,
    read_oin,
)
from digipoort_as4.pki.issuing import subject_of
from digipoort_as4.pki.path import Trust

P, U, B, T = core.PrintableString, core.UTF8String, core.BMPString, core.TeletexString
GOOD = self_signed()


def cause_of(call: Callable[..., object], *arguments: object) -> str:
    with pytest.raises(PeerError) as refused:
        call(*arguments)
    return refused.value.cause.name


# --- form -------------------------------------------------------------------------------------------------------------


def test_a_certificate_is_its_octets() -> None:
    """Equal octets give equal certificates, with the fingerprint that openssl would print."""
    certificate = load_certificate(GOOD)
    assert certificate == load_certificate(bytes(bytearray(GOOD)))
    assert certificate.sha256 == certificate.x509.fingerprint(x509.base.hashes.SHA256())
    assert certificate.public_key.public_numbers() == KEY.public_key().public_numbers()


def set_serial(value: int) -> bytes:
    def change(tbs: asn1.TbsCertificate) -> None:
        tbs["serial_number"] = value

    return rewritten(GOOD, change)


def set_version(value: str) -> bytes:
    def change(tbs: asn1.TbsCertificate) -> None:
        tbs["version"] = value

    return rewritten(GOOD, change)


def doubled_extension() -> bytes:
    extension = (x509.BasicConstraints(ca=False, path_length=None), True)

    def change(tbs: asn1.TbsCertificate) -> None:
        tbs["extensions"].append(tbs["extensions"][0])

    return rewritten(self_signed(extensions=[extension]), change)


def long_form_length() -> bytes:
    """The signature BIT STRING with a length in more octets than needed: BER, not DER."""
    certificate = asn1.Certificate.load(GOOD)
    signature = certificate["signature_value"].dump()
    assert signature[:4] == b"\x03\x82\x01\x01"
    loose = signature[:1] + b"\x83\x00\x01\x01" + signature[4:]
    inner = certificate["tbs_certificate"].dump() + certificate["signature_algorithm"].dump() + loose
    return b"\x30\x82" + len(inner).to_bytes(2, "big") + inner


MALFORMED = {
    "nothing": b"",
    "an octet behind it": GOOD + b"\x00",
    "an octet short": GOOD[:-1],
    "PEM": b"-----BEGIN CERTIFICATE-----\n",
    "too large": self_signed(
        extensions=[(x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3"), b"0" * 17_000), False)]
    ),
    "negative serial number": set_serial(-5),
    "serial number zero": set_serial(0),
    "serial number of 21 octets": set_serial(1 << 161),
    "version 1": set_version("v1"),
    "an extension twice": doubled_extension(),
    "BER": long_form_length(),
}


@pytest.mark.filterwarnings("ignore:Parsed a serial number")
@pytest.mark.parametrize("der", MALFORMED.values(), ids=MALFORMED)
def test_malformed_certificates_are_refused(der: bytes) -> None:
    """Only strict DER of one X.509 v3 certificate is read."""
    assert "certificate-malformed" == cause_of(load_certificate, der)


def test_size_limit_is_the_token_limit() -> None:
    """The certificate of the case "too large" is refused for its size and for nothing else."""
    assert len(MALFORMED["too large"]) > limits.TOKEN
    just = self_signed(extensions=[(x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3"), b"0" * 15_000), False)])
    assert load_certificate(just).der == just


def test_pem_gives_all_certificates_in_order() -> None:
    """Text around the certificates is allowed, a file without any is refused."""
    text = b"our chain\n" + b"then\n".join(
        x509.load_der_x509_certificate(der).public_bytes(Encoding.PEM) for der in (GOOD, set_serial(9))
    )
    assert [GOOD, set_serial(9)] == [certificate.der for certificate in load_pem(text)]
    assert "certificate-malformed" == cause_of(load_pem, b"no certificate")


# --- OIN --------------------------------------------------------------------------------------------------------------

OIN = "00000099000000101000"


@pytest.mark.parametrize(
    "oin",
    [
        "00000099000000101000",
        "00000004003214345001",  # Logius, suffix 001: real
        "00000002003214394002",  # Belastingdienst test, suffix 002: real
        "00000003123456780000",  # KvK: eight digits and 0000
        "00000007000012AB3000",  # BRIN
    ],
)
def test_oin_is_read(oin: str) -> None:
    """Prefix, number and suffix as they occur, letters in the BRIN register."""
    assert oin == read_oin(with_subject([("common_name", U("x"))], [("serial_number", P(oin))]))


def test_oin_as_utf8_string_is_read() -> None:
    """Some CAs write UTF8String; the octets are the same."""
    assert OIN == read_oin(with_subject([("serial_number", U(OIN))]))


LOOKALIKES = {
    "none": [[("common_name", U("x"))]],
    "two RDNs": [[("serial_number", P(OIN))], [("serial_number", P("00000099000000102000"))]],
    "the same twice": [[("serial_number", P(OIN))], [("serial_number", P(OIN))]],
    "two in one RDN": [[("serial_number", P(OIN)), ("serial_number", P("00000099000000102000"))]],
    "beside a name in one RDN": [[("serial_number", P(OIN)), ("common_name", U("x"))]],
    "in CN": [[("common_name", U(OIN))]],
    "in CN, openssl style": [[("common_name", U(f"x/serialNumber={OIN}"))]],
    "in O": [[("organization_name", U(OIN))]],
    "leading space": [[("serial_number", P(" " + OIN))]],
    "trailing line end": [[("serial_number", U(OIN + "\n"))]],
    "19 digits": [[("serial_number", P(OIN[:-1]))]],
    "21 digits": [[("serial_number", P(OIN + "0"))]],
    "full-width digits": [[("serial_number", U("０" * 20))]],
    "arabic digits": [[("serial_number", U("٠" * 20))]],
    "NUL behind": [[("serial_number", U(OIN + "\x00"))]],
    "NUL within": [[("serial_number", U(OIN[:19] + "\x00"))]],
    "letters outside BRIN": [[("serial_number", P("0000009900000010100A"))]],
    "small letters": [[("serial_number", P("00000007000012ab3000"))]],
    "BMPString": [[("serial_number", B(OIN))]],
    "TeletexString": [[("serial_number", T(OIN))]],
    "empty": [[("serial_number", P(""))]],
}


@pytest.mark.parametrize("rdns", LOOKALIKES.values(), ids=LOOKALIKES)
def test_what_only_looks_like_an_oin_is_refused(rdns: list[list[tuple[str, core.Asn1Value]]]) -> None:
    """One serialNumber, alone in its RDN, of twenty ASCII positions (threats R12, R13); malformed is fine as well."""
    with pytest.raises(PeerError) as refused:
        read_oin(with_subject(*rdns))
    assert refused.value.cause.name in {"oin-missing", "certificate-malformed"}


def test_oin_of_real_certificates() -> None:
    """As openssl prints it for the Aansluit Suite and for pre-production."""
    for name in ("cs-bedrijven-procesinfrastructuur-nl.pem", "preprod-dgp2-procesinfrastructuur-nl.pem"):
        text = shared("certs", name).read_bytes()
        assert "00000004003214345001" == read_oin(load_pem(text)[0])


def test_order_of_the_subject_does_not_matter() -> None:
    """serialNumber first or last gives the same OIN."""
    first = with_subject([("serial_number", P(OIN))], [("common_name", U("x"))])
    last = with_subject([("common_name", U("x"))], [("serial_number", P(OIN))])
    assert OIN == read_oin(first) == read_oin(last)


# --- key --------------------------------------------------------------------------------------------------------------


def rsa_key(bits: int, e: int = 65_537) -> rsa.RSAPublicKey:
    """A public key of a size; nobody has the private one."""
    return rsa.RSAPublicNumbers(e, (1 << (bits - 1)) + 1).public_key()


KEYS = {
    "RSA 2048": (rsa_key(2048), True),
    "RSA 3072": (rsa_key(3072), True),
    "RSA 4096": (rsa_key(4096), True),
    "P-256": (ec.generate_private_key(ec.SECP256R1()).public_key(), True),
    "P-384": (ec.generate_private_key(ec.SECP384R1()).public_key(), True),
    "RSA 1024": (rsa_key(1024), False),
    "RSA 2047": (rsa_key(2047), False),
    "RSA 16384": (rsa_key(16_384), False),
    "RSA with exponent 3": (rsa_key(2048, 3), False),
    "RSA with a huge exponent": (rsa_key(2048, 2**33 + 1), False),
    "secp256k1": (ec.generate_private_key(ec.SECP256K1()).public_key(), False),
    "Brainpool": (ec.generate_private_key(ec.BrainpoolP256R1()).public_key(), False),
    "Ed25519": (ed25519.Ed25519PrivateKey.generate().public_key(), False),
    "DSA": (dsa.generate_private_key(1024).public_key(), False),
}


@pytest.mark.parametrize(("key", "good"), KEYS.values(), ids=KEYS)
def test_keys(key: object, good: bool) -> None:
    """RSA of 2048 to 8192 bits and NIST curves; nothing else (threats P14)."""
    certificate = load_certificate(self_signed(key))
    if good:
        check_key(certificate)
    else:
        assert "key-weak" == cause_of(check_key, certificate)


# --- purpose ----------------------------------------------------------------------------------------------------------

SERVER, AUTHENTICITY_G1 = "2.16.528.1.1003.1.2.8.6", "2.16.528.1.1003.1.2.8.4"
TLS_SYS, AUTHENTICATION, AUTHENTICITY = (
    "2.16.528.1.1003.1.2.41.15.35.11",
    "2.16.528.1.1003.1.2.41.16.25.8",
    "2.16.528.1.1003.1.2.41.16.25.4",
)
CLIENT_AUTH, SERVER_AUTH, DOCUMENTS = "1.3.6.1.5.5.7.3.2", "1.3.6.1.5.5.7.3.1", "1.3.6.1.5.5.7.3.36"
BOTH = (CLIENT_AUTH, SERVER_AUTH)
SIGN, CLIENT, SERVE = Purpose.SIGNING, Purpose.TLS_CLIENT, Purpose.TLS_SERVER

TYPES = {
    "G1 server": (SERVER, BOTH, {SIGN, CLIENT, SERVE}),
    "G1 authenticity": (AUTHENTICITY_G1, (CLIENT_AUTH, DOCUMENTS), {SIGN}),
    "G4 TLS SYS": (TLS_SYS, BOTH, {CLIENT, SERVE}),
    "G4 authentication": (AUTHENTICATION, (CLIENT_AUTH,), {CLIENT}),
    "G4 authenticity": (AUTHENTICITY, (DOCUMENTS,), {SIGN}),
    "G4 authenticity, Microsoft's usage": (AUTHENTICITY, ("1.3.6.1.4.1.311.10.3.12",), {SIGN}),
}


@pytest.mark.parametrize("purpose", list(Purpose))
@pytest.mark.parametrize(("policy", "extended", "good"), TYPES.values(), ids=TYPES)
def test_each_type_has_its_uses(
    made: Path, policy: str, extended: tuple[str, ...], good: set[Purpose], purpose: Purpose
) -> None:
    """The type, known by its policy OID, says what a certificate is for (digipoort 6.2, 6.3)."""
    kind = replace(KIND, policies=(policy,), extended_usages=extended)
    certificate = issued(authority(made, "g1-tsp"), kind)
    if purpose in good:
        check_purpose(certificate, purpose, TEST_POLICIES)
    else:
        assert "certificate-purpose" == cause_of(check_purpose, certificate, purpose, TEST_POLICIES)


WRONG = {
    "no digitalSignature": replace(KIND, usages=("key_encipherment",)),
    "non-repudiation only": replace(KIND, usages=("content_commitment",)),
    "serverAuth only": replace(KIND, extended_usages=(SERVER_AUTH,)),
    "anyExtendedKeyUsage only": replace(KIND, extended_usages=("2.5.29.37.0",)),
    "another policy": replace(KIND, policies=("2.16.528.1.1003.1.2.8.5",)),
    "any policy": replace(KIND, policies=("2.5.29.32.0",)),
    "the G4 production policy in a test": replace(KIND, policies=("2.16.528.1.1003.1.2.44.16.25.4",)),
}


@pytest.mark.parametrize("kind", WRONG.values(), ids=WRONG)
def test_wrong_types_do_not_sign(made: Path, kind: object) -> None:
    """The good one with one thing changed (threats P09, P10)."""
    tsp = authority(made, "g1-tsp")
    check_purpose(issued(tsp), SIGN, TEST_POLICIES)
    assert "certificate-purpose" == cause_of(check_purpose, issued(tsp, kind), SIGN, TEST_POLICIES)  # type: ignore[arg-type]


@pytest.mark.parametrize("missing", ["key_usage", "extended_key_usage", "certificate_policies"])
def test_a_missing_extension_is_not_permission(made: Path, missing: str) -> None:
    """RFC 5280 reads an absent usage as any; PKIoverheid always states it, so absent is wrong."""

    def change(tbs: asn1.TbsCertificate) -> None:
        tbs["extensions"] = [row for row in tbs["extensions"] if row["extn_id"].native != missing]

    certificate = load_certificate(rewritten(issued(authority(made, "g1-tsp")).der, change))
    assert "certificate-purpose" == cause_of(check_purpose, certificate, SIGN, TEST_POLICIES)


def test_a_ca_neither_signs_nor_connects(made: Path) -> None:
    """Also not the TSP CA of G4, which has digitalSignature, the policies and the extended usages."""
    ca = next(ca for ca in load_pem((made / "intermediates.pem").read_bytes()) if "PKIo Priv G-Other" in ca.subject)
    for purpose in Purpose:
        assert "certificate-purpose" == cause_of(check_purpose, ca, purpose, TEST_POLICIES)


def test_policies_are_the_callers_choice(made: Path) -> None:
    """A type that is known but not accepted is refused."""
    certificate = issued(authority(made, "g1-tsp"))
    check_purpose(certificate, SIGN, frozenset({SERVER}))
    assert "certificate-purpose" == cause_of(check_purpose, certificate, SIGN, frozenset({AUTHENTICITY_G1}))


# --- strangers' octets ------------------------------------------------------------------------------------------------


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_any_octets_end_in_a_verdict(made: Path, trusted: Trust, data: st.DataObject) -> None:
    """A certificate with octets changed anywhere is read or refused with a named cause; nothing else is raised."""
    party = data.draw(st.sampled_from(["bakkerij-jansen", "installatie-deboer"]))
    octets = bytearray(signing_leaf(test_pki.find_identity(made, party)).der)
    for _ in range(data.draw(st.integers(1, 3))):
        octets[data.draw(st.integers(0, len(octets) - 1))] = data.draw(st.integers(0, 255))
    try:
        certificate = load_certificate(bytes(octets))
        read_oin(certificate)
        trusted.judge(certificate, certificate.not_before, SIGN)
    except PeerError:
        pass


def test_a_name_that_is_a_bit_string_is_refused(made: Path) -> None:
    """The library raises TypeError for one; a stranger's certificate must end in a named cause all the same."""
    der = signing_leaf(test_pki.find_identity(made, "installatie-deboer")).der
    organisation = der.rindex(b"\x06\x03\x55\x04\x0a")  # the subject's, behind the issuer's

    broken = bytearray(der)
    broken[organisation + 5] = 0x03  # BIT STRING where a text stood

    with pytest.raises(PeerError) as refusal:
        load_certificate(bytes(broken))
    assert "certificate-malformed" == refusal.value.cause.name


def test_subject_is_a_printable_string_oin(made: Path) -> None:
    """The test PKI writes the OIN as X.520 says."""
    identity = test_pki.find_identity(made, "bakkerij-jansen")
    name = asn1.Certificate.load(leaf_of(identity.signing_cert).der).subject.chosen
    value = next(pair["value"] for rdn in name for pair in rdn if pair["type"].native == "serial_number")
    assert ("printable_string", "00000099000000101000") == (value.name, value.native)
    assert (
        subject_of(test_pki.Party("x", "hub", OIN, "g1"), with_oin=False).get_attributes_for_oid(NameOID.SERIAL_NUMBER)
        == []
    )
