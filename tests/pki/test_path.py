"""Trust: paths to an anchor, verdicts and how long they hold, and kinds that never mix."""

from __future__ import annotations

import base64
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from asn1crypto import x509 as asn1
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from helpers_pki import KEY, KIND, NOW, YEAR, as_certificate, authority, issued, leaf_of, shared, signing_leaf, subject
from lxml import etree

from digipoort_as4.errors import ConfigError, PeerError
from digipoort_as4.pki import test_pki
from digipoort_as4.pki.certificates import (
    PRODUCTION_POLICIES,
    TEST_POLICIES,
    Certificate,
    Purpose,
    load_certificate,
    load_pem,
    read_oin,
)
from digipoort_as4.pki.issuing import Authority, CaSpec, issue_ca, issue_end_entity
from digipoort_as4.pki.path import Trust, build_trust, is_test_ca
from digipoort_as4.pki.revocation import CrlIndex

SIGN = Purpose.SIGNING


def cause_of(trust: Trust, certificate: Certificate, at: datetime = NOW, purpose: Purpose = SIGN) -> str:
    with pytest.raises(PeerError) as refused:
        trust.judge(certificate, at, purpose)
    return refused.value.cause.name


def without_crls(trust: Trust, *more: Certificate) -> Trust:
    """The same anchors, with more CAs to build paths with, and no look at revocation."""
    return build_trust(trust.anchors, (*trust.intermediates, *more), None, trust.policies, "test")


# --- good -------------------------------------------------------------------------------------------------------------


def test_every_party_is_trusted_for_its_uses(made: Path, trusted: Trust) -> None:
    """Signing and both ends of TLS, over four layers, root last (digipoort 6.1)."""
    for identity in test_pki.identities(made):
        path = trusted.judge(signing_leaf(identity), NOW, SIGN).path
        assert 4 == len(path)
        assert path[0] == signing_leaf(identity)
        assert path[-1] in trusted.anchors
        for purpose in (Purpose.TLS_CLIENT, Purpose.TLS_SERVER):
            assert 4 == len(trusted.judge(leaf_of(identity.tls_cert), NOW, purpose).path)


def test_g4_certificates_do_one_thing(made: Path, trusted: Trust) -> None:
    """TLS-SYS does not sign and Authenticity does not connect (decision 9)."""
    identity = test_pki.find_identity(made, "installatie-deboer")
    assert "certificate-purpose" == cause_of(trusted, leaf_of(identity.tls_cert))
    assert "certificate-purpose" == cause_of(trusted, signing_leaf(identity), NOW, Purpose.TLS_CLIENT)


async def test_judging_works_inside_an_event_loop(made: Path, trusted: Trust) -> None:
    """The path library is asynchronous; we never hand it a loop."""
    fresh = replace(trusted, _verdicts={})
    assert fresh.judge(signing_leaf(test_pki.find_identity(made, "digipoort")), NOW, SIGN).revocation_checked


# --- broken on purpose ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", ["g1", "g4"])
@pytest.mark.parametrize(
    ("flaw", "cause"),
    [
        ("expired", "certificate-expired"),
        ("revoked", "certificate-revoked"),
        ("untrusted", "certificate-untrusted"),
        ("wrong_purpose", "certificate-purpose"),
        ("weak_key", "key-weak"),
        ("no_oin", "oin-missing"),
    ],
)
def test_each_flaw_is_refused_for_itself(pki: Path, shape: str, flaw: str, cause: str) -> None:
    """One thing wrong with the signing certificate; the connection's own stays good unless asked otherwise."""
    good = test_pki.issue(pki, "party", "00000099000000104000", shape, "business", NOW)
    bad = test_pki.issue(pki, "broken", "00000099000000104000", shape, "business", NOW, **{flaw: True})
    trust = test_pki.trust(pki)
    assert read_oin(trust.judge(signing_leaf(good), NOW, SIGN).path[0]) == good.oin
    trust.judge(leaf_of(bad.tls_cert), NOW, Purpose.TLS_CLIENT)
    with pytest.raises(PeerError) as refused:
        read_oin(trust.judge(signing_leaf(bad), NOW, SIGN).path[0])
    assert cause == refused.value.cause.name


