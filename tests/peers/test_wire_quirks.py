"""What known clients do on the wire, each over real sockets and TLS against a running hub: survived; broken: refused.

Source of the list: digipoort 2.7 and 1.3. Shapes of the signature alone are in test_xmlsec_peer.py, what the listener
does with slow and hostile peers in tests/transport, bad input that no client of the list sends in tests/attacks.
"""

from __future__ import annotations

import asyncio
import itertools
import re
import shutil
import ssl
import subprocess
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path

import pytest
import pytest_asyncio
from cryptography.hazmat.primitives.serialization import Encoding
from helpers_door import ACTION, KV, NOW, PATH, ROLE, STATUS_ACTION, STATUS_PATH, VAT_RETURN, Door, Line, Post, stamp
from helpers_peer import CLIENTS, SHA1, SOAP, WSA, WSSE, Shape, verified_by_xmlsec
from helpers_wus import World, fault_of, verified
from lxml import etree

from digipoort_as4.gateway import Gateway
from digipoort_as4.payload import read_all
from digipoort_as4.pki import test_pki
from digipoort_as4.pki.keys import TlsFiles
from digipoort_as4.transport.guard import Guard
from digipoort_as4.transport.http import HttpAnswer
from digipoort_as4.transport.server import serve
from digipoort_as4.transport.tls import server_context
from digipoort_as4.wus import koppelvlak

CAP = 64 * 1024  # octets: wus.core reads no longer answer on one of its routes
ONLY_1_2 = (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_2)
ONLY_1_3 = (ssl.TLSVersion.TLSv1_3, ssl.TLSVersion.TLSv1_3)
TYPE, QUOTED, BARE = "Content-Type: text/xml; charset=utf-8", f'SOAPAction: "{ACTION}"', f"SOAPAction: {ACTION}"
FIXED = "De beveiliging van het bericht kon niet worden vastgesteld."


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("quirks-pki")
    test_pki.make(folder, NOW, ca_bits=2048)
    return folder


@pytest_asyncio.fixture
async def door(tmp_path: Path, pki: Path) -> AsyncIterator[Door]:
    world = World.open(tmp_path, pki)
    world.clock.at = NOW
    identity = test_pki.find_identity(pki, "digipoort")
    context = server_context(TlsFiles(identity.tls_cert, identity.tls_key), test_pki.anchors(pki))
    guard = Guard(linger=timedelta(seconds=0.3))
    server = await serve(Gateway(world.office), context, world.office.spool, guard=guard)
    yield Door(world, pki, server.port)
    await server.close(timedelta(seconds=1))
    await world.close()


def receipt(answer: HttpAnswer, world: World) -> koppelvlak.AanleverResponse:
    """The receipt, after both engines have verified it; and it is no longer than the shortest reader reads."""
    found = koppelvlak.read(koppelvlak.AanleverResponse, verified(answer, world))
    octets = read_all(answer.body)
    assert verified_by_xmlsec(octets, world.office.signer.certificate.x509.public_bytes(Encoding.PEM))
    assert b'<Signature xmlns="http://www.w3.org/2000/09/xmldsig#">' in octets  # wus.core throws on a prefix
    assert len(octets) < CAP
    return found


def refused(answer: HttpAnswer, world: World, *texts: str) -> koppelvlak.Fault:
    """A fault as clients can show it (digipoort 2.5, 2.6), short, unsigned; and nothing was stored."""
    fault = fault_of(answer)
    assert fault.fout is not None
    assert (500, "ALS100") == (answer.status, fault.fout.foutcode)
    assert "text/xml; charset=utf-8" == answer.headers["content-type"]
    octets = read_all(answer.body)
    envelope = etree.fromstring(octets)
    assert f"{{{KV}}}aanleverFault" == envelope.find(f"{{{SOAP}}}Body/{{{SOAP}}}Fault/detail")[0].tag
    assert envelope.find(f".//{{{WSSE}}}Security") is None
    assert len(octets) < CAP
    assert [] == [text for text in texts if text not in fault.cause], fault.cause
    assert {} == world.stored()
    return fault


# --- the five clients, as they are ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Manners:
    """What one client does beside the message."""

    post: Post
    line: Line = field(default_factory=Line)
    shape: dict[str, object] = field(default_factory=dict)


