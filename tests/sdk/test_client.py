"""Handing a message over, and what may be believed of the answer. Real sockets, mutual TLS, each client."""

from __future__ import annotations

import base64
import os
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import requests
from helpers_sdk import BASE, BERICHT, HUB_OIN, KENMERK, Make, Peer, drop, fault, receipt

from digipoort_as4.errors import CertificateError, Refused, SignatureError, TransportError, UsageError
from digipoort_as4.hub.aanlevering import Identiteit
from digipoort_as4.pki import test_pki
from digipoort_as4.sdk.models import Bestand, guess_mime_type
from digipoort_as4.sdk.wus_transport import AnswerLost
from digipoort_as4.soap.names import KV, q
from digipoort_as4.wssecurity.open_message import SignaturePolicy, open_message


def hub(pki: Path) -> test_pki.Identity:
    return test_pki.find_identity(pki, "digipoort")


def test_a_receipt_is_typed_and_the_octets_are_kept(client: Make, sdk_pki: Path, peer: Peer) -> None:
    """What the signed answer says becomes a Receipt; request and answer stay as they were on the wire."""
    peer.scripts = [receipt(hub(sdk_pki))]

    got = client().submit(BERICHT)

    assert (KENMERK, "mijn-1") == (got.kenmerk, got.aanleverkenmerk)
    assert Identiteit("00000099000000012000", "OIN") == got.identiteit_ontvanger
    assert peer.requests[0].octets == got.raw_request
    assert KENMERK.encode() in got.raw_response
    assert got.exchange.opened is not None
    assert HUB_OIN == got.exchange.opened.oin


def test_the_request_is_signed_as_digipoort_asks(client: Make, sdk_pki: Path, peer: Peer) -> None:
    """Body, Timestamp and every wsa header are covered, and the elements are those that were asked for."""
    peer.scripts = [receipt(hub(sdk_pki))]

    client().submit(BERICHT)

    request = peer.requests[0]
    opened = open_message(request.message, SignaturePolicy(), test_pki.trust(sdk_pki), datetime.now(UTC))
    assert "00000099000000101000" == opened.oin
    assert f'"{BASE}aanleverenRequest"' == request.soap_action
    assert (peer.url, BASE + "aanleverenRequest") == (opened.addressing.to, opened.addressing.action)
    assert "mijn-1" == opened.operation.findtext(q(KV, "aanleverkenmerk"))
    inhoud = opened.operation.findtext(f"{q(KV, 'berichtInhoud')}/{q(KV, 'inhoud')}")
    assert b"<xbrl>1</xbrl>" == base64.b64decode(inhoud or "")
    assert opened.operation.find(q(KV, "identiteitOntvanger")) is None


def test_a_large_document_is_streamed_and_signed(client: Make, sdk_pki: Path, peer: Peer, tmp_path: Path) -> None:
    """3 MB leave as base64 from the file, inside the signature."""
    file = tmp_path / "groot.xml"
    file.write_bytes(os.urandom(3_000_000))
    peer.scripts = [receipt(hub(sdk_pki))]

    client().submit(replace(BERICHT, bericht_inhoud=Bestand.of(file), bericht_bijlagen=(BERICHT.bericht_inhoud,)))

    message = peer.requests[0].message
    open_message(message, SignaturePolicy(), test_pki.trust(sdk_pki), datetime.now(UTC))
    assert file.read_bytes() == base64.b64decode(b"".join(message.large[0].text.open()))
    assert 1 == len(message.large)


@pytest.mark.parametrize(
    ("broken", "words"),
    [
        ({"relates_to": "urn:uuid:7b1c63b8-0000-0000-0000-000000000000"}, "wsa:RelatesTo"),
        ({"action": BASE + "aanleveren/Fault/"}, "wsa:Action"),
        ({"age": timedelta(hours=1)}, "timestamp"),
        ({"change": lambda octets: octets.replace(b"Aanleverproces", b"Aanleverprocee")}, "digest"),
        ({"change": lambda octets: octets.replace(b"<SignatureValue>", b"<SignatureValue>AA", 1)}, "signature"),
        ({"change": lambda octets: octets.replace(b"wsse:Security", b"wsse:Securitx")}, "header"),
    ],
    ids=["answers another request", "another operation", "old", "tampered", "another value", "unsigned"],
)
def test_an_answer_that_is_not_right_is_not_read(
    client: Make, sdk_pki: Path, peer: Peer, broken: dict[str, object], words: str
) -> None:
    """The same answer with one thing broken never becomes a Receipt."""
    peer.scripts = [receipt(hub(sdk_pki), **broken)]

    with pytest.raises(SignatureError) as refused:
        client().submit(BERICHT)

    assert words in f"{refused.value} {getattr(refused.value, '__notes__', '')}"
    assert 5 == refused.value.exit_code