def test_an_expired_certificate_was_good_once(pki: Path) -> None:
    """So the flaw is its dates and nothing else; revocation at that time is not known any more."""
    bad = test_pki.issue(pki, "broken", "00000099000000104000", "g1", "business", NOW, expired=True)
    trust = without_crls(test_pki.trust(pki))
    assert not trust.judge(signing_leaf(bad), NOW - timedelta(days=2), SIGN).revocation_checked
    assert "certificate-expired" == cause_of(trust, signing_leaf(bad))


def test_both_ends_of_the_dates_belong_to_them(made: Path, trusted: Trust) -> None:
    """A second before notBefore and a second after notAfter are refused."""
    trust, leaf = without_crls(trusted), signing_leaf(test_pki.find_identity(made, "digipoort"))
    for moment in (leaf.not_before, leaf.not_after):
        trust.judge(leaf, moment, SIGN)
    for moment in (leaf.not_before - timedelta(seconds=1), leaf.not_after + timedelta(seconds=1)):
        assert "certificate-expired" == cause_of(trust, leaf, moment)


# --- CAs that may not -------------------------------------------------------------------------------------------------


def sub_ca(issuer: Authority, **change: object) -> Authority:
    spec = CaSpec("sub", "g1", issuer.name, "TEST sub CA", "TEST - not for Production use", policies=KIND.policies)
    return issue_ca(replace(spec, **change), KEY, issuer, 77, NOW)  # type: ignore[arg-type]


def test_a_new_ca_below_the_domain_is_trusted(made: Path, trusted: Trust) -> None:
    """The good case of the four tests below."""
    ca = sub_ca(authority(made, "g1-domain"))
    without_crls(trusted, as_certificate(ca.certificate)).judge(issued(ca), NOW, SIGN)


def test_path_length_is_kept(made: Path, trusted: Trust) -> None:
    """The TSP CA has path length 0: no CA below it."""
    ca = sub_ca(authority(made, "g1-tsp"))
    assert "certificate-untrusted" == cause_of(without_crls(trusted, as_certificate(ca.certificate)), issued(ca))


def test_a_party_is_no_ca(made: Path, trusted: Trust) -> None:
    """What an end entity signs is worth nothing, also when its certificate lies among the CAs."""
    party = issued(authority(made, "g1-tsp"))
    forged = Authority("party", "g1", party.x509, KEY)
    trust = replace(without_crls(trusted), intermediates=(*trusted.intermediates, party))
    assert "certificate-untrusted" == cause_of(trust, issued(forged))


def test_a_policy_must_be_allowed_from_above(made: Path, trusted: Trust) -> None:
    """A CA without the policy cannot give it (threats P10)."""
    ca = sub_ca(authority(made, "g1-domain"), policies=("2.16.528.1.1003.1.2.8.5",))
    assert "certificate-untrusted" == cause_of(without_crls(trusted, as_certificate(ca.certificate)), issued(ca))


def test_a_weak_ca_is_refused(made: Path, trusted: Trust) -> None:
    """The key of every certificate on the path counts."""
    weak = rsa.generate_private_key(65_537, 1024)
    spec = CaSpec("sub", "g1", "g1-domain", "TEST weak CA", "TEST - not for Production use", policies=KIND.policies)
    ca = issue_ca(spec, weak, authority(made, "g1-domain"), 78, NOW)
    assert "key-weak" == cause_of(without_crls(trusted, as_certificate(ca.certificate)), issued(ca))


def test_a_namesake_of_the_tsp_is_untrusted(made: Path, trusted: Trust) -> None:
    """Same names, another key (threats P13)."""
    tsp = authority(made, "g1-tsp")
    namesake = Authority(tsp.name, tsp.shape, tsp.certificate, KEY)
    trusted.judge(issued(tsp), NOW, SIGN)
    assert "certificate-untrusted" == cause_of(trusted, issued(namesake))


