"""Both clients and plain zeep against the post office of real processes that `digipoort up` starts."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import zeep
from helpers_sdk import BERICHT, blocking

import digipoort_as4.cli
from digipoort_as4.config import data_file
from digipoort_as4.errors import DocumentInvalid, Refused
from digipoort_as4.hub.aanlevering import Identiteit
from digipoort_as4.sdk.client import AsyncDigipoortClient, DigipoortClient
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
