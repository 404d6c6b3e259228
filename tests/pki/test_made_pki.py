"""The test PKI as it is made: its shapes against the published profiles, openssl and TLS; its files; its life."""

from __future__ import annotations

import re
import shutil
import socket
import ssl
import stat
import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.x509.oid import NameOID
from helpers_pki import NOW, leaf_of, shared, signing_leaf

from digipoort_as4.errors import PeerError, UsageError
from digipoort_as4.pki import test_pki
from digipoort_as4.pki.certificates import Purpose, load_certificate, load_pem, read_oin
from digipoort_as4.pki.keys import FileSigner, TlsFiles

OPENSSL = shutil.which("openssl")
needs_openssl = pytest.mark.skipif(OPENSSL is None, reason="the openssl program is not here")


def openssl(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(OPENSSL), *map(str, arguments)], capture_output=True, text=True, check=False)


# --- parties ----------------------------------------------------------------------------------------------------------

PARTIES = {
    "digipoort": ("hub", "00000099000000001000"),
    "digipoort-g4": ("hub", "00000099000000001000"),
    "aid": ("agency", "00000099000000011000"),
    "belastingdienst": ("agency", "00000099000000012000"),
    "cbs": ("agency", "00000099000000013000"),
    "douane": ("agency", "00000099000000014000"),
    "hbag": ("agency", "00000099000000015000"),
    "kvk": ("agency", "00000099000000016000"),
    "plantenziektenkundige-dienst": ("agency", "00000099000000017000"),
    "uwv": ("agency", "00000099000000018000"),
    "vwa": ("agency", "00000099000000019000"),
    "gemeente-voorbeeld": ("agency", "00000099000000020000"),
    "bakkerij-jansen": ("business", "00000099000000101000"),
    "installatie-deboer": ("business", "00000099000000102000"),
    "zonder-machtiging": ("business", "00000099000000103000"),
}


def test_the_parties_are_there(made: Path) -> None:
    """Every part of the project counts on these names and numbers."""
    assert PARTIES == {identity.name: (identity.role, identity.oin) for identity in test_pki.identities(made)}


def test_every_certificate_carries_the_oin(made: Path) -> None:
    """In Subject.serialNumber, for the connection and for signing (PKI001)."""
    for identity in test_pki.identities(made):
        assert identity.oin == read_oin(leaf_of(identity.tls_cert)) == read_oin(signing_leaf(identity))


def test_g1_has_one_certificate_and_g4_two(made: Path) -> None:
    """As Digipoort's own, and as the G4 types ask."""
    for identity in test_pki.identities(made):
        assert (identity.tls_cert == identity.signing_cert) is (identity.shape == "g1")


def test_files_open_what_they_should(made: Path) -> None:
    """Keys fit their certificates, the PKCS#12 file opens with the password beside it, TLS files load."""
    for identity in test_pki.identities(made):
        signer = FileSigner.load(identity.signing_cert, identity.signing_key)
        bundle = FileSigner.load_p12(identity.p12, identity.p12_password.read_bytes())
        assert signer.certificate == bundle.certificate
        TlsFiles(identity.tls_cert, identity.tls_key).load_into(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER))


def test_only_the_owner_reads_keys(made: Path) -> None:
    """Folders 0700, every file with a key or a password 0600."""
    secret = [path for path in made.rglob("*") if path.is_file() and is_secret(path)]
    assert 3 * len(PARTIES) < len(secret)
    assert {0o600} == {stat.S_IMODE(path.stat().st_mode) for path in secret}
    assert 0o700 == stat.S_IMODE(made.stat().st_mode)


def is_secret(path: Path) -> bool:
    return b"PRIVATE KEY" in path.read_bytes() or path.suffix == ".p12" or path.name == "p12.password"


def test_ca_pem_holds_the_roots_and_nothing_else(made: Path) -> None:
    """Three trees; the CAs between travel with the parties' certificates."""
    roots = load_pem(test_pki.anchors(made).read_bytes())
    assert 3 == len(roots)
    assert all(root.x509.subject == root.x509.issuer for root in roots)
    for identity in test_pki.identities(made):
        assert 3 == len(load_pem(identity.tls_cert.read_bytes()))


