"""Opening: the proof, the Timestamp, the order of the checks, and examining everything at once."""

from __future__ import annotations

import contextlib
import json
from datetime import datetime, timedelta
from typing import Any

import pytest
from helpers_wire import (
    ADDRESSING,
    NOW,
    OIN,
    OneAuthority,
    Verdict,
    authority,
    business,
    cause_of,
    issue,
    message_of,
    opened,
    sealed,
    sealed_octets,
    stranger,
    trust,
)

from digipoort_as4.errors import PeerError
from digipoort_as4.pki.certificates import Certificate, Purpose
from digipoort_as4.soap.addressing import Addressing
from digipoort_as4.wssecurity.open_message import Opened, SignaturePolicy, check_timestamp, examine, open_message

POLICY = SignaturePolicy()


def test_a_sealed_message_opens() -> None:
    """What seal wrote is read back: addressing, times, signer, signature value."""
    written = sealed()
    found = opened(written.skeleton)

    assert ADDRESSING == found.addressing
    assert (NOW, NOW + timedelta(minutes=10)) == (found.created, found.expires)
    assert (OIN, business().certificate) == (found.oin, found.signer)
    assert written.signature_value == found.signature_value
    assert (business().certificate, authority().certificate) == found.certificate_path


def test_the_coverage_names_every_part() -> None:
    """The record that is kept as evidence."""
    record = json.loads(opened(sealed_octets()).coverage)

    assert ["Timestamp", "To", "MessageID", "Action", "ReplyTo", "Body"] == [
        part for _, part, _ in record["references"]
    ]
    assert business().certificate.sha256.hex() == record["certificate"]


def test_nobody_else_makes_an_opened() -> None:
    """Neither with no proof nor with one of his own."""
    found = opened(sealed_octets())
    values = {name: getattr(found, name) for name in Opened.__slots__}

    assert Opened(**values) == found
    for proof in (None, object(), "proof"):
        with pytest.raises(TypeError):
            Opened(**{**values, "proof": proof})


def test_line_breaks_do_not_change_the_signature_value() -> None:
    """The value that names a verbatim repeat is the same however the base64 was wrapped."""
    written = sealed()
    value = written.signature_value
    wrapped = written.skeleton.replace(value.encode(), (value[:76] + "\r\n\t " + value[76:]).encode())

    assert value == opened(wrapped).signature_value


def test_an_answer_without_to_opens_where_the_policy_says_so() -> None:
    """DK-WUS lets a response leave To out; a request may not."""
    octets = sealed_octets()
    start, end = octets.index(b"<wsa:To"), octets.index(b"</wsa:To>") + 9
    without = octets[:start] + octets[end:]

    def causes(policy: SignaturePolicy) -> list[str]:
        return [finding.cause.name for finding in examine(message_of(without), policy, trust(), NOW).findings]

    # the reference that led to it leads nowhere now
    assert ["to-missing", "signature-shape"] == causes(SignaturePolicy())
    assert ["signature-shape"] == causes(SignaturePolicy(to_required=False))


# --- the order: nothing expensive for a stranger ----------------------------------------------------------------------


class Counting(OneAuthority):
    """Counts how often a path was asked for."""

    asked: list[datetime]

    def judge(self, certificate: Certificate, at: datetime, purpose: Purpose) -> Verdict:
        asked.append(at)
        return super().judge(certificate, at, purpose)


asked: list[datetime] = []


@pytest.mark.parametrize(
    ("octets", "judged"),
    [
        (sealed_octets(), 1),
        (sealed_octets().replace(b"Happyflow", b"Happyflux"), 1),
        (sealed_octets().replace(b"<SignatureValue>", b"<SignatureValue>AAAA"), 0),
        (sealed_octets().replace(b"2026-11-24T12:10", b"2026-11-24T12:11"), 1),
        (sealed_octets().replace(b'Id="to-5f3a"', b'Id="to-5f3b"'), 0),
    ],
    ids=["good", "Body changed", "SignatureValue changed", "Timestamp changed", "To not covered"],
)
def test_the_path_is_judged_after_signature_and_coverage_and_before_digests(octets: bytes, judged: int) -> None:
    """A stranger's certificate buys no path validation (design 7)."""
    asked.clear()
    counting: Any = Counting(authority().certificate)
    with contextlib.suppress(PeerError):
        open_message(message_of(octets), POLICY, counting, NOW)
    assert judged == len(asked)


def test_no_oin_no_message() -> None:
    """A good certificate without a number in the subject opens nothing."""
    nameless = issue("TEST nameless", None, authority())
    assert "oin-missing" == cause_of(sealed_octets(signer=nameless))


def test_a_weak_key_is_refused_before_it_is_used() -> None:
    weak = issue("TEST weak", OIN, authority(), bits=1024)
    assert "key-weak" == cause_of(sealed_octets(signer=weak))


# --- Timestamp --------------------------------------------------------------------------------------------------------


