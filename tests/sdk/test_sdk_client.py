"""Handing a message over, and what may be believed of the answer. Real sockets, mutual TLS, each client."""

from __future__ import annotations

import asyncio
import base64
import gc
import os
import shutil
import tempfile
import threading
import time
import tomllib
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

import pytest
import requests
from helpers_sdk import (
    BASE,
    BERICHT,
    FETCH_BASE,
    HUB_OIN,
    KENMERK,
    RESPONSE,
    WHO,
    Make,
    Peer,
    blocking,
    collected,
    connection,
    drop,
    fault,
    receipt,
    rows_of,
    told,
)

from digipoort_as4 import codes
from digipoort_as4.errors import (
    CertificateError,
    ConfigError,
    DocumentInvalid,
    Refused,
    SignatureError,
    TransportError,
    UsageError,
)
from digipoort_as4.hub.aanlevering import Identiteit
from digipoort_as4.payload import BytesPayload, read_all
from digipoort_as4.pki import test_pki
from digipoort_as4.sdk import anchors
from digipoort_as4.sdk.client import AsyncDigipoortClient, DigipoortClient
from digipoort_as4.sdk.connection import connect_to
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


# --- what else is not believed ----------------------------------------------------------------------------------------


def test_an_answer_under_an_expired_certificate_is_its_own_error(client: Make, sdk_pki: Path, peer: Peer) -> None:
    """The signature holds; the certificate did once."""
    peer.scripts = [receipt(hub(sdk_pki))]

    with pytest.raises(CertificateError) as refused:
        client(clock=lambda: datetime.now(UTC) + timedelta(days=3650)).submit(BERICHT)

    assert 5 == refused.value.exit_code
    assert refused.value.reference


def test_a_tampered_answer_names_what_does_not_hold(client: Make, sdk_pki: Path, peer: Peer) -> None:
    """The reference to the Body, and no certificate."""
    peer.scripts = [receipt(hub(sdk_pki), change=lambda octets: octets.replace(b"Bedrijf", b"Bedrijg"))]

    with pytest.raises(SignatureError) as refused:
        client().submit(BERICHT)

    assert "Body" in refused.value.reference
    assert not isinstance(refused.value, CertificateError)


def test_what_is_signed_and_yet_no_receipt_is_not_read(client: Make, sdk_pki: Path, peer: Peer) -> None:
    """The official XSD asks for a berichtsoort."""
    body = RESPONSE.replace(b"<berichtsoort>Omzetbelasting</berichtsoort>", b"")
    peer.scripts = [receipt(hub(sdk_pki), body=body)]

    with pytest.raises(SignatureError, match="schema"):
        client().submit(BERICHT)


# --- no answer --------------------------------------------------------------------------------------------------------


def test_a_proxy_that_is_busy_is_asked_again_with_the_same_octets(client: Make, sdk_pki: Path, peer: Peer) -> None:
    """502, 503 and 504 without SOAP say nothing about what the post office did."""
    peer.scripts = [lambda _: (503, b"<html/>"), receipt(hub(sdk_pki))]
    peer.content_type = "text/html"

    assert KENMERK == client().submit(BERICHT).kenmerk
    assert [peer.requests[0].octets] == [request.octets for request in peer.requests[1:]]


def test_a_fault_with_503_is_a_refusal_and_is_not_repeated(client: Make, peer: Peer) -> None:
    """Overload that says so in SOAP is the post office's own word."""
    peer.scripts = [lambda request: (503, fault(request)[1])]

    with pytest.raises(Refused):
        client().submit(BERICHT)

    assert 1 == len(peer.requests)


def test_a_page_instead_of_an_answer_leaves_the_outcome_unknown(client: Make, peer: Peer) -> None:
    """HTTP 200 with HTML: something on the way took the request, and nobody knows what it did with it."""
    peer.scripts = [lambda _: (200, b"<html/>")]

    with pytest.raises(AnswerLost) as lost:
        client().submit(BERICHT)

    assert lost.value.sent


# --- once -------------------------------------------------------------------------------------------------------------