# --- shapes -----------------------------------------------------------------------------------------------------------


def text(certificate: x509.Certificate, oid: x509.ObjectIdentifier) -> str:
    return str(certificate.subject.get_attributes_for_oid(oid)[0].value)


def extension(certificate: x509.Certificate, kind: type[x509.ExtensionType]) -> x509.Extension[x509.ExtensionType]:
    return certificate.extensions.get_extension_for_class(kind)


def path_of(made: Path, name: str, use: str) -> list[x509.Certificate]:
    """Leaf, TSP, domain, root."""
    identity = test_pki.find_identity(made, name)
    leaf = leaf_of(identity.tls_cert) if use == "tls" else signing_leaf(identity)
    purpose = Purpose.TLS_CLIENT if use == "tls" else Purpose.SIGNING
    return [step.x509 for step in test_pki.trust(made).judge(leaf, NOW, purpose).path]


def test_g1_shape(made: Path) -> None:
    """Sizes, hash, policy and usages of the real private services certificate (shared data, certs)."""
    leaf, tsp, domain, root = path_of(made, "bakkerij-jansen", "signing")
    assert [2048, 4096, 4096, 4096] == [c.public_key().key_size for c in (leaf, tsp, domain, root)]  # type: ignore[union-attr]
    assert {"1.2.840.113549.1.1.11"} == {c.signature_algorithm_oid.dotted_string for c in (leaf, tsp, domain, root)}
    assert ["2.16.528.1.1003.1.2.8.6"] == [
        policy.policy_identifier.dotted_string
        for policy in extension(leaf, x509.CertificatePolicies).value  # type: ignore[attr-defined]
    ]
    assert [None, None, 0] == [extension(c, x509.BasicConstraints).value.path_length for c in (root, domain, tsp)]  # type: ignore[attr-defined]
    usage = extension(leaf, x509.KeyUsage)
    assert usage.critical
    assert usage.value == x509.KeyUsage(True, False, True, False, False, False, False, False, False)
    names = extension(leaf, x509.SubjectAlternativeName).value.get_values_for_type(x509.DNSName)  # type: ignore[attr-defined]
    assert ["localhost"] == names


@pytest.mark.parametrize(("name", "use"), [("digipoort-g4", "tls"), ("digipoort-g4", "signing")])
def test_g4_signatures(made: Path, name: str, use: str) -> None:
    """RSASSA-PSS with SHA-512, MGF1 SHA-512 and 64 octets of salt on every certificate and CRL; keys 3072 and 4096."""
    path = path_of(made, name, use)
    assert [3072, 4096, 4096, 4096] == [c.public_key().key_size for c in path]  # type: ignore[union-attr]
    crls = [x509.load_pem_x509_crl(p.read_bytes()) for p in test_pki.crls(made) if p.name.startswith("g4")]
    assert 6 == len(crls)
    for signed in (*path, *crls):
        pss = signed.signature_algorithm_parameters
        assert isinstance(pss, padding.PSS)
        assert ("sha512", 64) == (signed.signature_hash_algorithm.name, pss._salt_length)  # type: ignore[union-attr]
        assert pss.mgf._algorithm.name == "sha512"


PROFILES = {
    "tls": (
        "G4TRIALEEPrivGTLSSYS2025.yaml",
        "G4TRIALPKIoPrivGTLSSYS2025.yaml",
        "G4TRIALIntmPrivGTLSSYS2024.yaml",
        "G4TRIALRootPrivGTLS2024.yaml",
    ),
    "signing": (
        "G4TRIALEEPrivGOtherLPAuthenticity2025.yaml",
        "G4TRIALPKIoPrivGOtherLP2025.yaml",
        "G4TRIALIntmPrivGOtherLP2024.yaml",
        "G4TRIALRootPrivGOther2024.yaml",
    ),
}
SUBJECT = {
    "C": NameOID.COUNTRY_NAME,
    "CN": NameOID.COMMON_NAME,
    "O": NameOID.ORGANIZATION_NAME,
    "organizationIdentifier": NameOID.ORGANIZATION_IDENTIFIER,
    "serialNumber": NameOID.SERIAL_NUMBER,
}