MANNERS: dict[str, Manners] = {
    "wus-js": Manners(Post(headers=(TYPE, BARE, "Accept-Encoding: gzip, deflate, br"))),
    "wus.core": Manners(
        Post(headers=(BARE, "Content-Type: text/xml"), expect=True),
        Line(ONLY_1_2),
        {"to": "aanleverservice/1.2"},
    ),
    "odoo-zeep": Manners(
        Post(
            headers=(
                "User-Agent: python-requests/2.32.3",
                "Accept-Encoding: gzip, deflate",
                "Accept: */*",
                "Connection: keep-alive",
                QUOTED,
                TYPE,
            )
        )
    ),
    "cxf-policy": Manners(
        Post(
            headers=(
                "Content-Type: text/xml; charset=UTF-8",
                "Accept: */*",
                QUOTED,
                "User-Agent: Apache-CXF/4.1.3",
                "Cache-Control: no-cache",
                "Pragma: no-cache",
            ),
            chunks=(4096,),
        ),
        Line(name=None),
    ),
    "wcf": Manners(
        Post(headers=(TYPE, "VsDebuggerCausalityData: uIDPo2", QUOTED, "Accept-Encoding: gzip, deflate"), expect=True),
        Line(ONLY_1_2, trusts=False),
    ),
}


def shape_of(door: Door, client: str, **changes: object) -> Shape:
    return door.shape(client, **{**MANNERS[client].shape, **changes})


@pytest.mark.parametrize("client", CLIENTS)
async def test_a_known_client_delivers_and_follows(door: Door, client: str) -> None:
    """Aanleveren and getStatussenProces, with that client's TLS, HTTP headers and signature: both answers hold."""
    manners = MANNERS[client]
    said = await door.hears(door.signed(shape_of(door, client)), post=manners.post, line=manners.line)

    kenmerk = receipt(said.answer, door.world).kenmerk
    assert said.continued is manners.post.expect
    assert "content-encoding" not in said.answer.headers
    assert 1 == door.world.stored()["process"]

    to = "statusinformatieservice/1.2" if manners.shape else f"https://localhost{STATUS_PATH}"
    asks = door.signed(
        door.shape(client, action=STATUS_ACTION, to=to),
        f'<getStatussenProcesRequest xmlns="{KV}"><kenmerk>{kenmerk}</kenmerk></getStatussenProcesRequest>',
    )
    headers = tuple(line.replace(ACTION, STATUS_ACTION) for line in manners.post.headers)
    asked = await door.hears(asks, post=replace(manners.post, path=STATUS_PATH, headers=headers), line=manners.line)

    told = verified(asked.answer, door.world).operation
    assert f"{{{KV}}}getStatussenProcesResponse" == told.tag
    assert ["105", "100", "110"] == [one.text for one in told.iter(f"{{{KV}}}statuscode")]
    assert {kenmerk} == {one.text for one in told.iter(f"{{{KV}}}kenmerk")}


def test_the_shapes_have_the_quirks_that_they_stand_for(pki: Path) -> None:
    """Read back with regular expressions from what xmlsec made, so that no shape loses its point unnoticed."""
    door = Door(None, pki, 0)  # type: ignore[arg-type]
    made = {client: door.signed(shape_of(door, client)).decode() for client in CLIENTS}

    value = re.search(r"SignatureValue>([^<]+)<", made["odoo-zeep"])
    assert value is not None
    assert "\n" in value[1].strip()
    assert re.search(r"Created>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z<", made["odoo-zeep"])
    assert "mustUnderstand" not in made["odoo-zeep"]
    assert re.search(r'<a:Action [^>]*s:mustUnderstand="1"', made["wus-js"])
    assert ">aanleverservice/1.2</a:To>" in made["wus.core"]
    assert re.search(r'<ds:Signature [^>]*Id="SIG-1"', made["cxf-policy"])
    assert '<ds:KeyInfo Id="KI-1">' in made["cxf-policy"]
    assert '<wsse:SecurityTokenReference wsu:Id="STR-1">' in made["cxf-policy"]
    assert 2 == made["cxf-policy"].count('URI="#id-timestamp"')
    assert made["cxf-policy"].index("wsse:Security ") < made["cxf-policy"].index("wsa:To ")
    assert "ReplyTo" not in made["wcf"]


# --- each of them with one thing broken -------------------------------------------------------------------------------


def without(part: str) -> Callable[[Shape], Shape]:
    return lambda shape: shape.but(signed=tuple(name for name in shape.signed if name != part))