def test_the_same_message_is_handed_over_once(client: Make, sdk_pki: Path, peer: Peer) -> None:
    """Same aanleverkenmerk and same octets: the first receipt. One letter more, or no aanleverkenmerk: a new one."""
    peer.scripts = [receipt(hub(sdk_pki))]
    asking = client()

    first, second = asking.submit(BERICHT), asking.submit(BERICHT)
    assert (1, first.raw_response) == (len(peer.requests), second.raw_response)

    more = Bestand("aangifte.xbrl", "text/xml", BytesPayload(b"<xbrl>1</xbrl> "))
    asking.submit(replace(BERICHT, bericht_inhoud=more))
    asking.submit(replace(BERICHT, aanleverkenmerk=None))
    asking.submit(replace(BERICHT, aanleverkenmerk=None))
    assert 4 == len(peer.requests)


@pytest.mark.parametrize("kind", [DigipoortClient, AsyncDigipoortClient])
async def test_who_hands_it_over_meanwhile_waits_for_the_first(kind: type, sdk_pki: Path, peer: Peer) -> None:
    """Eight at once: one request, one receipt for all."""
    answer = receipt(hub(sdk_pki))
    peer.scripts = [lambda request: (time.sleep(0.3), answer(request))[1]]
    client = kind(connection(sdk_pki, "bakkerij-jansen", peer.url))

    def submit() -> Any:
        return client.submit(BERICHT) if kind is AsyncDigipoortClient else asyncio.to_thread(client.submit, BERICHT)

    got = await asyncio.gather(*(submit() for _ in range(8)))

    assert (1, {KENMERK}) == (len(peer.requests), {one.kenmerk for one in got})


def test_after_a_lost_answer_the_same_message_is_the_same_octets(client: Make, sdk_pki: Path, peer: Peer) -> None:
    """The post office answers what it answered first, an hour ago; only wsa:RelatesTo ties it to the request."""
    peer.scripts = [drop]
    asking = client(patience=timedelta(0))
    with pytest.raises(AnswerLost):
        asking.submit(BERICHT)
    peer.scripts = [receipt(hub(sdk_pki), age=timedelta(hours=1))]

    assert KENMERK == asking.submit(BERICHT).kenmerk
    assert peer.requests[0].octets == peer.requests[-1].octets


@pytest.mark.parametrize(("code", "is_new"), [("ALS100", True), ("ALS400", False)])
def test_a_refusal_ends_the_doubt_and_trouble_does_not(
    client: Make, sdk_pki: Path, peer: Peer, code: str, is_new: bool
) -> None:
    """x100: it was not accepted, the next attempt is a new message. x400: nobody knows yet."""
    peer.scripts = [drop]
    asking = client(patience=timedelta(0))
    with pytest.raises(AnswerLost):
        asking.submit(BERICHT)
    peer.scripts = [lambda request: (500, fault(request)[1].replace(b"ALS100", code.encode()))]
    with pytest.raises(Refused):
        asking.submit(BERICHT)
    peer.scripts = [receipt(hub(sdk_pki))]

    asking.submit(BERICHT)

    assert is_new is (peer.requests[0].octets != peer.requests[-1].octets)


# --- following --------------------------------------------------------------------------------------------------------


def test_each_status_is_told_once_and_in_order(client: Make, sdk_pki: Path, peer: Peer) -> None:
    """Three answers, each longer than the one before; 500 is an end of the table."""
    flow = ["105", "100", "110", "200", "301", "405", "400", "500"]
    peer.scripts = [told(hub(sdk_pki), *flow[:many]) for many in (2, 2, 5, 8)]

    assert flow == [one.statuscode for one in client().follow(KENMERK)]
    assert 4 == len(peer.requests)


def test_a_code_that_was_waited_for_ends_it(client: Make, sdk_pki: Path, peer: Peer) -> None:
    """An invoice ends at 400 (digipoort 3.2), which the table does not know."""
    peer.scripts = [told(hub(sdk_pki), "105", "400")]

    assert "400" == client().wait(KENMERK, until="400").statuscode


RESULTS = escape(
    '<results xmlns="http://nlvalidatie.nl/batavia"><xbrl><messages><msg line="3" col="0" level="error" id="x">a &lt; b'
    '<origin file="a"/></msg><msg line="9" col="1" level="error" id="y">ook</msg></messages></xbrl></results>'
)


