"""CRLs: verified, in date, of the right scope, of every CA on the path; else everything below is refused."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from asn1crypto import crl as asn1_crl
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from helpers_pki import KEY, NOW, as_certificate, authority, crl_der, issued, shared, signing_leaf

from digipoort_as4.errors import ConfigError, PeerError
from digipoort_as4.pki import test_pki
from digipoort_as4.pki.certificates import Purpose, load_certificate
from digipoort_as4.pki.issuing import Authority, make_crl
from digipoort_as4.pki.path import Trust, build_trust
from digipoort_as4.pki.revocation import CrlIndex, load_crls

HOUR = timedelta(hours=1)
PERIOD = (NOW - HOUR, NOW + 48 * HOUR)
Lists = dict[str, bytes]


def lists_of(made: Path) -> Lists:
    """The DER of each CA's CRL, by the CA's name."""
    return {path.stem: load_crls(path.read_bytes())[0] for path in test_pki.crls(made)}


def with_crls(trust: Trust, lists: Lists) -> Trust:
    index = CrlIndex.from_crls(lists.values(), (*trust.anchors, *trust.intermediates))
    return build_trust(trust.anchors, trust.intermediates, index, trust.policies, "test")


def cause_of(made: Path, trust: Trust, lists: Lists, at: datetime = NOW, party: str = "digipoort") -> str:
    """What `judge` says of a party under other CRLs; empty when it is good."""
    leaf = signing_leaf(test_pki.find_identity(made, party))
    try:
        with_crls(trust, lists).judge(leaf, at, Purpose.SIGNING)
    except PeerError as refused:
        return refused.cause.name
    return ""


# --- every CA on the path ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ca", ["g1-root", "g1-domain", "g1-tsp"])
def test_a_missing_crl_of_any_ca_refuses_what_is_below(made: Path, trusted: Trust, ca: str) -> None:
    """Root, domain and TSP each answer for their own (PKI003); the other tree goes on."""
    lists = lists_of(made)
    assert "" == cause_of(made, trusted, lists)
    lists.pop(ca)
    assert "revocation-unavailable" == cause_of(made, trusted, lists)
    assert "" == cause_of(made, trusted, lists, party="installatie-deboer")


@pytest.mark.parametrize("ca", ["g1-root", "g1-domain", "g1-tsp", "g4-lp-root", "g4-lp-domain", "g4-lp-tsp"])
def test_a_stale_crl_of_any_ca_refuses_what_is_below(made: Path, trusted: Trust, ca: str) -> None:
    """Good up to nextUpdate, refused a second later (threats P06)."""
    party = "digipoort" if ca.startswith("g1") else "installatie-deboer"
    lists = lists_of(made)
    end = NOW + HOUR
    lists[ca] = crl_der(make_crl(authority(made, ca), [], 9, (NOW - HOUR, end)))
    assert "" == cause_of(made, trusted, lists, end, party)
    assert "revocation-unavailable" == cause_of(made, trusted, lists, end + timedelta(seconds=1), party)


def test_a_crl_of_the_future_does_not_count(made: Path, trusted: Trust) -> None:
    """Good from thisUpdate on."""
    lists = lists_of(made)
    lists["g1-tsp"] = crl_der(make_crl(authority(made, "g1-tsp"), [], 9, (NOW + HOUR, NOW + 2 * HOUR)))
    assert "revocation-unavailable" == cause_of(made, trusted, lists)
    assert "" == cause_of(made, trusted, lists, NOW + HOUR)


@pytest.mark.parametrize(("above", "ca"), [("g1-root", "g1-domain"), ("g1-domain", "g1-tsp")])
def test_a_revoked_ca_takes_everything_with_it(made: Path, trusted: Trust, above: str, ca: str) -> None:
    """A party is refused because a CA above it is on the CRL."""
    lists = lists_of(made)
    serial = authority(made, ca).certificate.serial_number
    lists[above] = crl_der(make_crl(authority(made, above), [(serial, NOW)], 9, PERIOD))
    assert "certificate-revoked" == cause_of(made, trusted, lists)


def test_revoking_a_party_refuses_it_and_nobody_else(pki: Path) -> None:
    """Both its certificates, in g4; its serial number under another CA means nothing."""
    test_pki.revoke(pki, "installatie-deboer", NOW)
    trust = test_pki.trust(pki)
    lists = lists_of(pki)
    assert "certificate-revoked" == cause_of(pki, trust, lists, party="installatie-deboer")
    for party in ("digipoort", "digipoort-g4", "cbs"):
        assert "" == cause_of(pki, trust, lists, party=party)


def test_the_newest_crl_counts(made: Path, trusted: Trust) -> None:
    """Revoked since the older one; the order in which they are given does not matter."""
    tsp, lists = authority(made, "g1-tsp"), lists_of(made)
    serial = signing_leaf(test_pki.find_identity(made, "digipoort")).x509.serial_number
    lists["newer"] = crl_der(make_crl(tsp, [(serial, NOW)], 9, (NOW - HOUR / 2, NOW + HOUR)))
    assert "certificate-revoked" == cause_of(made, trusted, lists)
    assert "certificate-revoked" == cause_of(made, trusted, dict(reversed(lists.items())))


# --- CRLs that do not count -------------------------------------------------------------------------------------------


def resigned(ca: Authority, *extensions: tuple[x509.ExtensionType, bool], serial: int = 0) -> bytes:
    """A CRL with these extensions, and one entry when a serial number is given."""
    builder = x509.CertificateRevocationListBuilder().issuer_name(ca.certificate.subject)
    builder = builder.last_update(PERIOD[0]).next_update(PERIOD[1])
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical)
    if serial:
        entry = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(NOW)
        builder = builder.add_revoked_certificate(entry.build())
    return crl_der(builder.sign(ca.key, hashes.SHA256()))


def scope(**change: object) -> tuple[x509.ExtensionType, bool]:
    fields = {
        "full_name": None,
        "relative_name": None,
        "only_contains_user_certs": False,
        "only_contains_ca_certs": False,
        "only_some_reasons": None,
        "indirect_crl": False,
        "only_contains_attribute_certs": False,
    }
    return x509.IssuingDistributionPoint(**{**fields, **change}), True  # type: ignore[arg-type]


def names(*urls: str) -> list[x509.GeneralName]:
    return [x509.UniformResourceIdentifier(url) for url in urls]


def flipped(der: bytes) -> bytes:
    return der[:-1] + bytes([der[-1] ^ 1])


def renamed_key(ca: Authority) -> Authority:
    return Authority(ca.name, ca.shape, ca.certificate, KEY)


NULL = b"\x05\x00"
ODD = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), NULL)

ACCEPTED: dict[str, Callable[[Authority], bytes]] = {
    "plain": lambda ca: resigned(ca),
    "an unknown extension": lambda ca: resigned(ca, (ODD, False)),
    "for user certificates": lambda ca: resigned(ca, scope(only_contains_user_certs=True)),
    "for the certificate's distribution point": lambda ca: resigned(
        ca, scope(full_name=names("http://other.test.invalid/x.crl", "http://pki.test.invalid/g1-tsp.crl"))
    ),
    "somebody else is revoked": lambda ca: resigned(ca, serial=1),
}
REFUSED: dict[str, Callable[[Authority], bytes]] = {
    "signature broken": lambda ca: flipped(resigned(ca)),
    "signed by a namesake": lambda ca: resigned(renamed_key(ca)),
    "no CRL at all": lambda ca: b"\x30\x00",
    "an octet behind it": lambda ca: resigned(ca) + b"\x00",
    "an unknown critical extension": lambda ca: resigned(ca, (ODD, True)),
    "for CA certificates": lambda ca: resigned(ca, scope(only_contains_ca_certs=True)),
    "for another distribution point": lambda ca: resigned(ca, scope(full_name=names("http://pki.test.invalid/x.crl"))),
    "indirect": lambda ca: resigned(ca, scope(indirect_crl=True)),
    "for some reasons": lambda ca: resigned(ca, scope(only_some_reasons=frozenset({x509.ReasonFlags.key_compromise}))),
    "delta only": lambda ca: resigned(ca, (x509.DeltaCRLIndicator(1), True)),
    "an entry with an unknown critical extension": lambda ca: odd_entry(ca),
    "no nextUpdate": lambda ca: endless(ca),
}


def odd_entry(ca: Authority) -> bytes:
    builder = x509.CertificateRevocationListBuilder().issuer_name(ca.certificate.subject)
    builder = builder.last_update(PERIOD[0]).next_update(PERIOD[1])
    entry = x509.RevokedCertificateBuilder().serial_number(1).revocation_date(NOW).add_extension(ODD, critical=True)
    return crl_der(builder.add_revoked_certificate(entry.build()).sign(ca.key, hashes.SHA256()))


def endless(ca: Authority) -> bytes:
    """A CRL without nextUpdate, signed again."""
    parsed = asn1_crl.CertificateList.load(resigned(ca))
    del parsed["tbs_cert_list"]["next_update"]
    parsed["signature"] = ca.key.sign(parsed["tbs_cert_list"].dump(force=True), padding.PKCS1v15(), hashes.SHA256())
    return parsed.dump(force=True)


@pytest.mark.parametrize("make", ACCEPTED.values(), ids=ACCEPTED)
def test_crls_that_count(made: Path, trusted: Trust, make: Callable[[Authority], bytes]) -> None:
    """Each in the place of the TSP CA's CRL."""
    lists = lists_of(made) | {"g1-tsp": make(authority(made, "g1-tsp"))}
    assert "" == cause_of(made, trusted, lists)