def older(shape: Shape) -> Shape:
    """Made an hour ago, with the same life."""
    made, ends = (stamp(shape.created, NOW - timedelta(minutes=m)) for m in (60, 55))
    return shape.but(created=made, expires=ends)


def lasting(shape: Shape) -> Shape:
    return shape.but(expires=stamp(shape.created, NOW + timedelta(days=2)))


def in_address(text: str) -> Callable[[etree._Element], None]:
    def change(envelope: etree._Element) -> None:
        envelope.find(f".//{{{WSA}}}ReplyTo/{{{WSA}}}Address").text = text

    return change


SIGNED_WRONG: dict[str, tuple[Callable[[Shape], Shape], tuple[str, ...]]] = {
    "wsa:To not signed": (without("to"), ("Waar: To",)),
    "Timestamp not signed": (without("timestamp"), ("Waar: Timestamp",)),
    "an hour late": (older, ("Timestamp",)),
    "To of another service": (
        lambda s: s.but(to="https://localhost/wus/2.0/ophaalservice/1.2"),
        ("Waar: wsa:To", "/aanleverservice/1.2"),
    ),
    "Action of another service": (lambda s: s.but(action=STATUS_ACTION), ("Waar: wsa:Action", ACTION)),
    "SHA-1 without leave": (lambda s: s.but(algorithms=SHA1), ("Waar: SignatureMethod", "SHA-1")),
    "an answer elsewhere": (
        lambda s: s.but(
            reply_to=True,
            signed=(*without("reply_to")(s).signed, "reply_to"),
            extra=in_address("https://elders.example/"),
        ),
        ("Waar: wsa:ReplyTo", "https://elders.example/"),
    ),
}


@pytest.mark.parametrize("broken", SIGNED_WRONG)
@pytest.mark.parametrize("client", CLIENTS)
async def test_a_known_client_that_signs_one_thing_wrongly(door: Door, client: str, broken: str) -> None:
    """Its own manners on the wire, one thing otherwise under its own signature: the fault names it."""
    change, texts = SIGNED_WRONG[broken]
    manners = MANNERS[client]

    said = await door.hears(door.signed(change(shape_of(door, client))), post=manners.post, line=manners.line)

    refused(said.answer, door.world, *texts)


WRONG_BODY: dict[str, tuple[str, tuple[str, ...]]] = {
    "two elements in each other's place": (
        VAT_RETURN.replace(ROLE, "").replace("<berichtsoort>", f"{ROLE}<berichtsoort>"),
        ("rolBelanghebbende", "berichtsoort"),
    ),
    "no berichtsoort": (VAT_RETURN.replace("<berichtsoort>Omzetbelasting</berichtsoort>", ""), ("berichtsoort",)),
    "a namespace too few": (VAT_RETURN.replace(f' xmlns="{KV}"', ""), ("aanleverRequest",)),
}


@pytest.mark.parametrize("broken", WRONG_BODY)
@pytest.mark.parametrize("client", CLIENTS)
async def test_a_known_client_with_a_wrong_body(door: Door, client: str, broken: str) -> None:
    """Well signed, but not what the schema has; the first is the order of one PHP client (digipoort 2.3)."""
    operation, texts = WRONG_BODY[broken]
    manners = MANNERS[client]

    said = await door.hears(door.signed(shape_of(door, client), operation), post=manners.post, line=manners.line)

    refused(said.answer, door.world, *texts)


@pytest.mark.parametrize("client", CLIENTS)
async def test_a_known_client_on_somebody_elses_line(door: Door, client: str) -> None:
    """Good message, good TLS certificate, two organisations: the fixed text, no more."""
    manners = MANNERS[client]
    body = door.signed(shape_of(door, client))

    said = await door.hears(body, post=manners.post, line=manners.line, who="installatie-deboer")

    refused(said.answer, door.world, FIXED)


@pytest.mark.parametrize("client", CLIENTS)
async def test_a_known_client_whose_message_changes_on_its_way(door: Door, client: str) -> None:
    manners = MANNERS[client]
    body = door.signed(shape_of(door, client)).replace(b"PHhicmwvPg==", b"PHhicmwvPh==")

    said = await door.hears(body, post=manners.post, line=manners.line)

    refused(said.answer, door.world, FIXED)


# --- TLS --------------------------------------------------------------------------------------------------------------

