"""Both clients and plain zeep against the post office of real processes that `digipoort up` starts."""

from __future__ import annotations

import asyncio
import json
import secrets
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import zeep
from helpers_sdk import BERICHT, blocking

import digipoort_as4.cli
from digipoort_as4.config import data_file
from digipoort_as4.errors import DocumentInvalid, Refused
from digipoort_as4.hub.aanlevering import Identiteit
from digipoort_as4.payload import BytesPayload, read_all
from digipoort_as4.sdk import office
from digipoort_as4.sdk.client import AsyncDigipoortClient, DigipoortClient
from digipoort_as4.sdk.connection import connect_local
from digipoort_as4.sdk.models import Bestand
from digipoort_as4.sdk.zeep import wus

SAMPLE = Path(digipoort_as4.cli.__file__).parent / "samples" / "omzetbelasting.xbrl"
TAX_FLOW = ["105", "100", "110", "200", "301", "301", "405", "400", "500"]
"""digipoort 3.2."""
SOON = timedelta(seconds=30)


@pytest.fixture(params=[DigipoortClient, AsyncDigipoortClient])
def jansen(request: pytest.FixtureRequest, post_office: Path) -> Iterator[Any]:
    client = blocking(request.param.local(post_office, identity="bakkerij-jansen"))
    yield client
    client.close()


def test_a_vat_return_goes_all_the_way(jansen: Any) -> None:
    """Handed over, followed to its end, and told once as new."""
    receipt = jansen.submit(replace(BERICHT, bericht_inhoud=Bestand.of(SAMPLE)))

    assert "500" == receipt.wait(timeout=SOON).statuscode
    assert TAX_FLOW == [one.statuscode for one in jansen.statuses(receipt.kenmerk)]
    assert TAX_FLOW == [one.statuscode for one in jansen.statuses(receipt.kenmerk, only_new=True)]
    assert () == jansen.statuses(receipt.kenmerk, only_new=True)


def test_an_invalid_document_comes_back_with_its_findings(jansen: Any) -> None:
    """The number in the document is not the one in the envelope."""
    broken = SAMPLE.read_bytes().replace(b"001000044B37", b"001000055B38")
    assert broken != SAMPLE.read_bytes()
    document = replace(Bestand.of(SAMPLE), payload=type(BERICHT.bericht_inhoud.payload)(broken))

    with pytest.raises(DocumentInvalid) as invalid:
        jansen.submit(replace(BERICHT, bericht_inhoud=document)).wait(timeout=SOON)

    assert "001000055B38" in invalid.value.findings[0]


@pytest.mark.parametrize("kenmerk", ["00000000-0000-4000-8000-000000000000", "of somebody else"])
def test_a_kenmerk_of_others_looks_unknown(jansen: Any, post_office: Path, kenmerk: str) -> None:
    """The same words for one that does not exist and for one of another business."""
    if " " in kenmerk:
        with DigipoortClient.local(post_office, identity="installatie-deboer") as other:
            whose = Identiteit("90001102", "KvK")
            kenmerk = other.submit(replace(BERICHT, identiteit_belanghebbende=whose)).kenmerk

    with pytest.raises(Refused, match="Het kenmerk is niet bekend") as refused:
        jansen.statuses(kenmerk)

    assert "STS100" == refused.value.code


async def test_forty_messages_at_once(post_office: Path) -> None:
    """More than there are threads; each has a kenmerk of its own and comes to its end."""
    async with AsyncDigipoortClient.local(post_office, identity="bakkerij-jansen") as client:
        message = replace(BERICHT, bericht_inhoud=Bestand.of(SAMPLE))
        sent = await asyncio.gather(
            *(client.submit(replace(message, aanleverkenmerk=f"veel-{number}")) for number in range(40))
        )
        ended = await asyncio.gather(*(one.wait(timeout=timedelta(seconds=60)) for one in sent))

    assert (40, {"500"}) == (len({one.kenmerk for one in sent}), {one.statuscode for one in ended})


def test_plain_zeep_meets_the_fault_of_the_hub(post_office: Path) -> None:
    """Accepted with the plug-in; the same with one word broken is a fault that says which."""
    plug = wus("bakkerij-jansen", folder=post_office)
    client = zeep.Client(str(data_file("schemas/AanleverService_V1_2.wsdl")), **plug)
    url = plug["transport"].connection.services["aanleveren"]
    service = client.create_service(next(iter(client.wsdl.bindings)), url)
    asked = {
        "berichtsoort": "Omzetbelasting",
        "identiteitBelanghebbende": {"nummer": "001000044B37", "type": "BTW"},
        "rolBelanghebbende": "Bedrijf",
        "berichtInhoud": {"mimeType": "text/xml", "bestandsnaam": "a.xbrl", "inhoud": SAMPLE.read_bytes()},
    }
    assert service.aanleveren(**asked).kenmerk

    with pytest.raises(zeep.exceptions.Fault, match="Omzetbelastinh"):
        service.aanleveren(**{**asked, "berichtsoort": "Omzetbelastinh"})