@pytest.mark.parametrize(
    ("codes", "error"), [(("105", "311"), DocumentInvalid), (("105", "210"), Refused), (("105", "110"), TransportError)]
)
def test_another_end_is_an_error(client: Make, sdk_pki: Path, peer: Peer, codes: tuple[str, ...], error: type) -> None:
    """311 with its findings, one by one (digipoort 3.4); other ends with their code; no end in time."""
    peer.scripts = [told(hub(sdk_pki), *codes, fout=RESULTS)]

    with pytest.raises(error) as ended:
        client().wait(KENMERK, timeout=timedelta(0))

    if error is DocumentInvalid:
        assert ("line 3: a < b", "line 9: ook") == ended.value.findings
    if error is Refused:
        assert ("VAS500", "210") == (ended.value.code, ended.value.status)


def test_a_receipt_can_be_waited_on(client: Make, sdk_pki: Path, peer: Peer) -> None:
    """It remembers who asked."""
    peer.scripts = [receipt(hub(sdk_pki)), told(hub(sdk_pki), "105", "500")]

    ended = client().submit(BERICHT).wait()

    assert (True, True) == (ended.is_end, ended.is_good)
    assert ended.explanation


def test_a_status_explains_itself(client: Make, sdk_pki: Path, peer: Peer) -> None:
    """What it means and what to do, as `digipoort explain` has it; nothing is made up for a code nobody knows."""
    peer.scripts = [told(hub(sdk_pki), "311", "999")]
    row = tomllib.loads(codes.FILE.read_text(encoding="utf-8"))["status"]["311"]["en"]

    known, unknown = client().statuses(KENMERK)

    assert (row["meaning"], row["action"]) == (known.explanation, known.action)
    assert ("", "", False, False) == (unknown.explanation, unknown.action, unknown.is_end, unknown.is_good)


# --- fetching ---------------------------------------------------------------------------------------------------------


def test_messages_are_typed_and_large_documents_lie_in_files(client: Make, sdk_pki: Path, peer: Peer) -> None:
    """3 MB come back octet for octet; the file goes with the last that refers to it."""
    octets = os.urandom(3_000_000)
    word = base64.b64encode(b"a word of thirty-two octets long").decode()
    rows = collected("b-1", word) + collected("b-2", base64.b64encode(b"<klein/>").decode())
    peer.scripts = [
        rows_of(hub(sdk_pki), FETCH_BASE, "getBerichtenKenmerk", rows, {word: BytesPayload(octets)}),
    ]

    got = client().fetch(KENMERK)

    large, small = (row.documents[0] for row in got)
    assert (octets, b"<klein/>") == (read_all(large.payload), read_all(small.payload))
    assert ("mijn-1", "aanslag.xml") == (got[0].eerder_aanleverkenmerk, large.bestandsnaam)
    assert base64.b64encode(octets)[:64] in got.raw_response
    folder = large.payload.path.parent
    del got, large, small
    gc.collect()
    assert not folder.exists()


def test_every_new_message_is_fetched_until_the_list_is_empty(client: Make, sdk_pki: Path, peer: Peer) -> None:
    """Two lists, a call for each kenmerk; a kenmerk that somebody else fetched meanwhile gives nothing."""

    def listed(*names: str) -> Any:
        rows = "".join(
            f"<BerichtLijstResultaat><berichtsoort>SBA</berichtsoort>{WHO}<kenmerk>{name}</kenmerk>"
            "</BerichtLijstResultaat>"
            for name in names
        )
        return rows_of(hub(sdk_pki), FETCH_BASE, "getNieuweBerichtenLijst", rows)

    def fetched(*berichtkenmerken: str) -> Any:
        rows = "".join(collected(one, "PGEvPg==") for one in berichtkenmerken)
        return rows_of(hub(sdk_pki), FETCH_BASE, "getNieuweBerichtenKenmerk", rows)

    peer.scripts = [listed("k-1", "k-2"), fetched("b-1", "b-2"), fetched(), listed("k-3"), fetched("b-3"), listed()]

    assert ["b-1", "b-2", "b-3"] == [one.berichtkenmerk for one in client().new_messages()]
    asked = [request.message.body.findtext(f".//{q(KV, 'kenmerk')}") for request in peer.requests]
    assert [None, "k-1", "k-2", None, "k-3", None] == asked