@pytest.mark.parametrize("make", REFUSED.values(), ids=REFUSED)
def test_crls_that_do_not_count(made: Path, trusted: Trust, make: Callable[[Authority], bytes]) -> None:
    """The same with one thing wrong: as if there were none (threats P04)."""
    lists = lists_of(made) | {"g1-tsp": make(authority(made, "g1-tsp"))}
    assert "revocation-unavailable" == cause_of(made, trusted, lists)


def test_what_is_left_out_is_named(made: Path, trusted: Trust) -> None:
    """For the journal: which CA and why."""
    tsp = authority(made, "g1-tsp")
    issuers = (*trusted.anchors, *trusted.intermediates)
    index = CrlIndex.from_crls([resigned(tsp), flipped(resigned(tsp))], issuers)
    (problem,) = index.problems
    assert "TEST TSP PKIoverheid Private Services CA - G1" in problem
    assert "signature" in problem


def test_a_delta_crl_adds_to_the_full_one(made: Path, trusted: Trust) -> None:
    """Revoked in the delta is revoked; a delta without it changes nothing."""
    tsp, lists = authority(made, "g1-tsp"), lists_of(made)
    serial = signing_leaf(test_pki.find_identity(made, "digipoort")).x509.serial_number
    delta = (x509.DeltaCRLIndicator(1), True)
    assert "" == cause_of(made, trusted, lists | {"delta": resigned(tsp, delta, serial=1)})
    assert "certificate-revoked" == cause_of(made, trusted, lists | {"delta": resigned(tsp, delta, serial=serial)})