LINES: dict[str, tuple[Line, str, str | None]] = {
    "TLS 1.2 only": (Line(ONLY_1_2), "TLSv1.2", None),
    "TLS 1.3 only": (Line(ONLY_1_3), "TLSv1.3", None),
    "h2 and http/1.1 in ALPN": (Line(alpn=("h2", "http/1.1")), "TLSv1.3", "http/1.1"),
    "h2 alone in ALPN": (Line(alpn=("h2",)), "TLSv1.3", None),
    "http/1.1 in ALPN": (Line(alpn=("http/1.1",)), "TLSv1.3", "http/1.1"),
    "no SNI": (Line(name=None), "TLSv1.3", None),
    "SNI of another host": (Line(name="digipoort.example", trusts=False), "TLSv1.3", None),
    "server not verified": (Line(trusts=False), "TLSv1.3", None),
    "all at once": (Line(ONLY_1_2, ("h2", "http/1.1"), None, trusts=False), "TLSv1.2", "http/1.1"),
}


@pytest.mark.parametrize("name", LINES)
async def test_tls_as_clients_speak_it(door: Door, name: str) -> None:
    line, tls, alpn = LINES[name]

    said = await door.hears(door.signed(door.shape("wus.core")), line=line)

    assert (tls, alpn) == (said.tls, said.alpn)
    assert receipt(said.answer, door.world).kenmerk


@pytest.mark.skipif(not shutil.which("openssl"), reason="openssl is not on this machine")
async def test_openssl_itself_delivers(door: Door, tmp_path: Path) -> None:
    """s_client as the other TLS stack: 1.2, no SNI, h2 first in ALPN, the octets from a file."""
    identity = test_pki.find_identity(door.pki, "bakkerij-jansen")
    body = door.signed(door.shape("cxf-policy"))
    (tmp_path / "request").write_bytes(
        replace(Post(), headers=(*Post().headers, "Connection: close")).head(body) + body
    )
    words = ["openssl", "s_client", "-connect", f"127.0.0.1:{door.port}", "-tls1_2", "-noservername", "-ign_eof"]
    words += ["-alpn", "h2,http/1.1", "-cert", str(identity.tls_cert), "-key", str(identity.tls_key)]
    words += ["-cert_chain", str(identity.tls_cert), "-CAfile", str(test_pki.anchors(door.pki)), "-verify_return_error"]
    shown = await _output(words, tmp_path / "request")

    assert b"HTTP/1.1 200 OK" in shown
    assert b"ALPN protocol: http/1.1" in shown
    head, _, octets = shown.partition(b"HTTP/1.1 200 OK")[2].partition(b"\r\n\r\n")
    length = int(re.search(rb"(?i)content-length: (\d+)", head)[1])  # type: ignore[index]
    hub = door.world.office.signer.certificate.x509.public_bytes(Encoding.PEM)
    assert verified_by_xmlsec(octets[:length], hub)
    assert 1 == door.world.stored()["process"]


