"""`digipoort verify` on messages of our own PKI: each kind of ending, streams and exit codes."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from digipoort_as4.pki import test_pki
from digipoort_as4.pki.keys import FileSigner
from digipoort_as4.soap.addressing import Addressing
from digipoort_as4.soap.names import KV
from digipoort_as4.wssecurity.algorithms import Algorithms
from digipoort_as4.wssecurity.seal_message import seal, unsigned

RESPONSE = (
    f'<zetStatusResponse xmlns="{KV}"><kenmerk>k</kenmerk><statuscode>500</statuscode></zetStatusResponse>'.encode()
)
FAULT = (
    b'<soapenv:Fault xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/"><faultcode>soapenv:Client</faultcode>'
    b'<faultstring>Algemene fout</faultstring><detail><f:aanleverFault xmlns:f="' + KV.encode() + b'">'
    b"<f:foutcode>ALS100</f:foutcode><f:foutbeschrijving>De volgende fout is opgetreden:\nzus</f:foutbeschrijving>"
    b"</f:aanleverFault></detail></soapenv:Fault>"
)


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("verify") / "pki"
    test_pki.make(folder, datetime.now(UTC), ca_bits=2048)
    return folder


@pytest.fixture(scope="module")
def trusting(pki: Path) -> list[str]:
    return ["--trust", str(test_pki.anchors(pki)), "--trust", str(test_pki.intermediates(pki))]


@pytest.fixture(scope="module")
def crls(pki: Path) -> list[str]:
    return [word for path in test_pki.crls(pki) for word in ("--crl", str(path))]


@pytest.fixture(scope="module")
def message(pki: Path) -> bytes:
    return made(pki, Algorithms())


def made(pki: Path, algorithms: Algorithms) -> bytes:
    identity = test_pki.find_identity(pki, "belastingdienst")
    signer = FileSigner.load(identity.signing_cert, identity.signing_key)
    addressing = Addressing("https://localhost/x", "urn:a", "urn:uuid:1", relates_to="urn:uuid:0")
    sealed = seal(RESPONSE, addressing, signer, algorithms, datetime.now(UTC), timedelta(minutes=5), lambda: "1")
    return b"".join(sealed.payload.open())


def test_a_good_message_ends_with_0(person, message: bytes, trusting: list[str], crls: list[str]) -> None:
    """Six references by name, a path, revocation looked at, and a second engine that agrees."""
    done = person.types("verify", "-", "--second-engine", *trusting, *crls, stdin=message)

    assert (0, "") == (done.returncode, done.stderr)
    assert 6 == done.stdout.count("\n  holds  ")
    assert "agrees" in done.stdout
    assert "revocation not checked" not in done.stdout
    assert "verdict     holds" in done.stdout


def test_without_a_crl_it_says_that_revocation_was_not_checked(person, message: bytes, trusting: list[str]) -> None:
    """Not a finding, but never silent (decision 31)."""
    done = person.types("verify", "-", *trusting, stdin=message)
    assert 0 == done.returncode
    assert "revocation not checked" in done.stdout


def test_a_tampered_message_ends_with_5_and_names_the_part(person, message: bytes, trusting: list[str]) -> None:
    """The report is data on stdout; the error is on stderr."""
    done = person.types("verify", "-", "--second-engine", *trusting, stdin=message.replace(b">500<", b">510<"))

    assert 5 == done.returncode
    assert "broken  Body" in done.stdout
    assert "SignatureValue holds, 5 of 6 digests, not #body-1" in done.stdout
    assert "agrees" in done.stdout
    assert "error (signature)" in done.stderr


def test_all_findings_are_said_not_the_first(person, pki: Path, trusting: list[str]) -> None:
    """SHA-1 twice, a stale Timestamp, a broken Body: four findings in one run."""
    octets = made(pki, Algorithms("sha1", "sha1")).replace(b">500<", b">510<")
    at = (datetime.now(UTC) + timedelta(hours=2)).isoformat()

    record = json.loads(person.types("verify", "-", "--at", at, "--json", *trusting, stdin=octets).stdout)

    assert ["algorithm", "algorithm", "digest", "timestamp"] == [finding["code"] for finding in record["findings"]]


@pytest.mark.parametrize(("words", "found"), [((), 2), (("--legacy-sha1",), 0)])
def test_sha1_is_found_unless_told_not_to(
    person, pki: Path, trusting: list[str], words: tuple[str, ...], found: int
) -> None:
    """The same message with and without the switch."""
    octets = made(pki, Algorithms("sha1", "sha1"))
    record = json.loads(person.types("verify", "-", "--json", *words, *trusting, stdin=octets).stdout)
    assert found == len(record["findings"])


def test_recorded_means_the_messages_own_time(person, message: bytes, trusting: list[str]) -> None:
    """Two hours later it is stale; by its own Created it is not."""
    later = (datetime.now(UTC) + timedelta(hours=2)).isoformat()
    assert 5 == person.types("verify", "-", "--at", later, *trusting, stdin=message).returncode
    assert 0 == person.types("verify", "-", "--at", "recorded", *trusting, stdin=message).returncode


def test_another_root_is_not_trusted(person, message: bytes, pki: Path, tmp_path: Path) -> None:
    """Only the G4 root is given; the signer is below G1."""
    other = tmp_path / "g4.pem"
    other.write_bytes(b"-----BEGIN" + test_pki.anchors(pki).read_bytes().rpartition(b"-----BEGIN")[2])
    done = person.types("verify", "-", "--trust", str(other), stdin=message)
    assert 5 == done.returncode
    assert "certificate-untrusted" in done.stdout


def test_without_anchors_it_says_so(person, message: bytes) -> None:
    """No --trust and no post office in that folder: the path is not judged, and the report says it."""
    done = person.types("verify", "-", "--dir", "nowhere", stdin=message)
    assert "trust       not checked" in done.stdout


def test_an_unsigned_fault_is_shown_and_ends_with_4(person, trusting: list[str]) -> None:
    """Faults of Digipoort are unsigned (digipoort 2.6): good to read, proof of nothing."""
    octets = unsigned(FAULT, Addressing("urn:x", "urn:a/Fault/", "urn:uuid:2"))
    done = person.types("verify", "-", "--second-engine", *trusting, stdin=octets)
    assert 4 == done.returncode
    assert "fault       ALS100  zus" in done.stdout
    assert "nothing in this message is proven" in done.stdout


def test_an_unsigned_message_ends_with_5(person, trusting: list[str]) -> None:
    """No fault, no signature: a finding."""
    octets = unsigned(RESPONSE, Addressing("urn:x", "urn:a", "urn:uuid:2"))
    done = person.types("verify", "-", *trusting, stdin=octets)
    assert 5 == done.returncode
    assert "security-missing" in done.stdout


@pytest.mark.parametrize(
    ("words", "stdin", "code"),
    [
        (["-"], b"no xml", 4),
        (["-"], b"<!DOCTYPE x><x/>", 4),
        (["not-there.xml"], b"", 2),
        (["-", "--at", "gisteren"], b"", 2),
        (["-", "--trust", "not-there.pem"], b"", 7),
    ],
)
def test_what_cannot_be_examined_is_an_error(person, words: list[str], stdin: bytes, code: int) -> None:
    """Nothing on stdout."""
    done = person.types("verify", *words, stdin=stdin)
    assert (code, "") == (done.returncode, done.stdout)
