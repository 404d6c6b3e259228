"""Plain zeep with the plug-in: what it sends is signed, what it reads was verified, and faults say what is wrong."""

from __future__ import annotations

import base64
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import zeep
from helpers_sdk import (
    FETCH_BASE,
    KENMERK,
    STATUS_BASE,
    Peer,
    collected,
    connection,
    fault,
    receipt,
    rows_of,
)
from zeep.wsse.username import UsernameToken

from digipoort_as4.config import data_file
from digipoort_as4.errors import Refused, SignatureError, UsageError
from digipoort_as4.payload import BytesPayload
from digipoort_as4.pki import test_pki
from digipoort_as4.sdk.zeep import wus
from digipoort_as4.wssecurity.open_message import SignaturePolicy, open_message

ASKED = {
    "berichtsoort": "Omzetbelasting",
    "identiteitBelanghebbende": {"nummer": "001000044B37", "type": "BTW"},
    "rolBelanghebbende": "Bedrijf",
    "berichtInhoud": {"mimeType": "text/xml", "bestandsnaam": "a.xbrl", "inhoud": b"<xbrl/>"},
}


@pytest.fixture
def plug(sdk_pki: Path, peer: Peer) -> dict[str, Any]:
    return wus(connection=connection(sdk_pki, "bakkerij-jansen", peer.url, sleep=lambda _: None))


def service(wsdl: str | Path, plug: dict[str, Any], peer: Peer, **more: Any) -> Any:
    client = zeep.Client(str(wsdl), **{**plug, **more})
    return client.create_service(next(iter(client.wsdl.bindings)), peer.url)


def ours(name: str) -> Path:
    return data_file(f"schemas/{name}Service_V1_2.wsdl")


def hub(pki: Path) -> test_pki.Identity:
    return test_pki.find_identity(pki, "digipoort")


def test_a_document_of_15_mb_leaves_signed(sdk_pki: Path, peer: Peer, plug: dict[str, Any]) -> None:
    """Above 10 MB libxml2 would refuse it as one text; the signature covers it octet for octet."""
    octets = os.urandom(15_000_000)
    peer.scripts = [receipt(hub(sdk_pki))]

    got = service(ours("Aanlever"), plug, peer).aanleveren(
        **{**ASKED, "berichtInhoud": {**ASKED["berichtInhoud"], "inhoud": octets}}
    )

    message = peer.requests[0].message
    open_message(message, SignaturePolicy(), test_pki.trust(sdk_pki), datetime.now(UTC))
    assert octets == base64.b64decode(b"".join(message.large[0].text.open()))
    assert KENMERK == got.kenmerk


def test_a_document_of_15_mb_arrives(sdk_pki: Path, peer: Peer, plug: dict[str, Any]) -> None:
    """zeep gets the text back in its place, decoded."""
    octets, word = os.urandom(15_000_000), base64.b64encode(b"a word of thirty-two octets long").decode()
    row = collected("b-1", word)
    peer.scripts = [rows_of(hub(sdk_pki), FETCH_BASE, "getBerichtenKenmerk", row, {word: BytesPayload(octets)})]

    (got,) = service(ours("Ophaal"), plug, peer).getBerichtenKenmerk(kenmerk=KENMERK)

    assert octets == got.berichtInhoud.inhoud


def test_a_fault_is_zeeps_and_ours(peer: Peer, plug: dict[str, Any]) -> None:
    """Unsigned, and shown: cause, foutcode, and what zeep's users look at."""
    peer.scripts = [fault]

    with pytest.raises(zeep.exceptions.Fault) as shown:
        service(ours("Aanlever"), plug, peer).aanleveren(**ASKED)

    assert isinstance(shown.value, Refused)
    assert ("De berichtsoort is niet bekend.", "ALS100") == (shown.value.message, shown.value.code)
    assert ("soapenv:Client", "Verantwoordingsplichtige") == (shown.value.faultcode, shown.value.actor)
    assert "ALS100" in "".join(shown.value.detail.itertext())
    assert peer.requests[0].octets == b"".join(plug["transport"].last.request.open())


def test_a_tampered_answer_never_reaches_zeep(sdk_pki: Path, peer: Peer, plug: dict[str, Any]) -> None:
    """One letter, and it is refused."""
    peer.scripts = [receipt(hub(sdk_pki), change=lambda octets: octets.replace(b"Bedrijf", b"Bedrijg"))]

    with pytest.raises(SignatureError):
        service(ours("Aanlever"), plug, peer).aanleveren(**ASKED)


def test_an_unsigned_answer_never_reaches_zeep(sdk_pki: Path, peer: Peer, plug: dict[str, Any]) -> None:
    """A receipt without its Security header."""

    def without(octets: bytes) -> bytes:
        start, end = octets.index(b"<wsse:Security"), octets.index(b"</wsse:Security>")
        return octets[:start] + octets[end + len(b"</wsse:Security>") :]

    peer.scripts = [receipt(hub(sdk_pki), change=without)]

    with pytest.raises(SignatureError, match="security-missing"):
        service(ours("Aanlever"), plug, peer).aanleveren(**ASKED)


def test_headers_of_the_callers_own_are_refused_and_not_lost(peer: Peer, plug: dict[str, Any]) -> None:
    """zeep's own wsse beside the plug-in would put a second Security header there."""
    with pytest.raises(UsageError, match="Security"):
        service(ours("Aanlever"), plug, peer, wsse=UsernameToken("a", "b")).aanleveren(**ASKED)

    assert [] == peer.requests


@pytest.mark.parametrize(
    ("name", "base", "operation"),
    [
        ("Statusinformatie", STATUS_BASE, "getStatussenProces"),
        ("Ophaal", FETCH_BASE, "getBerichtenKenmerk"),
    ],
)
def test_the_official_wsdl_loads_from_disk_and_works(
    recorded: Path, sdk_pki: Path, peer: Peer, plug: dict[str, Any], name: str, base: str, operation: str
) -> None:
    """It imports the XSD from the root of its server (digipoort 1.8); stock zeep alone cannot load it."""
    wsdl = recorded / "contract" / f"{name}Service_V1_2.wsdl"
    with pytest.raises(OSError, match="koppelvlak"):
        zeep.Client(str(wsdl))
    peer.scripts = [rows_of(hub(sdk_pki), base, operation, "")]

    assert not service(wsdl, plug, peer)[operation](kenmerk=KENMERK)


def test_the_official_aanleveren_works(recorded: Path, sdk_pki: Path, peer: Peer, plug: dict[str, Any]) -> None:
    """And the official names are ours."""
    peer.scripts = [receipt(hub(sdk_pki))]

    got = service(recorded / "contract" / "AanleverService_V1_2.wsdl", plug, peer).aanleveren(**ASKED)

    assert KENMERK == got.kenmerk