@pytest.mark.skipif(not shutil.which("curl"), reason="curl is not on this machine")
@pytest.mark.parametrize(("size", "expects"), [(1_000, False), (1_500_000, True)])
async def test_curl_itself_delivers(door: Door, tmp_path: Path, size: int, expects: bool) -> None:
    """It offers h2 by itself, and asks first above 1 MiB; one letter less in the body and it shows the fault."""
    identity = test_pki.find_identity(door.pki, "bakkerij-jansen")
    content = "QUFB" * (size // 4)
    body = door.signed(door.shape("wcf"), VAT_RETURN.replace("PHhicmwvPg==", content))
    words = ["curl", "-sv", f"https://localhost:{door.port}{PATH}", "--cacert", str(test_pki.anchors(door.pki))]
    words += ["--cert", str(identity.tls_cert), "--key", str(identity.tls_key), "--noproxy", "*"]
    words += ["-H", TYPE, "-H", QUOTED, "--data-binary", f"@{tmp_path / 'body'}"]

    (tmp_path / "body").write_bytes(body.replace(b"QUFB", b"QUFC", 1))
    shown = await _output(words)
    assert FIXED.encode() in shown
    assert {} == door.world.stored()

    (tmp_path / "body").write_bytes(body)
    shown = await _output(words)
    assert b"aanleverResponse" in shown
    assert 1 == door.world.stored()["process"]
    assert b"ALPN: offers h2" in shown
    assert expects is (b"HTTP/1.1 100 Continue" in shown)


async def _output(words: list[str], stdin: Path | None = None) -> bytes:
    """Both streams of a command, which must end well."""

    def run() -> bytes:
        octets = stdin.read_bytes() if stdin else b""
        return subprocess.run(
            words, input=octets, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=20, check=True
        ).stdout

    return await asyncio.to_thread(run)


# --- HTTP -------------------------------------------------------------------------------------------------------------

POSTS: dict[str, Post] = {
    "SOAPAction quoted": Post(headers=(TYPE, QUOTED)),
    "SOAPAction unquoted": Post(headers=(TYPE, BARE)),
    "SOAPAction empty and quoted": Post(headers=(TYPE, 'SOAPAction: ""')),
    "SOAPAction empty": Post(headers=(TYPE, "SOAPAction:")),
    "no SOAPAction": Post(headers=(TYPE,)),
    "header names in small letters": Post(headers=(TYPE.lower(), f'soapaction: "{ACTION}"')),
    "header names in capitals": Post(headers=("CONTENT-TYPE: text/xml", f'SOAPACTION:"{ACTION}"')),
    "no charset": Post(headers=("Content-Type: text/xml", QUOTED)),
    "charset in capitals and quotes": Post(headers=('Content-Type: text/xml;charset="UTF-8"', QUOTED)),
    "Content-Type last": Post(headers=("Accept: */*", QUOTED, "User-Agent: x", TYPE)),
    "one chunk": Post(chunks=(1_000_000,)),
    "chunks of 4,000": Post(chunks=(4_000,)),
    "chunks of seven": Post(chunks=(7,)),
    "chunks of one and of the rest": Post(chunks=(1, 1, 1, 1_000_000)),
    "asks first": Post(expect=True),
    "asks first, then chunks": Post(expect=True, chunks=(4096,)),
    "HTTP/1.0": Post(version="1.0"),
}


@pytest.mark.parametrize("name", POSTS)
async def test_http_as_clients_speak_it(door: Door, name: str) -> None:
    said = await door.hears(door.signed(door.shape("wus-js")), post=POSTS[name])

    assert receipt(said.answer, door.world).kenmerk
    assert said.continued is POSTS[name].expect


HTTP_WRONG: dict[str, tuple[Post, tuple[str, ...]]] = {
    "SOAPAction of another service": (
        Post(headers=(TYPE, f'SOAPAction: "{STATUS_ACTION}"')),
        ("Waar: SOAPAction", STATUS_ACTION, ACTION),
    ),
    "SOAPAction in single quotes": (Post(headers=(TYPE, f"SOAPAction: '{ACTION}'")), ("Waar: SOAPAction",)),
    "SOAP 1.2": (
        Post(headers=(f'Content-Type: application/soap+xml; charset=utf-8; action="{ACTION}"',)),
        ("Waar: Content-Type", "application/soap+xml", "text/xml"),
    ),
    "no Content-Type": (Post(headers=(QUOTED,)), ("Waar: Content-Type", "text/xml")),
    "Latin-1": (Post(headers=("Content-Type: text/xml; charset=iso-8859-1", QUOTED)), ("iso-8859-1", "utf-8")),
}


@pytest.mark.parametrize("name", HTTP_WRONG)
async def test_http_that_is_not_understood(door: Door, name: str) -> None:
    """The same good message under one wrong header: said in words which."""
    post, texts = HTTP_WRONG[name]

    said = await door.hears(door.signed(door.shape("wus-js")), post=post)

    fault = fault_of(said.answer)
    assert said.answer.status in (415, 500)
    assert [] == [text for text in texts if text not in fault.cause], fault.cause
    assert {} == door.world.stored()


async def test_a_body_that_is_too_large_is_not_asked_for(door: Door) -> None:
    """Who asks first hears 413 instead of 100 Continue, and has sent nothing."""
    huge = Post(headers=(TYPE, QUOTED), expect=True, length=999_999_999)
    said = await door.hears(b"", post=huge)

    assert (413, False) == (said.answer.status, said.continued)
    assert "Het verzoek is te groot." in fault_of(said.answer).cause


async def test_three_messages_on_one_connection(door: Door) -> None:
    """Kept alive, as requests and WCF do: one handshake, three processes; a refusal between them ends nothing."""
    good = [door.signed(door.shape("odoo-zeep")) for _ in range(3)]
    bad = good[1].replace(b"Happyflow", b"Happyflov")

    said = await door.hears(good[0], bad, *good[1:], post=MANNERS["odoo-zeep"].post)

    assert [200, 500, 200, 200] == [answer.status for answer in said.answers]
    assert 3 == len({receipt(said.answers[index], door.world).kenmerk for index in (0, 2, 3)})
    assert 3 == door.world.stored()["process"]


# --- XML --------------------------------------------------------------------------------------------------------------


def retyped(pattern: str, change: Callable[[str], str]) -> Callable[[bytes], bytes]:
    """Change a text after signing that no signature covers."""

    def apply(octets: bytes) -> bytes:
        changed, count = re.subn(pattern, lambda found: found[1] + change(found[2]) + found[3], octets.decode())
        assert 1 == count
        return changed.encode()

    return apply


VALUE = r"(SignatureValue>)([^<]+)(<)"
TOKEN = r"(BinarySecurityToken [^>]*>)([^<]+)(<)"


def lines(text: str, end: str, width: int = 76) -> str:
    letters = "".join(text.split())
    return end.join(letters[at : at + width] for at in range(0, len(letters), width))


XML: dict[str, Callable[[bytes], bytes]] = {
    "SignatureValue on one line": retyped(VALUE, lambda text: lines(text, "", 4096)),
    "SignatureValue in lines of 64": retyped(VALUE, lambda text: "\n" + lines(text, "\n", 64) + "\n"),
    "SignatureValue with CR LF": retyped(VALUE, lambda text: lines(text, "\r\n")),
    "SignatureValue with CR as Java writes it": retyped(VALUE, lambda text: lines(text, "&#13;\n")),
    "SignatureValue indented": retyped(VALUE, lambda text: "\n\t   " + lines(text, "\n\t   ") + "\n  "),
    "token on one line": retyped(TOKEN, lambda text: lines(text, "", 4096)),
    "token with CR as Java writes it": retyped(TOKEN, lambda text: lines(text, "&#13;\n")),
    "XML declaration": lambda octets: b'<?xml version="1.0" encoding="UTF-8"?>' + octets,
    "XML declaration in single quotes": lambda octets: b"<?xml version='1.0' encoding='utf-8'?>\n" + octets,
    "XML declaration with standalone": lambda octets: (
        b'<?xml version="1.0" encoding="utf-8" standalone="no"?>\r\n' + octets
    ),
    "byte order mark": lambda octets: b"\xef\xbb\xbf" + octets,
    "white space at the end": lambda octets: octets + b"\r\n\r\n",
    "CR LF for each line end": lambda octets: octets.replace(b"\n", b"\r\n"),
}


@pytest.mark.parametrize("name", XML)
async def test_xml_as_clients_write_it(door: Door, name: str) -> None:
    """None of this is covered by the signature, or it is the same infoset."""
    said = await door.hears(XML[name](door.signed(door.shape("odoo-zeep"))))

    assert receipt(said.answer, door.world).kenmerk


@pytest.mark.parametrize("order", itertools.permutations(("timestamp", "token", "signature")), ids="-".join)
async def test_each_order_of_the_children_of_security(door: Door, order: tuple[str, ...]) -> None:
    shape = door.shape("cxf-policy", order=order)
    assert receipt((await door.hears(door.signed(shape))).answer, door.world).kenmerk


HEADERS = ("reply_to", "to", "action", "message_id")


@pytest.mark.parametrize("order", list(itertools.permutations(HEADERS))[::5], ids="-".join)
@pytest.mark.parametrize("place", ["first", "middle", "last"])
async def test_each_order_of_the_headers(door: Door, order: tuple[str, ...], place: str) -> None:
    """Security before, between and after the addressing headers."""

    def move(envelope: etree._Element) -> None:
        envelope[0].insert(2, envelope[0].find(f"{{{WSSE}}}Security"))

    shape = door.shape(
        "wus.core", addressing=order, security_last=place == "last", extra=move if place == "middle" else None
    )
    assert receipt((await door.hears(door.signed(shape))).answer, door.world).kenmerk


STAMPS = {"seconds": "", "milliseconds": ".123", "microseconds": ".123456", "tenth microseconds": ".1234567"}


@pytest.mark.parametrize("digits", STAMPS)
@pytest.mark.parametrize("life", [None, 5, 10])
async def test_timestamps_as_clients_write_them(door: Door, digits: str, life: int | None) -> None:
    """Up to the seven digits of .NET; five and ten minutes, or no Expires (digipoort 2.2, 2.4)."""
    like = f"2026-01-01T00:00:00{STAMPS[digits]}Z"
    ends = stamp(like, NOW + timedelta(minutes=life)) if life else None
    shape = door.shape("odoo-zeep", created=stamp(like, NOW), expires=ends)
    assert receipt((await door.hears(door.signed(shape))).answer, door.world).kenmerk


OPERATIONS: dict[str, str] = {
    "mimeType application/xml": VAT_RETURN.replace("text/xml", "application/xml"),
    "TaxReport.xbrl": VAT_RETURN.replace("Omzetbelasting.xbrl", "TaxReport.xbrl"),
    "a prefix": VAT_RETURN.replace("</", "</k:")
    .replace("<", "<k:")
    .replace("<k:/k:", "</k:")
    .replace("xmlns", "xmlns:k"),
    "white space between elements": VAT_RETURN.replace("><", ">\r\n  <"),
    "white space around a value": VAT_RETURN.replace(">Omzetbelasting<", ">\n  Omzetbelasting\t<"),
    "an xsi attribute for nothing": VAT_RETURN.replace(
        "<aanleverRequest",
        '<aanleverRequest xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" '
        'xmlns:xsd="http://www.w3.org/2001/XMLSchema"',
        1,
    ),
    "content in lines": VAT_RETURN.replace("PHhicmwvPg==", "PHhi\r\ncmwv\r\nPg==\r\n"),
}


@pytest.mark.parametrize("name", OPERATIONS)
async def test_the_operation_as_clients_write_it(door: Door, name: str) -> None:
    operation = OPERATIONS[name]
    said = await door.hears(door.signed(door.shape("wcf"), operation))

    found = receipt(said.answer, door.world)
    assert ("Omzetbelasting", "Bedrijf") == (found.berichtsoort, found.rol_belanghebbende)


@pytest.mark.parametrize("role", ["<rolBelanghebbende/>", "<rolBelanghebbende></rolBelanghebbende>"])
async def test_an_empty_role_comes_back_empty(door: Door, role: str) -> None:
    """One client of the banks sends it so, and the schema allows it (digipoort 1.1, 1.6)."""
    said = await door.hears(door.signed(door.shape("cxf-policy"), VAT_RETURN.replace(ROLE, role)))

    assert "" == receipt(said.answer, door.world).rol_belanghebbende


async def test_no_role_at_all_is_refused(door: Door) -> None:
    said = await door.hears(door.signed(door.shape("cxf-policy"), VAT_RETURN.replace(ROLE, "")))

    refused(said.answer, door.world, "rolBelanghebbende")


@pytest.mark.parametrize("to", ["aanleverservice/1.2", "/wus/2.0/aanleverservice/1.2", "aanleverservice/1.2/"])
async def test_a_relative_to(door: Door, to: str) -> None:
    said = await door.hears(door.signed(door.shape("wus.core", to=to)))

    assert receipt(said.answer, door.world).kenmerk


@pytest.mark.parametrize("to", ["1.2", "ophaalservice/1.2", "aanleverservice/1.1", "xaanleverservice/1.2"])
async def test_a_relative_to_of_another(door: Door, to: str) -> None:
    said = await door.hears(door.signed(door.shape("wus.core", to=to)))

    refused(said.answer, door.world, "Waar: wsa:To", to)


async def test_a_large_request_gets_a_small_answer(door: Door) -> None:
    """Three MiB with long values everywhere: the receipt does not grow with it."""
    much = VAT_RETURN.replace("PHhicmwvPg==", "QUFB" * 1_048_576)
    said = await door.hears(door.signed(door.shape("wus.core"), much), post=Post(expect=True, chunks=(65_536,)))

    assert receipt(said.answer, door.world).kenmerk
    assert len(said.raw) < CAP


async def test_a_large_mistake_gets_a_small_answer(door: Door) -> None:
    """200 kB where 80 letters are allowed, and 2,000 unknown elements: the fault quotes little of it."""
    long = VAT_RETURN.replace(">Omzetbelasting<", f">{'O' * 200_000}<").replace(ROLE, ROLE + "<x/>" * 2_000)
    said = await door.hears(door.signed(door.shape("wus.core"), long))

    refused(said.answer, door.world, "berichtsoort")
    assert len(said.raw) < CAP