def test_a_missing_intermediate_is_untrusted(made: Path, trusted: Trust) -> None:
    """Nothing is fetched, whatever caIssuers says."""
    trust = replace(trusted, intermediates=trusted.intermediates[:1], _verdicts={})
    leaf = signing_leaf(test_pki.find_identity(made, "digipoort"))
    trusted.judge(leaf, NOW, SIGN)
    assert "certificate-untrusted" == cause_of(trust, leaf)


def test_an_unknown_critical_extension_is_refused(made: Path, trusted: Trust) -> None:
    """Not critical it is passed over (threats P12)."""
    tsp = authority(made, "g1-tsp")

    def with_extension(critical: bool) -> Certificate:
        template = issued(tsp).x509
        builder = x509.CertificateBuilder(
            tsp.certificate.subject, template.subject, KEY.public_key(), 5, NOW.replace(tzinfo=None), None
        ).not_valid_after(NOW + YEAR)
        for extension in template.extensions:
            builder = builder.add_extension(extension.value, extension.critical)
        odd = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\x05\x00")
        builder = builder.add_extension(odd, critical)
        return as_certificate(builder.sign(tsp.key, x509.base.hashes.SHA256()))

    trusted.judge(with_extension(False), NOW, SIGN)
    assert "certificate-untrusted" == cause_of(trusted, with_extension(True))


def test_sha1_under_a_certificate_is_refused(made: Path, trusted: Trust) -> None:
    """The signature algorithm is refused before the signature is looked at."""
    leaf = issued(authority(made, "g1-tsp"))
    certificate = asn1.Certificate.load(leaf.der)
    certificate["signature_algorithm"]["algorithm"] = "sha1_rsa"
    certificate["tbs_certificate"]["signature"]["algorithm"] = "sha1_rsa"
    with pytest.raises(PeerError) as refused:
        trusted.judge(load_certificate(certificate.dump(force=True)), NOW, SIGN)
    assert "certificate-untrusted" == refused.value.cause.name
    assert "disallowed signature mechanism" in refused.value.detail


def change_mask(certificate: asn1.Certificate) -> None:
    for place in (certificate["signature_algorithm"], certificate["tbs_certificate"]["signature"]):
        place["parameters"]["mask_gen_algorithm"]["parameters"]["algorithm"] = "sha256"


def change_to_ecdsa(certificate: asn1.Certificate) -> None:
    for place in (certificate["signature_algorithm"], certificate["tbs_certificate"]["signature"]):
        place["algorithm"], place["parameters"] = "sha512_ecdsa", None


@pytest.mark.parametrize("change", [change_mask, change_to_ecdsa])
def test_other_parameters_and_other_keys_are_refused(
    made: Path, trusted: Trust, change: Callable[[asn1.Certificate], None]
) -> None:
    """PSS with a mask of another hash; ECDSA where the issuer's key is RSA."""
    leaf = signing_leaf(test_pki.find_identity(made, "installatie-deboer"))
    trusted.judge(leaf, NOW, SIGN)
    certificate = asn1.Certificate.load(leaf.der)
    change(certificate)
    with pytest.raises(PeerError) as refused:
        trusted.judge(load_certificate(certificate.dump(force=True)), NOW, SIGN)
    assert "certificate-untrusted" == refused.value.cause.name
    assert "disallowed signature mechanism" in refused.value.detail