def test_a_ca_without_crl_sign_signs_no_crl(made: Path, trusted: Trust) -> None:
    """Its CRL verifies, its key usage does not allow it."""
    tsp = authority(made, "g1-tsp")
    leaf = issued(tsp)
    index = CrlIndex.from_crls([resigned(tsp)], trusted.intermediates)
    (issuer,) = [ca for ca in trusted.intermediates if ca.x509 == tsp.certificate]
    index.check(leaf, issuer, NOW)
    party = issued(tsp)  # same key usage as any end entity: no crl_sign
    forged = CrlIndex.from_crls([resigned(Authority("x", "g1", party.x509, KEY))], [party])
    with pytest.raises(PeerError, match="may not sign CRLs"):
        forged.check(leaf, party, NOW)


# --- files ------------------------------------------------------------------------------------------------------------


def test_crl_files_are_pem_or_der(made: Path) -> None:
    """Several in one PEM file too; anything else is named as such."""
    one, two = (path.read_bytes() for path in test_pki.crls(made)[:2])
    assert 2 == len(load_crls(one + b"some text\n" + two))
    assert load_crls(one) == load_crls(load_crls(one)[0])
    for broken in (b"", b"text", one[:-40] + b"AAAA\n-----END X509 CRL-----\n", load_crls(one)[0][:-1]):
        with pytest.raises(ConfigError, match="expected a CRL"):
            load_crls(broken)