def section(profile: str, name: str, indent: int) -> str:
    """The lines of a YAML key that lie deeper than it."""
    found = re.search(rf"^ {{{indent}}}{name}:\n((?: {{{indent + 1},}}.*\n)+)", profile, re.MULTILINE)
    return found.group(1) if found else ""


@pytest.mark.parametrize("use", ["tls", "signing"])
def test_g4_follows_the_trial_profiles(made: Path, use: str) -> None:
    """Policies, usages and subject patterns of the published TRIAL profiles, for each of the four layers."""
    for certificate, file in zip(path_of(made, "installatie-deboer", use), PROFILES[use], strict=True):
        profile = shared("g4-trial", file).read_text()
        assert oids(section(profile, "certificatePolicies", 2)) == policies(certificate)
        assert oids(section(profile, "extendedKeyUsage", 2)) == extended_usages(certificate)
        for key, oid in SUBJECT.items():
            rules = section(section(section(profile, "properties", 2), "properties", 6), key, 8)
            for pattern in re.findall(r"pattern: '?(.*?)'?\n", rules):
                assert re.search(pattern, text(certificate, oid)), (file, key)
        assert {"digitalSignature", "keyCertSign", "cRLSign", "keyEncipherment"} >= usages(certificate)
        assert set(re.findall(r"- (\w+)\n", section(profile, "keyUsage", 2))) == usages(certificate)
        assert ("qcStatements" in profile) is (
            "1.3.6.1.5.5.7.1.3" in {e.oid.dotted_string for e in certificate.extensions}
        )


def oids(lines: str) -> set[str]:
    return {oid for oid in re.findall(r"oid: ([0-9.]+)", lines) if oid not in {"2.5.29.32", "2.5.29.37"}}


def policies(certificate: x509.Certificate) -> set[str]:
    try:
        rows = certificate.extensions.get_extension_for_class(x509.CertificatePolicies).value
    except x509.ExtensionNotFound:
        return set()
    return {row.policy_identifier.dotted_string for row in rows}


def extended_usages(certificate: x509.Certificate) -> set[str]:
    try:
        return {
            oid.dotted_string for oid in certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
        }
    except x509.ExtensionNotFound:
        return set()


def usages(certificate: x509.Certificate) -> set[str]:
    usage = certificate.extensions.get_extension_for_class(x509.KeyUsage).value
    table = {
        "digitalSignature": usage.digital_signature,
        "keyEncipherment": usage.key_encipherment,
        "keyCertSign": usage.key_cert_sign,
        "cRLSign": usage.crl_sign,
        "nonRepudiation": usage.content_commitment,
        "dataEncipherment": usage.data_encipherment,
    }
    return {name for name, stated in table.items() if stated}


# --- openssl ----------------------------------------------------------------------------------------------------------


@needs_openssl
@pytest.mark.parametrize("name", ["bakkerij-jansen", "installatie-deboer"])
def test_openssl_trusts_the_same_certificates(made: Path, tmp_path: Path, name: str) -> None:
    """Path, purposes and all CRLs, strictly; without the TSP CA's CRL it refuses, as we do."""
    identity = test_pki.find_identity(made, name)
    moment = str(int(NOW.timestamp()))
    crls = [path.read_bytes() for path in test_pki.crls(made)]
    (tmp_path / "crls.pem").write_bytes(b"".join(crls))
    tsp = {"g1": "g1-tsp", "g4": "g4-tls-tsp"}[identity.shape]
    few = [path.read_bytes() for path in test_pki.crls(made) if path.stem != tsp]
    (tmp_path / "few.pem").write_bytes(b"".join(few))
    common = [
        "verify",
        "-x509_strict",
        "-attime",
        moment,
        "-CAfile",
        made / "ca.pem",
        "-untrusted",
        made / "intermediates.pem",
    ]
    for purpose in ("sslclient", "sslserver"):
        good = openssl(
            *common, "-purpose", purpose, "-crl_check_all", "-CRLfile", tmp_path / "crls.pem", identity.tls_cert
        )
        assert good.returncode == 0, good.stderr
    bad = openssl(*common, "-crl_check_all", "-CRLfile", tmp_path / "few.pem", identity.tls_cert)
    assert "unable to get certificate CRL" in bad.stderr
    signing = openssl(*common, "-crl_check_all", "-CRLfile", tmp_path / "crls.pem", identity.signing_cert)
    assert signing.returncode == 0, signing.stderr