def test_an_expired_root_is_refused(made: Path, trusted: Trust) -> None:
    """RFC 5280 leaves an anchor's dates to us (threats P01)."""
    root = authority(made, "g1-root")
    trust = without_crls(trusted)
    at = root.certificate.not_valid_after_utc + timedelta(days=1)
    old_spec = CaSpec("old", "g1", "", "TEST old root", "TEST - not for Production use")
    old = issue_ca(old_spec, KEY, None, 1, NOW)
    period = (NOW, at + YEAR)
    leaf = as_certificate(issue_end_entity(KIND, subject(), KEY.public_key(), old, 3, period))
    trust = build_trust([as_certificate(old.certificate)], [], None, TEST_POLICIES, "test")
    trust.judge(leaf, NOW, SIGN)
    assert "certificate-expired" == cause_of(trust, leaf, at)


# --- the table of verdicts --------------------------------------------------------------------------------------------


def test_a_verdict_is_kept_while_nothing_changes(made: Path, trusted: Trust) -> None:
    """The same object again until the first CRL ends; after that the CRL is stale and everything is refused."""
    trust, leaf = replace(trusted, _verdicts={}), signing_leaf(test_pki.find_identity(made, "digipoort"))
    first = trust.judge(leaf, NOW, SIGN)
    assert NOW + timedelta(hours=48) == first.until
    assert first is trust.judge(leaf, first.until, SIGN)
    assert "revocation-unavailable" == cause_of(trust, leaf, first.until + timedelta(seconds=1))
    assert first is trust.judge(leaf, NOW, SIGN)


def test_a_verdict_is_for_one_purpose(made: Path, trusted: Trust) -> None:
    """Good for signing says nothing about TLS."""
    trust, leaf = replace(trusted, _verdicts={}), signing_leaf(test_pki.find_identity(made, "installatie-deboer"))
    trust.judge(leaf, NOW, SIGN)
    assert "certificate-purpose" == cause_of(trust, leaf, NOW, Purpose.TLS_SERVER)


def test_the_version_changes_with_what_is_in_it(made: Path, pki: Path) -> None:
    """Two snapshots of one folder are the same version; a new CRL makes another."""
    before = test_pki.trust(pki)
    assert before.version == test_pki.trust(made).version
    test_pki.renew_crls(pki, NOW + timedelta(hours=4))
    assert before.version != test_pki.trust(pki).version


# --- kinds never mix --------------------------------------------------------------------------------------------------


def real_chain() -> tuple[Certificate, ...]:
    return load_pem(shared("certs", "kpn-private-services-g1.pem").read_bytes())


def test_a_test_root_is_refused_in_production(made: Path, trusted: Trust) -> None:
    """All three, each by name, in one message (threats P07)."""
    with pytest.raises(ConfigError) as refused:
        build_trust(trusted.anchors, [], trusted.crls, PRODUCTION_POLICIES, "production")
    for anchor in trusted.anchors:
        assert anchor.subject in str(refused.value)


def test_a_test_ca_between_is_refused_in_production(trusted: Trust) -> None:
    """Also when it is no anchor."""
    real = real_chain()
    build_trust(real[2:], real[:2], None, PRODUCTION_POLICIES, "production")
    with pytest.raises(ConfigError, match="test CA"):
        build_trust(real[2:], trusted.intermediates, None, PRODUCTION_POLICIES, "production")


def test_a_real_root_is_refused_in_a_test(trusted: Trust) -> None:
    """The other way round: a test system never takes a real business's message for a test."""
    with pytest.raises(ConfigError, match="Private Root CA - G1"):
        build_trust((*trusted.anchors, real_chain()[2]), [], trusted.crls, TEST_POLICIES, "test")


def test_trial_policies_are_refused_in_production() -> None:
    """Only the 44 arc counts there (digipoort 6.2)."""
    with pytest.raises(ConfigError, match=r"1\.2\.41\.15\.35\.11"):
        build_trust(real_chain()[2:], [], None, TEST_POLICIES, "production")


def test_a_snapshot_lists_every_mistake(made: Path) -> None:
    """No anchor, a policy that nobody knows, and a CA that is none."""
    leaf = signing_leaf(test_pki.find_identity(made, "digipoort"))
    with pytest.raises(ConfigError) as refused:
        build_trust([], [leaf], None, frozenset({"1.2.3"}), "test")
    for mistake in ("no trust anchor", "not a CA", "1.2.3"):
        assert mistake in str(refused.value)


