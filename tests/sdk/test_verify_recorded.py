"""Real Digipoort messages of 2021: what verify says of them, and that the second engine says the same."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from digipoort_as4.sdk import anchors
from digipoort_as4.sdk.verify import Moment, Report, verify

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
SIX = {"Body", "Timestamp", "To", "MessageID", "Action", "RelatesTo"}
"""digipoort 2.1, checked in the samples."""
VALID = ("valid-deliver-response.xml", "valid-newstatus-response.xml")


def examined(recorded: Path, name: str, moment: Moment = "recorded", *, sha1: bool = True) -> Report:
    trust = anchors.trust_of((recorded / "certs" / "kpn-private-services-g1.pem",), None)
    octets = (recorded / "wus" / name).read_bytes()
    return verify(octets, moment=moment, now=NOW, sha1=sha1, trust=trust, second=True)


@pytest.mark.parametrize("name", VALID)
def test_both_valid_ones_verify_at_their_own_time(recorded: Path, name: str) -> None:
    """Six references, a path to the root of the State, nothing to complain about; xmlsec agrees."""
    report = examined(recorded, name)

    assert (True, ()) == (report.holds, report.examination.findings)
    assert SIX == {reference.part for reference in report.examination.references}
    assert 4 == len(report.examination.certificate_path)
    assert "00000004003214345001" == report.examination.oin
    assert report.agrees


def test_in_the_tampered_one_the_body_is_broken_and_the_value_holds(recorded: Path) -> None:
    """One octet of the Body was changed after signing; SignedInfo was not."""
    report = examined(recorded, "tampered-deliver-response.xml")

    assert ["digest"] == [finding.cause.name for finding in report.examination.findings]
    assert ["Body"] == [reference.part for reference in report.examination.references if not reference.ok]
    assert report.examination.signature_value_ok
    assert report.opinion is not None
    assert (True, False) == (report.opinion.signature_value, report.opinion.whole)
    assert report.agrees
    assert not report.holds


@pytest.mark.parametrize("name", VALID)
def test_sha1_is_a_finding_unless_it_is_asked_for(recorded: Path, name: str) -> None:
    """Both the signature and the digests are SHA-1."""
    found = examined(recorded, name, sha1=False).examination.findings

    assert [("algorithm", "SignatureMethod"), ("algorithm", "DigestMethod")] == [
        (finding.cause.name, finding.where) for finding in found
    ]


@pytest.mark.parametrize("name", VALID)
def test_today_certificate_and_timestamp_are_findings(recorded: Path, name: str) -> None:
    """The certificate ended in 2022, the message ten minutes after it was made; both are said, not the first only."""
    found = examined(recorded, name, NOW).examination.findings

    assert {"certificate-expired", "timestamp"} == {finding.cause.name for finding in found}


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("fault-deliver-response.xml", "ALS100"),
        ("fault-newstatus-response.xml", "STS100"),
        ("fault-newstatus-response-indented.xml", "STS100"),
    ],
)
def test_the_faults_parse(recorded: Path, name: str, code: str) -> None:
    """Unsigned, with a foutcode and an empty cause."""
    report = examined(recorded, name)

    assert report.fault is not None
    assert (code, False) == (report.fault.code, report.signed)
    assert str(report.fault).endswith("(no cause is given)")
    assert report.opinion is None
