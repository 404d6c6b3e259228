"""Messages without WS-Security (Digikoppeling 2W-be): opened by the TLS certificate, where the policy says so."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from helpers_peer import WSSE
from helpers_wire import (
    ADDRESSING,
    NOW,
    OIN,
    KeyPair,
    OneAuthority,
    Verdict,
    aanlever_request,
    authority,
    business,
    cause_of,
    message_of,
    sealed_octets,
    stranger,
)

from digipoort_as4.errors import PeerError
from digipoort_as4.payload import BytesPayload, read_all
from digipoort_as4.pki.certificates import Certificate, Purpose
from digipoort_as4.soap.addressing import Addressing
from digipoort_as4.wssecurity.open_message import Opened, SignaturePolicy, check_timestamp, open_unsigned
from digipoort_as4.wssecurity.seal_message import plain, unsigned

POLICY = SignaturePolicy(signed=False)


class ForTls(OneAuthority):
    """Judges by one CA for a use of TLS."""

    def judge(self, certificate: Certificate, at: Any, purpose: Purpose) -> Verdict:
        assert purpose is Purpose.TLS_CLIENT
        return super().judge(certificate, at, Purpose.SIGNING)


def read(
    octets: bytes, policy: SignaturePolicy = POLICY, who: KeyPair | None = None, addressing: Addressing = ADDRESSING
) -> Opened:
    trust: Any = ForTls(authority().certificate)
    tls = ((who or business()).certificate.der, Purpose.TLS_CLIENT)
    return open_unsigned(message_of(octets), policy, trust, NOW, tls, hashlib.sha256(octets).digest())


PLAIN = unsigned(aanlever_request(), ADDRESSING)


def test_the_tls_certificate_says_who_it_is() -> None:
    """Sender, addressing and operation; no time; the digest of the message names it, in the evidence too."""
    found = read(PLAIN)
    digest = hashlib.sha256(PLAIN).hexdigest()

    assert (OIN, business().certificate, ADDRESSING) == (found.oin, found.signer, found.addressing)
    assert (business().certificate, authority().certificate) == found.certificate_path
    assert "{http://logius.nl/digipoort/koppelvlakservices/1.2/}aanleverRequest" == found.operation.tag
    assert (None, None, f"sha256:{digest}") == (found.created, found.expires, found.signature_value)
    assert {
        "certificate": business().certificate.sha256.hex(),
        "tls": "TLS_CLIENT",
        "message": digest,
    } == json.loads(found.coverage)


def test_it_has_no_age() -> None:
    """There is no Timestamp to judge."""
    check_timestamp(read(PLAIN), POLICY, NOW + timedelta(days=400))


def test_a_policy_that_asks_for_a_signature_never_gets_here() -> None:
    """The way around the signature is closed where one is asked."""
    with pytest.raises(TypeError):
        read(PLAIN, SignaturePolicy())
    assert "security-missing" == cause_of(PLAIN)


def with_header(markup: str) -> bytes:
    return PLAIN.replace(b"</soapenv:Header>", f"{markup}</soapenv:Header>".encode())


BROKEN = {
    "signed all the same": (sealed_octets(), "header-unknown"),
    "an empty Security": (with_header(f'<o:Security xmlns:o="{WSSE}"/>'), "header-unknown"),
    "a header of their own": (with_header('<x:Mine xmlns:x="urn:x"/>'), "header-unknown"),
    "no To": (PLAIN[: PLAIN.index(b"<wsa:To")] + PLAIN[PLAIN.index(b"</wsa:To>") + 9 :], "to-missing"),
    "two elements in the Body": (PLAIN.replace(b"</soapenv:Body>", b"<second/></soapenv:Body>"), "envelope"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_one_thing_wrong_is_refused(name: str) -> None:
    """A signature that nobody looks at must not look verified; headers and Body as in every profile."""
    octets, cause = BROKEN[name]
    with pytest.raises(PeerError) as refusal:
        read(octets)
    assert cause == refusal.value.cause.name


def test_a_stranger_is_refused() -> None:
    """Same name and number, another authority."""
    with pytest.raises(PeerError) as refusal:
        read(PLAIN, who=stranger())
    assert "certificate-untrusted" == refusal.value.cause.name


def test_nobody_turns_it_into_a_signed_one() -> None:
    """The proof stays with the module."""
    found = read(PLAIN)
    with pytest.raises(TypeError):
        replace(found, policy=SignaturePolicy(), proof=None)


def test_large_payloads_go_out_as_base64() -> None:
    """As in a signed message, without the whole of it in memory."""
    document = b"12345" * 30_000
    operation = aanlever_request().replace(b"<inhoud>PGFhbmdpZnRlLz4=", b"<inhoud>PLACEHOLDERxxxxxxxx")
    sealed = plain(operation, ADDRESSING, {"PLACEHOLDERxxxxxxxx": BytesPayload(document)})
    octets = read_all(sealed.payload)

    assert len(octets) == sealed.payload.size
    (text,) = message_of(octets).large
    assert 4 * len(document) // 3 == text.text.size
    assert octets == unsigned(aanlever_request(document), ADDRESSING)
    assert OIN == read(octets).oin