def stamped(created: str, expires: str | None) -> bytes:
    """Signed by xmlsec with just this Timestamp."""
    from helpers_peer import Shape, request
    from helpers_wire import aanlever_request

    shape = Shape(created=created, expires=expires)
    return request(shape, aanlever_request(), business().key_pem, business().certificate.der)


@pytest.mark.parametrize(
    ("created", "expires", "ok"),
    [
        ("2026-11-24T12:00:00Z", "2026-11-24T12:05:00Z", True),
        ("2026-11-24T11:55:00Z", None, True),
        ("2026-11-24T11:54:59.999Z", None, False),
        ("2026-11-24T11:50:00Z", "2026-11-24T23:00:00Z", True),
        ("2026-11-24T11:49:59Z", "2026-11-24T23:00:00Z", False),
        ("2026-11-24T11:59:00Z", "2026-11-24T12:00:00Z", True),
        ("2026-11-24T11:59:00Z", "2026-11-24T11:59:59Z", False),
        ("2026-11-24T12:01:00Z", "2026-11-24T12:05:00Z", True),
        ("2026-11-24T12:01:01Z", "2026-11-24T12:05:00Z", False),
        ("2026-11-24T12:00:00Z", "2026-11-24T12:00:00Z", False),
        ("2026-11-24T12:00:00Z", "2026-11-24T11:00:00Z", False),
        ("2026-11-24T12:00:00.123456789Z", "2026-11-24T12:05:00.1Z", True),
        ("9999-12-31T23:59:59Z", "9999-12-31T23:59:59.9Z", False),
        ("0001-01-01T00:00:00Z", None, False),
    ],
)
def test_the_window_of_a_timestamp(created: str, expires: str | None, ok: bool) -> None:
    """Min(Expires, Created + 600 s), without Expires Created + 300 s, at most 60 s ahead (decision 7)."""
    found = opened(stamped(created, expires))
    if ok:
        check_timestamp(found, POLICY, NOW)
        return
    with pytest.raises(PeerError) as refusal:
        check_timestamp(found, POLICY, NOW)
    assert "timestamp" == refusal.value.cause.name


@pytest.mark.parametrize(
    "created",
    [
        "2026-11-24T12:00:00",
        "2026-11-24T12:00:00+02:00",
        "2026-11-24T12:00:60Z",
        "2026-13-24T12:00:00Z",
        "2026-11-24 12:00:00Z",
        "2026-11-24",
        "0000-01-01T00:00:00Z",
        "12026-11-24T12:00:00Z",
        "٢٠٢٦-11-24T12:00:00Z",
        "",
    ],
)
def test_a_timestamp_is_utc_or_refused(created: str) -> None:
    """R07: an offset, a leap second, another calendar are no moments."""
    assert "timestamp" == cause_of(stamped(created, None))


def test_the_window_is_of_the_connection() -> None:
    """A connection may allow more, and is then judged by that."""
    found = opened(stamped("2026-11-24T11:40:00Z", None))
    check_timestamp(found, SignaturePolicy(age=timedelta(minutes=20)), NOW)
    with pytest.raises(PeerError):
        check_timestamp(found, POLICY, NOW)


# --- examine ----------------------------------------------------------------------------------------------------------


def test_examine_has_nothing_against_a_good_message() -> None:
    seen = examine(message_of(sealed_octets()), POLICY, trust(), NOW)

    assert () == seen.findings
    assert (True, OIN) == (seen.signature_value_ok, seen.oin)
    assert all(reference.ok for reference in seen.references)


def test_examine_goes_on_after_the_first_finding() -> None:
    """A changed Body and To, a stranger's certificate and a late Timestamp: all of them, in the order of the steps."""
    octets = sealed_octets(signer=stranger()).replace(b"Happyflow", b"Happyflux").replace(b"wus/2.0", b"wus/2.1", 1)
    seen = examine(message_of(octets), POLICY, trust(), NOW + timedelta(hours=1))

    assert ["certificate-untrusted", "digest", "digest", "timestamp"] == [f.cause.name for f in seen.findings]
    assert ["To", "Body"] == [reference.part for reference in seen.references if not reference.ok]
    assert seen.signature_value_ok


def test_examine_names_what_is_not_covered() -> None:
    """A reference that leads nowhere and the part that nothing leads to."""
    octets = sealed_octets().replace(b'Id="to-5f3a"', b'Id="to-5f3b"')
    seen = examine(message_of(octets), POLICY, trust(), NOW)

    assert ["signature-shape", "not-covered"] == [finding.cause.name for finding in seen.findings]
    assert "To" == seen.findings[1].where
    assert [("#to-5f3a", "", False)] == [(r.uri, r.part, r.ok) for r in seen.references if not r.ok]


def test_examine_without_trust_judges_no_path() -> None:
    seen = examine(message_of(sealed_octets(signer=stranger())), POLICY, None, NOW)
    assert ((), ()) == (seen.findings, seen.certificate_path)


def test_an_answer_repeats_relates_to() -> None:
    answer = Addressing("urn:to", "urn:action", "urn:uuid:2", relates_to="urn:uuid:1")
    assert "urn:uuid:1" == opened(sealed_octets(addressing=answer)).addressing.relates_to