# --- BoringSSL's cases ------------------------------------------------------------------------------------------------

BORINGSSL = datetime(2017, 3, 9, tzinfo=UTC)
OTHER_RULE = {
    "bad_thisupdate_too_old": "BoringSSL asks for a CRL of at most a week; we go by nextUpdate (PKI003)",
    "invalid_revoked_empty_sequence": "an empty list instead of none: CAs write it, and it cannot be misread",
    "good_no_nextupdate": "a CRL must say until when it counts (decision: an expired CRL refuses everything)",
    "good_fake_extension_no_nextupdate": "the same",
    "good_key_rollover": "a CRL counts when the key that signed the certificate signed it",
}


def test_boringssl_crls() -> None:
    """66 CRLs with one leaf: good, bad, invalid or revoked by file name, but for five where our rule is another."""
    files = sorted(shared("suites", "x509-boringssl", "crl_unittest").glob("*.pem"))
    accepted = {path.stem for path in files if boringssl_verdict(path) == "good"}
    good = {path.stem for path in files if path.stem.startswith("good")}
    assert set(OTHER_RULE) == good ^ accepted
    assert 66 == len(files)


def boringssl_verdict(path: Path) -> str:
    blocks = re.findall(r"-----BEGIN ([A-Z0-9 ]+)-----(.*?)-----END", path.read_text(), re.DOTALL)
    octets = {name: base64.b64decode(text) for name, text in blocks}
    try:
        issuers = [load_certificate(der) for name, der in octets.items() if name.startswith("CA CERT")]
        leaf = load_certificate(octets["CERTIFICATE"])
        CrlIndex.from_crls([octets["CRL"]], issuers).check(leaf, issuers[0], BORINGSSL)
    except PeerError as refused:
        return refused.cause.name
    return "good"


def test_a_certificate_with_another_crl_issuer_is_not_covered(made: Path, trusted: Trust) -> None:
    """cRLIssuer in the certificate asks for an indirect CRL; that of its own CA does not answer then."""
    tsp = authority(made, "g1-tsp")
    template = issued(tsp).x509
    (issuer,) = [ca for ca in trusted.intermediates if ca.x509 == tsp.certificate]
    index = CrlIndex.from_crls([resigned(tsp)], [issuer])

    def leaf(crl_issuer: list[x509.GeneralName] | None) -> x509.Certificate:
        builder = x509.CertificateBuilder().subject_name(template.subject).issuer_name(template.issuer)
        builder = builder.public_key(KEY.public_key()).serial_number(6).not_valid_before(NOW)
        point = x509.DistributionPoint(names("http://pki.test.invalid/g1-tsp.crl"), None, None, crl_issuer)
        builder = builder.add_extension(x509.CRLDistributionPoints([point]), critical=False)
        return builder.not_valid_after(NOW + HOUR).sign(tsp.key, hashes.SHA256())

    index.check(as_certificate(leaf(None)), issuer, NOW)
    with pytest.raises(PeerError, match="revocation-unavailable"):
        index.check(as_certificate(leaf([x509.DirectoryName(template.issuer)])), issuer, NOW)