def test_real_cas_are_not_test_cas(trusted: Trust) -> None:
    """By their names."""
    assert not any(is_test_ca(ca) for ca in real_chain())
    assert all(is_test_ca(ca) for ca in (*trusted.anchors, *trusted.intermediates))


# --- a real message's certificate -------------------------------------------------------------------------------------

RECORDED = datetime(2021, 3, 7, 12, 0, tzinfo=UTC)


def recorded_signer() -> Certificate:
    """The BinarySecurityToken of a recorded answer of the Aansluit Suite."""
    tree = etree.parse(shared("wus", "valid-deliver-response.xml"))
    token = tree.findtext(".//{*}BinarySecurityToken")
    assert token is not None
    return load_certificate(base64.b64decode(token))


def real_trust(crls: CrlIndex | None, policies: frozenset[str] = PRODUCTION_POLICIES) -> Trust:
    *between, root = real_chain()
    return build_trust([root], between, crls, policies, "production")


def test_the_recorded_signer_was_trusted_when_it_signed() -> None:
    """KPN's chain to the private root, policy .8.6, at the message's own time; expired since October 2022."""
    signer = recorded_signer()
    verdict = real_trust(None).judge(signer, RECORDED, SIGN)
    assert "00000004003214345001" == read_oin(signer)
    assert ["Staat der Nederlanden Private Root CA - G1"] == [
        name.value for name in verdict.path[3].x509.subject if name.oid.dotted_string == "2.5.4.3"
    ]
    assert not verdict.revocation_checked
    assert "certificate-expired" == cause_of(real_trust(None), signer, NOW)


def test_without_a_crl_a_hub_refuses_it() -> None:
    """None means "not checked"; an index without the CRL means "unknown", and that refuses."""
    signer = recorded_signer()
    assert "revocation-unavailable" == cause_of(real_trust(CrlIndex.from_crls([], real_chain())), signer, RECORDED)


def test_the_recorded_signer_needs_its_policy() -> None:
    """With only the G4 policies accepted it is of the wrong type."""
    policies = frozenset({"2.16.528.1.1003.1.2.44.16.25.4"})
    assert "certificate-purpose" == cause_of(real_trust(None, policies), recorded_signer(), RECORDED)


# --- oscrypto ---------------------------------------------------------------------------------------------------------

NO_OSCRYPTO = """
import sys, datetime, pathlib
from digipoort_as4.pki import certificates, keys, path, revocation, test_pki
folder, now = pathlib.Path(sys.argv[1]), datetime.datetime(2026, 6, 1, 12, tzinfo=datetime.UTC)
trust = test_pki.trust(folder)
for identity in [row for row in test_pki.identities(folder) if row.name != "broken"]:
    keys.FileSigner.load(identity.signing_cert, identity.signing_key)
    leaf = certificates.load_pem(identity.signing_cert.read_bytes())[0]
    trust.judge(leaf, now, certificates.Purpose.SIGNING)
stranger = certificates.load_pem(pathlib.Path(sys.argv[2]).read_bytes())[0]
try:
    trust.judge(stranger, now, certificates.Purpose.SIGNING)
except certificates.PeerError as refused:
    print(refused.cause.name)
print(sorted(name for name in sys.modules if name.partition(".")[0] == "oscrypto"))
"""


def test_oscrypto_is_never_imported(pki: Path) -> None:
    """It fails on current OpenSSL, and it would bring the machine's own trust list (decision 39)."""
    bad = test_pki.issue(pki, "broken", "00000099000000104000", "g1", "business", NOW, untrusted=True)
    done = subprocess.run(
        [sys.executable, "-c", NO_OSCRYPTO, str(pki), str(bad.signing_cert)],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).resolve().parents[2],
    )
    assert ["certificate-untrusted", "[]"] == done.stdout.splitlines(), done.stderr
