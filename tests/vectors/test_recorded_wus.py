"""Real answers of the Aansluit Suite of 2021, at their own moment, judged against the real PKIoverheid chain."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from helpers_wire import message_of, shared

from digipoort_as4.pki.certificates import PRODUCTION_POLICIES, load_pem
from digipoort_as4.pki.path import Trust, build_trust
from digipoort_as4.soap.names import KV, SOAP11
from digipoort_as4.wssecurity.open_message import Examination, SignaturePolicy, examine, open_message

LEGACY = SignaturePolicy(sha1=True)
RECORDED = {
    "valid-deliver-response.xml": datetime(2021, 3, 7, 11, 37, 39, 708_000, tzinfo=UTC),
    "valid-newstatus-response.xml": datetime(2021, 3, 10, 8, 0, tzinfo=UTC),
}
PARTS = {"Timestamp", "To", "MessageID", "Action", "RelatesTo", "Body"}
LOGIUS = "00000004003214345001"
TODAY = datetime(2026, 11, 24, tzinfo=UTC)


def real_trust() -> Trust:
    """The private services chain that is supplied; its CRLs of 2021 are not, so revocation stays unchecked."""
    chain = load_pem(shared("certs/kpn-private-services-g1.pem").read_bytes())
    roots = [c for c in chain if c.x509.issuer == c.x509.subject]
    return build_trust(roots, [c for c in chain if c not in roots], None, PRODUCTION_POLICIES, "production")


def examined(name: str, policy: SignaturePolicy = LEGACY, at: datetime | None = None) -> Examination:
    message = message_of(shared(f"wus/{name}").read_bytes())
    recorded = examine(message, policy, None, TODAY).created
    assert recorded
    return examine(message, policy, real_trust(), at or recorded)


@pytest.mark.parametrize("name", RECORDED)
def test_a_real_answer_opens_at_its_own_moment(name: str) -> None:
    """Signature, six references, path to the real root, OIN."""
    message = message_of(shared(f"wus/{name}").read_bytes())

    opened = open_message(message, LEGACY, real_trust(), RECORDED[name])

    assert LOGIUS == opened.oin
    assert "sha1" == opened.algorithms.digest
    assert RECORDED[name].date() == opened.created.date()
    assert opened.addressing.action.endswith("Response")


@pytest.mark.parametrize("name", RECORDED)
def test_a_real_answer_names_six_references(name: str) -> None:
    """`verify` says part by part what the signature covers, and has nothing against it."""
    seen = examined(name)

    assert () == seen.findings
    assert PARTS == {reference.part for reference in seen.references}
    assert 6 == len(seen.references)
    assert seen.signature_value_ok
    assert all(reference.ok for reference in seen.references)


def test_the_tampered_answer_fails_in_the_body_alone() -> None:
    """One letter of the Body was changed: SignatureValue holds, the Body reference is named."""
    seen = examined("tampered-deliver-response.xml")

    assert seen.signature_value_ok
    assert ["digest"] == [finding.cause.name for finding in seen.findings]
    assert "Reference #w_20 (Body)" == seen.findings[0].where
    assert ["Body"] == [reference.part for reference in seen.references if not reference.ok]


@pytest.mark.parametrize("name", RECORDED)
def test_sha1_is_a_finding_without_the_switch(name: str) -> None:
    """Signature and digest method are each named; everything else still holds."""
    seen = examined(name, SignaturePolicy())

    assert ["algorithm", "algorithm"] == [finding.cause.name for finding in seen.findings]
    assert all(reference.ok for reference in seen.references)


@pytest.mark.parametrize("name", RECORDED)
def test_today_certificate_and_timestamp_are_findings(name: str) -> None:
    """Without a moment of its own the message of 2021 is judged by today's clock."""
    assert ["certificate-expired", "timestamp"] == [f.cause.name for f in examined(name, at=TODAY).findings]


@pytest.mark.parametrize(
    ("name", "fault", "code"),
    [
        ("fault-deliver-response.xml", "aanleverFault", "ALS100"),
        ("fault-newstatus-response.xml", "statusinformatieFault", "STS100"),
        ("fault-newstatus-response-indented.xml", "statusinformatieFault", "STS100"),
    ],
)
def test_a_real_fault_parses_and_is_unsigned(name: str, fault: str, code: str) -> None:
    """The guard reads faults; asked for a signature, they have none."""
    message = message_of(shared(f"wus/{name}").read_bytes())

    assert code == message.body.findtext(f"{{{SOAP11}}}Fault/detail/{{{KV}}}{fault}/{{{KV}}}foutcode")
    assert ["security-missing"] == [f.cause.name for f in examine(message, LEGACY, None, TODAY).findings]