@needs_openssl
def test_openssl_sees_a_revoked_party(pki: Path, tmp_path: Path) -> None:
    """The CRLs that revoke makes mean the same to another."""
    test_pki.revoke(pki, "cbs", NOW)
    identity = test_pki.find_identity(pki, "cbs")
    (tmp_path / "crls.pem").write_bytes(b"".join(path.read_bytes() for path in test_pki.crls(pki)))
    moment = str(int(NOW.timestamp()))
    common = ["verify", "-attime", moment, "-CAfile", pki / "ca.pem", "-untrusted", pki / "intermediates.pem"]
    for certificate in (identity.tls_cert, identity.signing_cert):
        done = openssl(*common, "-crl_check_all", "-CRLfile", tmp_path / "crls.pem", certificate)
        assert "certificate revoked" in done.stderr


@needs_openssl
def test_openssl_reads_the_g4_certificate(made: Path) -> None:
    """Names, PSS parameters, policy and statements, as it prints them."""
    printed = openssl(
        "x509", "-noout", "-text", "-in", test_pki.find_identity(made, "installatie-deboer").signing_cert
    ).stdout
    for line in (
        "Signature Algorithm: rsassaPss",
        "Hash Algorithm: sha512",
        "Mask Algorithm: mgf1 with sha512",
        "Salt Length: 0x40",
        "organizationIdentifier = NTRNL-00000102",
        "serialNumber = 00000099000000102000",
        "Policy: 2.16.528.1.1003.1.2.41.16.25.4",
        "Public-Key: (3072 bit)",
        "qcStatements",
    ):
        assert line in printed


@needs_openssl
def test_openssl_verifies_the_crls(made: Path) -> None:
    """Each against its CA, G4 with PSS."""
    for path in test_pki.crls(made):
        printed = openssl("crl", "-noout", "-text", "-in", path, "-CAfile", made / "ca" / path.name)
        assert "verify OK" in printed.stderr
        assert "No Revoked Certificates" in printed.stdout
        assert ("rsassaPss" in printed.stdout) is path.name.startswith("g4")


# --- TLS --------------------------------------------------------------------------------------------------------------


def context(made: Path, name: str, server: bool) -> ssl.SSLContext:
    identity = test_pki.find_identity(made, name)
    made_context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER if server else ssl.PROTOCOL_TLS_CLIENT)
    made_context.verify_mode = ssl.CERT_REQUIRED
    made_context.load_verify_locations(test_pki.anchors(made))
    TlsFiles(identity.tls_cert, identity.tls_key).load_into(made_context)
    return made_context


def handshake(made: Path, client: str, server: str) -> tuple[str, str]:
    """Mutual TLS over loopback; gives the OINs that server and client saw."""
    seen: list[bytes | None] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            raw, _ = listener.accept()
            with context(made, server, True).wrap_socket(raw, server_side=True) as connection:
                seen.append(connection.getpeercert(True))
                connection.sendall(b"ok")

        thread = threading.Thread(target=serve)
        thread.start()
        with (
            socket.create_connection(listener.getsockname(), timeout=10) as raw,
            context(made, client, False).wrap_socket(raw, server_hostname="localhost") as connection,
        ):
            assert b"ok" == connection.recv(2)
            seen.append(connection.getpeercert(True))
        thread.join()
    first, second = (read_oin(load_certificate(der)) for der in seen if der)
    return first, second