def drop(post_office: Path, name: str, octets: bytes) -> None:
    """What the Belastingdienst puts ready for Jansen: a document of its own and a copy as bijlage."""
    home = next(
        agency.inbox.parent for agency in office.read(post_office / office.FILE).agencies if "belast" in agency.name
    )
    (folder := home / f"{name}.new").mkdir()
    (folder / "aanslag.xml").write_bytes(octets)
    envelope = {
        "berichtsoort": "SBA",
        "aanleverkenmerk": name,
        "eerderAanleverkenmerk": "mijn-1",
        "identiteitBelanghebbende": {"nummer": "001000044B37", "type": "BTW"},
        "rolBelanghebbende": "Bedrijf",
        "documents": [{"file": "aanslag.xml", "mimeType": "text/xml", "bestandsnaam": "aanslag.xml"}] * 2,
    }
    (folder / "envelope.json").write_text(json.dumps(envelope), encoding="utf-8")
    folder.rename(home / "outbox" / name)


def test_messages_of_an_agency_are_fetched_once_as_new(jansen: Any, post_office: Path) -> None:
    """Two, one of 2 MB; octet for octet; nobody else sees them; what was fetched can be fetched again, not as new."""
    list(jansen.new_messages())
    octets = {
        f"aanslag-{secrets.token_hex(4)}": content for content in (b"<klein/>", b"<a>%s</a>" % (b"groot" * 400_000))
    }
    for name, content in octets.items():
        drop(post_office, name, content)
    give_up = time.monotonic() + 30
    while len(jansen.list_messages(only_new=True)) < 2 and time.monotonic() < give_up:
        time.sleep(0.2)
    with DigipoortClient.local(post_office, identity="installatie-deboer") as other:
        assert () == other.list_messages()

    got = list(jansen.new_messages(berichtsoort="SBA"))

    assert octets == {one.aanleverkenmerk: read_all(one.documents[0].payload) for one in got}
    assert [2, 2] == [len(one.documents) for one in got]
    assert {"mijn-1"} == {one.eerder_aanleverkenmerk for one in got}
    assert [] == list(jansen.new_messages())
    again = jansen.fetch(got[0].kenmerk)
    assert got[0].berichtkenmerk == again[0].berichtkenmerk
    assert () == jansen.fetch(got[0].kenmerk, only_new=True)
    whose = Identiteit("001000044B37", "BTW")
    assert got[0].kenmerk in {one.kenmerk for one in jansen.fetch_for(whose, berichtsoort="SBA")}


def test_what_may_be_asked_is_told(jansen: Any) -> None:
    """The kinds of message, the processes of one kind, and what is new of them: told once."""
    whose = Identiteit("001000044B37", "BTW")
    assert {"Omzetbelasting", "SBA"} <= set(jansen.berichtsoorten(belanghebbende=whose))
    receipt = jansen.submit(replace(BERICHT, bericht_inhoud=Bestand.of(SAMPLE), aanleverkenmerk=None))
    receipt.wait(timeout=SOON)
    assert receipt.kenmerk in {
        one.kenmerk for one in jansen.processes(berichtsoort="Omzetbelasting", belanghebbende=whose)
    }
    told = list(jansen.new_statuses(berichtsoort="Omzetbelasting", belanghebbende=whose))
    assert TAX_FLOW == [one.statuscode for one in told if one.kenmerk == receipt.kenmerk]
    assert [] == list(jansen.new_statuses(berichtsoort="Omzetbelasting", belanghebbende=whose))


def test_a_window_without_a_zone_is_a_fault_that_says_so(jansen: Any) -> None:
    """The same with one is answered."""
    receipt = jansen.submit(BERICHT)
    start = datetime(2026, 1, 1)
    assert jansen.statuses(receipt.kenmerk, window=(start.replace(tzinfo=UTC), None))

    with pytest.raises(Refused, match="tijdzone"):
        jansen.statuses(receipt.kenmerk, window=(start, None))


def test_plain_zeep_works_with_the_served_wsdl(post_office: Path) -> None:
    """Address and operations come from the post office; nothing else is named."""
    plug = wus("bakkerij-jansen", folder=post_office)
    url = plug["transport"].connection.services["aanleveren"]
    service = zeep.Client(f"{url}?wsdl", **plug).service

    document = {"mimeType": "text/xml", "bestandsnaam": "a.xbrl", "inhoud": SAMPLE.read_bytes()}
    whose = {"nummer": "001000044B37", "type": "BTW"}
    got = service.aanleveren(
        berichtsoort="Omzetbelasting",
        identiteitBelanghebbende=whose,
        rolBelanghebbende="Bedrijf",
        berichtInhoud=document,
    )

    assert got.kenmerk


@pytest.mark.parametrize("mtom", [False, True])
def test_a_document_of_5_mb_goes_in_either_form(post_office: Path, mtom: bool) -> None:
    """As base64 in the envelope, and as octets beside it."""
    connection = replace(connect_local(post_office, "bakkerij-jansen"), mtom=mtom)
    document = Bestand("groot.xbrl", "text/xml", BytesPayload(SAMPLE.read_bytes() + b" " * 5_000_000))
    with DigipoortClient(connection) as client:
        receipt = client.submit(replace(BERICHT, bericht_inhoud=document))

    assert mtom is (len(receipt.raw_request) < 6_000_000)