def test_a_list_that_does_not_shrink_is_not_asked_for_ever(client: Make, sdk_pki: Path, peer: Peer) -> None:
    """Two lists alike: the second one ends it."""
    row = f"<BerichtLijstResultaat><berichtsoort>SBA</berichtsoort>{WHO}<kenmerk>k</kenmerk></BerichtLijstResultaat>"
    same = rows_of(hub(sdk_pki), FETCH_BASE, "getNieuweBerichtenLijst", row)
    peer.scripts = [same, rows_of(hub(sdk_pki), FETCH_BASE, "getNieuweBerichtenKenmerk", ""), same]

    assert [] == list(client().new_messages())
    assert 3 == len(peer.requests)


# --- keys and trust ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [DigipoortClient, AsyncDigipoortClient])
def test_one_p12_signs_and_connects(kind: type, sdk_pki: Path, peer: Peer) -> None:
    """Its password comes from the file beside it; a wrong one is said so, with the file."""
    identity = test_pki.find_identity(sdk_pki, "bakkerij-jansen")
    access: dict[str, Any] = {
        "url": {"aanleveren": peer.url},
        "hub_oin": HUB_OIN,
        "ca": test_pki.anchors(sdk_pki),
        "crl": sorted((sdk_pki / "crls").glob("*.pem")),
        "between": [hub(sdk_pki).signing_cert],
    }
    peer.scripts = [receipt(hub(sdk_pki))]

    made = kind.from_p12(identity.p12, identity.p12_password.read_bytes().strip(), **access)

    assert KENMERK == blocking(made).submit(BERICHT).kenmerk
    with pytest.raises(ConfigError, match=str(identity.p12)):
        kind.from_p12(identity.p12, b"wrong", **access)


def test_a_client_without_a_key_is_a_usage_error(sdk_pki: Path) -> None:
    """Said at once."""
    with pytest.raises(UsageError, match="no key"):
        connect_to("https://localhost", hub_oin=HUB_OIN, ca=test_pki.anchors(sdk_pki), crl=None)


def test_renewed_revocation_lists_are_read(sdk_pki: Path, tmp_path: Path) -> None:
    """The same trust as long as the files stay; another one after one was written anew."""
    crls = [Path(shutil.copy(file, tmp_path)) for file in sorted((sdk_pki / "crls").glob("*.pem"))]
    current = anchors.watched([test_pki.anchors(sdk_pki), hub(sdk_pki).signing_cert], crls)
    first = current()
    assert first is current()

    os.utime(crls[0], ns=(1, 1))

    assert first is not current()


async def test_closed_clients_leave_no_thread(sdk_pki: Path, peer: Peer) -> None:
    """At the end of `async with`."""
    peer.scripts = [receipt(hub(sdk_pki))]
    async with AsyncDigipoortClient(connection(sdk_pki, "bakkerij-jansen", peer.url)) as client:
        await client.submit(BERICHT)
        assert any(one.name.startswith("digipoort") for one in threading.enumerate())

    assert not any(one.name.startswith("digipoort") for one in threading.enumerate())


def test_both_clients_have_the_same_methods() -> None:
    """But for how they are closed."""
    public = {name for name in vars(DigipoortClient) if not name.startswith("_")}
    assert public | {"blocking", "run"} >= {name for name in vars(AsyncDigipoortClient) if not name.startswith("_")}
    assert [] == [name for name in public if not hasattr(AsyncDigipoortClient, name)]


def test_an_answer_without_end_is_cut_off(sdk_pki: Path, peer: Peer) -> None:
    """Above 160 MiB; nothing of it stays behind."""
    peer.scripts = [lambda _: (200, bytes(161 << 20))]
    before = set(Path(tempfile.gettempdir()).glob("digipoort-*"))

    with pytest.raises(AnswerLost, match="167772160 octets"):
        DigipoortClient(connection(sdk_pki, "bakkerij-jansen", peer.url)).submit(BERICHT)

    gc.collect()
    assert set(Path(tempfile.gettempdir()).glob("digipoort-*")) <= before