@pytest.fixture(scope="module")
def current(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A PKI of the machine's own time, which TLS libraries insist on; small CA keys."""
    folder = tmp_path_factory.mktemp("now") / "pki"
    test_pki.make(folder, datetime.now(UTC), ca_bits=2048)
    return folder


@pytest.mark.parametrize("server", ["digipoort", "digipoort-g4"])
@pytest.mark.parametrize("client", ["bakkerij-jansen", "installatie-deboer"])
def test_mutual_tls_between_generations(current: Path, client: str, server: str) -> None:
    """G1 and G4 at either end; each sees the other's OIN."""
    assert (PARTIES[client][1], PARTIES[server][1]) == handshake(current, client, server)


# --- life -------------------------------------------------------------------------------------------------------------


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_making_it_twice_changes_nothing(pki: Path) -> None:
    """Octet for octet, an hour later."""
    before = contents(pki)
    test_pki.make(pki, NOW + timedelta(hours=1))
    assert before == contents(pki)


def test_what_is_missing_is_made_again(pki: Path) -> None:
    """One party and one CRL; the others keep their keys. Left-overs of a killed process go."""
    before = contents(pki)
    shutil.rmtree(pki / "identities" / "uwv")
    (pki / "crls" / "g1-tsp.pem").unlink()
    (pki / "identities" / ".uwv-0badcafe").mkdir()
    (pki / ".ca.pem-0badcafe").write_bytes(b"half")
    test_pki.make(pki, NOW)
    after = contents(pki)
    assert set(before) == set(after)
    changed = {name for name in before if before[name] != after[name]}
    assert all(name.startswith(("identities/uwv/", "crls/")) for name in changed)
    assert "identities/uwv/signing.pem" in changed


def test_another_recipe_makes_another_pki(current: Path, tmp_path: Path) -> None:
    """The size of the CAs' keys is part of it; what was issued under the old roots goes with them."""
    folder = Path(shutil.copytree(current, tmp_path / "pki"))
    now = datetime.now(UTC)
    test_pki.issue(folder, "extra", "00000099000000104000", "g1", "business", now)
    roots = test_pki.anchors(folder).read_bytes()
    test_pki.make(folder, now, ca_bits=2056)
    assert roots != test_pki.anchors(folder).read_bytes()
    assert set(PARTIES) == {identity.name for identity in test_pki.identities(folder)}


def test_certificates_are_renewed_before_they_end(current: Path, tmp_path: Path) -> None:
    """397 days of life, renewed in the last 30; a new key pair under the same roots (digipoort 6.6)."""
    folder = Path(shutil.copytree(current, tmp_path / "pki"))
    roots, before = test_pki.anchors(folder).read_bytes(), signing_leaf(test_pki.find_identity(folder, "uwv"))
    later = datetime.now(UTC) + timedelta(days=380)
    test_pki.make(folder, later, ca_bits=2048)
    after = signing_leaf(test_pki.find_identity(folder, "uwv"))
    assert roots == test_pki.anchors(folder).read_bytes()
    assert before.public_key.public_numbers() != after.public_key.public_numbers()  # type: ignore[union-attr]
    test_pki.trust(folder).judge(after, later, Purpose.SIGNING)


def test_two_at_once_make_one_pki(tmp_path: Path) -> None:
    """`up` and `demo` in the same folder: the second waits and finds it made."""
    folder = tmp_path / "pki"
    with ThreadPoolExecutor(2) as pool:
        for done in [pool.submit(test_pki.make, folder, NOW, ca_bits=2048) for _ in range(2)]:
            done.result()
    trust = test_pki.trust(folder)
    for identity in test_pki.identities(folder):
        trust.judge(signing_leaf(identity), NOW, Purpose.SIGNING)


def test_crls_live_48_hours_and_their_numbers_rise(pki: Path) -> None:
    """RFC 5280 5.2.3: never the same number twice, also when the clock stands still."""
    numbers = []
    for _ in range(3):
        test_pki.renew_crls(pki, NOW)
        crl = x509.load_pem_x509_crl(test_pki.crls(pki)[0].read_bytes())
        numbers.append(crl.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number)
        assert NOW + timedelta(hours=48) == crl.next_update_utc
        assert crl.last_update_utc <= NOW
    assert sorted(set(numbers)) == numbers


def test_a_revocation_stays_on_the_next_crls(pki: Path) -> None:
    """Until the certificate's end."""
    test_pki.revoke(pki, "uwv", NOW)
    test_pki.revoke(pki, "kvk", NOW + timedelta(hours=1))
    test_pki.renew_crls(pki, NOW + timedelta(hours=4))
    trust = test_pki.trust(pki)
    for name in ("uwv", "kvk"):
        with pytest.raises(PeerError, match="certificate-revoked"):
            trust.judge(signing_leaf(test_pki.find_identity(pki, name)), NOW + timedelta(hours=4), Purpose.SIGNING)
    trust.judge(signing_leaf(test_pki.find_identity(pki, "aid")), NOW + timedelta(hours=4), Purpose.SIGNING)


def test_an_expired_crl_can_be_made(pki: Path) -> None:
    """For the test that a stale CRL refuses everything below it."""
    leaf = signing_leaf(test_pki.find_identity(pki, "aid"))
    test_pki.trust(pki).judge(leaf, NOW, Purpose.SIGNING)
    test_pki.renew_crls(pki, NOW, timedelta(minutes=-1))
    with pytest.raises(PeerError, match="revocation-unavailable"):
        test_pki.trust(pki).judge(leaf, NOW, Purpose.SIGNING)


# --- issuing ----------------------------------------------------------------------------------------------------------


def test_renewing_keeps_the_old_certificate_good(pki: Path) -> None:
    """A new key pair in the same place; several certificates per OIN at once (digipoort 6.6)."""
    first = signing_leaf(test_pki.issue(pki, "nieuw", "00000099000000104000", "g1", "business", NOW))
    second = signing_leaf(test_pki.issue(pki, "nieuw", "00000099000000104000", "g1", "business", NOW))
    trust = test_pki.trust(pki)
    assert first != second
    assert trust.judge(first, NOW, Purpose.SIGNING).path[1:] == trust.judge(second, NOW, Purpose.SIGNING).path[1:]
    assert second == signing_leaf(test_pki.find_identity(pki, "nieuw"))


@pytest.mark.parametrize("flaw", ["expired", "revoked", "untrusted", "wrong_purpose"])
def test_a_flaw_reaches_the_connection_when_asked(pki: Path, flaw: str) -> None:
    """`tls=True`: both certificates have it."""
    bad = test_pki.issue(pki, "bad", "00000099000000104000", "g4", "business", NOW, tls=True, **{flaw: True})
    trust = test_pki.trust(pki)
    for leaf, purpose in ((leaf_of(bad.tls_cert), Purpose.TLS_CLIENT), (signing_leaf(bad), Purpose.SIGNING)):
        with pytest.raises(PeerError):
            trust.judge(leaf, NOW, purpose)


@pytest.mark.parametrize(
    ("name", "oin", "shape"),
    [
        ("../uwv", "00000099000000104000", "g1"),
        ("", "00000099000000104000", "g1"),
        ("-x", "00000099000000104000", "g1"),
        ("x", "0000009900000010400", "g1"),
        ("x", "0000009900000010400!", "g1"),
        ("x", "00000099000000104000", "g3"),
    ],
)
def test_odd_names_are_refused(pki: Path, name: str, oin: str, shape: str) -> None:
    """A name becomes a folder, so only what is one; nothing is written."""
    before = contents(pki)
    with pytest.raises(UsageError):
        test_pki.issue(pki, name, oin, shape, "business", NOW)
    assert before == contents(pki)


def test_issuing_needs_a_pki(tmp_path: Path) -> None:
    """And asking for a party that is not there lists those that are."""
    with pytest.raises(UsageError, match="no test PKI"):
        test_pki.issue(tmp_path / "none", "x", "00000099000000104000", "g1", "business", NOW)
    with pytest.raises(UsageError, match="there are: none"):
        test_pki.find_identity(tmp_path / "none", "x")


def test_numbers_are_odd_and_random(made: Path) -> None:
    """No two certificates share a serial number or, between parties, a key."""
    leaves = [signing_leaf(identity) for identity in test_pki.identities(made)]
    assert len(leaves) == len({leaf.x509.serial_number for leaf in leaves})
    keys = {leaf.public_key.public_numbers().n for leaf in leaves if isinstance(leaf.public_key, rsa.RSAPublicKey)}
    assert len(leaves) == len(keys)
