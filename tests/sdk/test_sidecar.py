"""The side-car over real sockets: plain SOAP in, signed WUS at the post office, the verified answer back."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import aiohttp
import pytest
import zeep
from helpers_sdk import Peer, connection, drop, fault, read, receipt
from lxml import etree

from digipoort_as4.errors import UsageError
from digipoort_as4.journal import Journal
from digipoort_as4.payload import Spool
from digipoort_as4.pki import test_pki
from digipoort_as4.sdk.sidecar import Sidecar, check_listen
from digipoort_as4.soap.names import KV, SOAP11, WSA, q
from digipoort_as4.transport.server import serve
from digipoort_as4.wssecurity.open_message import SignaturePolicy, open_message

PATH = "/wus/2.0/aanleverservice/1.2"
KEY = "een-geheim-van-zestien"


def envelope(inhoud: bytes = b"<x/>", header: str | None = None) -> bytes:
    """What any SOAP stack writes without WS-Security."""
    text = base64.b64encode(inhoud).decode()
    return (
        f'<s:Envelope xmlns:s="{SOAP11}">{"" if header is None else f"<s:Header>{header}</s:Header>"}'
        f'<s:Body><aanleverRequest xmlns="{KV}">'
        "<berichtsoort>Omzetbelasting</berichtsoort><aanleverkenmerk>mijn-1</aanleverkenmerk>"
        "<identiteitBelanghebbende><nummer>001000044B37</nummer><type>BTW</type></identiteitBelanghebbende>"
        "<rolBelanghebbende>Bedrijf</rolBelanghebbende><berichtInhoud><mimeType>text/xml</mimeType>"
        f"<bestandsnaam>a.xbrl</bestandsnaam><inhoud>{text}</inhoud></berichtInhoud></aanleverRequest></s:Body></s:Envelope>"
    ).encode()


class Answer(NamedTuple):
    status: int
    body: bytes

    def text(self, name: str) -> str:
        return etree.fromstring(self.body).findtext(f".//{name}") or ""


Post = Callable[..., "asyncio.Future[Answer]"]


class Running(NamedTuple):
    """A side-car on a port of loopback."""

    url: str

    async def post(self, body: bytes, headers: dict[str, str] | None = None, method: str = "POST") -> Answer:
        sent = {"Content-Type": "text/xml; charset=utf-8", **(headers or {})}
        async with (
            aiohttp.ClientSession() as session,
            session.request(method, self.url, data=body, headers=sent) as got,
        ):
            return Answer(got.status, await got.read())


@pytest.fixture
async def car(peer: Peer, sdk_pki: Path, tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Running]:
    standing = connection(sdk_pki, "bakkerij-jansen", peer.url, sleep=lambda _: None)
    spool = Spool(tmp_path / "spool")
    sidecar = Sidecar(standing, spool, Journal(None), getattr(request, "param", ""))
    server = await serve(sidecar, None, spool)
    yield Running(f"http://127.0.0.1:{server.port}{PATH}")
    await server.close()
    assert [] == list((tmp_path / "spool").iterdir())


@pytest.fixture
def hub(sdk_pki: Path) -> test_pki.Identity:
    return test_pki.find_identity(sdk_pki, "digipoort")


async def test_what_leaves_is_signed(car: Running, peer: Peer, sdk_pki: Path, hub: test_pki.Identity) -> None:
    """The post office gets the caller's body under a whole signature; the caller gets the receipt, plain."""
    peer.scripts.append(receipt(hub))
    answer = await car.post(envelope(header=f'<a:MessageID xmlns:a="{WSA}">mijn-bericht</a:MessageID>'))
    (got,) = peer.requests
    opened = open_message(got.message, SignaturePolicy(), test_pki.trust(sdk_pki), datetime.now(UTC))
    assert "00000099000000101000" == opened.oin
    assert "mijn-1" == opened.operation.findtext(q(KV, "aanleverkenmerk"))
    assert (200, "700627b6-383e-4d8d-809f-b066845b36e0") == (answer.status, answer.text(q(KV, "kenmerk")))
    assert "mijn-bericht" == answer.text(q(WSA, "RelatesTo"))
    assert b"Signature" not in answer.body


async def test_a_large_document_is_streamed(car: Running, peer: Peer, hub: test_pki.Identity) -> None:
    """Octet for octet the caller's, though it never entered a tree."""
    inhoud = bytes(range(256)) * 1024
    peer.scripts.append(receipt(hub))
    assert 200 == (await car.post(envelope(inhoud))).status
    message = read(peer.requests[0].octets)
    (large,) = message.large
    assert inhoud == base64.b64decode(b"".join(large.text.open()))