def test_an_answer_signed_by_somebody_else_is_not_read(client: Make, sdk_pki: Path, peer: Peer) -> None:
    """A trusted certificate is not enough: the OIN must be the post office's."""
    peer.scripts = [receipt(test_pki.find_identity(sdk_pki, "kvk"))]

    with pytest.raises(SignatureError) as refused:
        client().submit(BERICHT)

    assert "found: 00000099000000016000" in refused.value.__notes__


def test_a_fault_names_its_code_and_cause(client: Make, sdk_pki: Path, peer: Peer) -> None:
    """The line after `De volgende fout is opgetreden:` is what the user sees."""
    peer.scripts = [fault]

    with pytest.raises(Refused) as refused:
        client().submit(BERICHT)

    assert ("ALS100", "De berichtsoort is niet bekend.") == (refused.value.code, str(refused.value))
    assert 1 == len(peer.requests)


def test_a_lost_answer_is_asked_for_with_the_same_octets(client: Make, sdk_pki: Path, peer: Peer) -> None:
    """The connection breaks once; the second attempt sends what was signed, not something new (decision 36)."""
    peer.scripts = [drop, receipt(hub(sdk_pki))]

    got = client().submit(BERICHT)

    assert KENMERK == got.kenmerk
    assert [peer.requests[0].octets] == [request.octets for request in peer.requests[1:]]


def test_without_any_answer_the_outcome_is_unknown(client: Make, sdk_pki: Path, peer: Peer) -> None:
    """It may have been accepted, so the error keeps the octets and says what to do with them."""
    peer.scripts = [drop]

    with pytest.raises(AnswerLost) as lost:
        client(patience=timedelta(seconds=2)).submit(BERICHT)

    assert peer.requests[0].octets == b"".join(lost.value.request.open())
    assert any("same octets" in note for note in lost.value.__notes__)
    assert 6 == lost.value.exit_code


def test_tls_that_is_refused_after_a_lost_answer_leaves_the_outcome_unknown(
    client: Make, sdk_pki: Path, peer: Peer
) -> None:
    """The first attempt was sent; that the second meets a server we do not trust says nothing about it."""
    peer.scripts = [drop]

    with pytest.raises(AnswerLost):
        asking = client(sleep=lambda _: asking.connection.__dict__.update(session=stranger.session))
        stranger = replace(asking.connection, ca=Path(requests.certs.where()))
        asking.submit(BERICHT)

    assert 1 == len(peer.requests)


def test_nobody_listening_is_not_an_unknown_outcome(client: Make) -> None:
    """Nothing was sent, and that is said after three tries."""
    slept: list[float] = []
    nowhere = client(services={"aanleveren": "https://localhost:1/x"}, sleep=slept.append)

    with pytest.raises(TransportError) as refused:
        nowhere.submit(BERICHT)

    assert not isinstance(refused.value, AnswerLost)
    assert 2 == len(slept)


def test_a_server_below_another_root_gets_nothing(client: Make, sdk_pki: Path, peer: Peer, tmp_path: Path) -> None:
    """TLS ends before an octet of the message has left."""
    other = tmp_path / "other.pem"  # the client's own G4 root, which the server's G1 certificate does not lead to
    other.write_bytes(test_pki.anchors(sdk_pki).read_bytes().rpartition(b"-----BEGIN")[2].join([b"-----BEGIN", b""]))
    peer.scripts = [receipt(hub(sdk_pki))]

    with pytest.raises(TransportError, match="TLS"):
        client(ca=other).submit(BERICHT)

    assert [] == peer.requests


def test_what_is_no_soap_is_a_network_error(client: Make, sdk_pki: Path, peer: Peer) -> None:
    """A page of some proxy is neither a receipt nor a refusal."""
    peer.scripts = [lambda _: (404, b"<html>Not Found</html>")]

    with pytest.raises(TransportError, match="HTTP 404") as refused:
        client().submit(BERICHT)

    assert not isinstance(refused.value, AnswerLost)


def test_proxy_variables_are_not_looked_at(
    client: Make, sdk_pki: Path, peer: Peer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A machine's proxy never sees loopback (decision 26)."""
    monkeypatch.setenv("HTTPS_PROXY", "http://nonsense.invalid:1")
    peer.scripts = [receipt(hub(sdk_pki))]

    assert KENMERK == client().submit(BERICHT).kenmerk


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a.xbrl", "text/xml"),
        ("a.XML", "text/xml"),
        ("a.pdf", "application/pdf"),
        ("a.xyzzy", "application/octet-stream"),
    ],
)
def test_the_name_tells_the_mime_type(name: str, expected: str) -> None:
    """XBRL and XML go as text/xml, as known clients send them."""
    assert expected == guess_mime_type(Path(name))


def test_a_document_that_is_not_there_is_a_usage_error(tmp_path: Path) -> None:
    """Said before anything is signed."""
    with pytest.raises(UsageError, match="no such file"):
        Bestand.of(tmp_path / "weg.xml")