async def test_a_fault_comes_back_readable(car: Running, peer: Peer) -> None:
    """As the post office wrote it, HTTP 500, its cause in the text."""
    peer.scripts.append(fault)
    answer = await car.post(envelope())
    assert (500, "ALS100") == (answer.status, answer.text(q(KV, "foutcode")))
    assert "De berichtsoort is niet bekend." in answer.text(q(KV, "foutbeschrijving"))


async def test_a_receipt_that_was_changed_is_not_handed_on(car: Running, peer: Peer, hub: test_pki.Identity) -> None:
    """One letter of the Body changed on the way: a fault of the side-car, and nothing of the receipt."""
    peer.scripts.append(receipt(hub, change=lambda octets: octets.replace(b"Omzetbelasting<", b"Omzetbelastinh<")))
    answer = await car.post(envelope())
    assert (500, "ALS400") == (answer.status, answer.text(q(KV, "foutcode")))
    assert "must not be used" in answer.text("faultstring")
    assert b"700627b6" not in answer.body


async def test_no_answer_says_what_to_do(car: Running, peer: Peer) -> None:
    """The post office hangs up: the outcome is not known, and the fault says so."""
    peer.scripts.append(drop)
    answer = await car.post(envelope())
    assert 500 == answer.status
    assert "may have been accepted" in answer.text("faultstring")


@pytest.mark.parametrize(
    ("status", "headers", "body", "says"),
    [
        (415, {"Content-Type": "text/plain"}, envelope(), "text/plain"),
        (500, {"Origin": "https://elders.example"}, envelope(), "Origin"),
        (500, {"Host": "elders.example"}, envelope(), "elders.example"),
        (500, {}, b"geen xml", "not-xml"),
        (500, {}, envelope().replace(b"aanleverRequest", b"leverRequest"), "aanleverRequest"),
        (500, {}, envelope(header='<eigen xmlns="urn:x" s:mustUnderstand="1"/>'), "eigen"),
    ],
)
async def test_other_requests_are_refused(
    car: Running, peer: Peer, hub: test_pki.Identity, status: int, headers: dict[str, str], body: bytes, says: str
) -> None:
    """With what was found; the post office hears nothing of them."""
    peer.scripts.append(receipt(hub))
    answer = await car.post(body, headers)
    assert status == answer.status
    assert says in answer.text("faultstring")
    assert [] == peer.requests


async def test_plain_zeep_loads_what_it_describes(car: Running, peer: Peer, hub: test_pki.Identity) -> None:
    """`?wsdl` has the side-car's own address and no security policy: stock zeep, without a line of ours, delivers."""
    peer.scripts.append(receipt(hub))
    client = await asyncio.to_thread(zeep.Client, f"{car.url}?wsdl")
    answer = await asyncio.to_thread(
        client.service.aanleveren,
        berichtsoort="Omzetbelasting",
        identiteitBelanghebbende={"nummer": "001000044B37", "type": "BTW"},
        rolBelanghebbende="Bedrijf",
        berichtInhoud={"mimeType": "text/xml", "bestandsnaam": "a.xbrl", "inhoud": b"<x/>"},
    )
    assert "700627b6-383e-4d8d-809f-b066845b36e0" == answer.kenmerk
    text = (await car.post(b"", {}, "GET")).body
    assert b"wsp:Policy" not in text


async def test_only_post(car: Running) -> None:
    assert 405 == (await car.post(b"", method="PUT")).status


async def test_an_unknown_path_names_the_known(car: Running) -> None:
    answer = await Running(car.url.replace("aanleverservice", "elders")).post(envelope())
    assert 404 == answer.status
    assert PATH in answer.text("faultstring")


@pytest.mark.parametrize("car", [KEY], indirect=True)
@pytest.mark.parametrize(("shown", "status"), [(f"Bearer {KEY}", 200), (f"Bearer {KEY}x", 500), ("", 500)])
async def test_the_api_key_opens_the_door(
    car: Running, peer: Peer, hub: test_pki.Identity, shown: str, status: int
) -> None:
    """Also for a caller that knows the side-car by another name."""
    peer.scripts.append(receipt(hub))
    answer = await car.post(envelope(), {"Authorization": shown, "Host": "sidecar.intern"})
    assert status == answer.status
    assert (status == 200) == bool(peer.requests)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost"])
def test_loopback_needs_no_key(host: str) -> None:
    check_listen(host, "")


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.1", "sidecar.intern"])
def test_elsewhere_needs_a_key(host: str) -> None:
    """Whoever reaches the port signs in our name."""
    check_listen(host, KEY)
    with pytest.raises(UsageError, match="sign in your name"):
        check_listen(host, "")
