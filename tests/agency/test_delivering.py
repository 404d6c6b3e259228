"""Delivering from hub to agency and back, over real sockets with mutual TLS."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from helpers_agency import World, make_document, until

from digipoort_as4.payload import FilePayload, sha256
from digipoort_as4.wus import afleveren
from digipoort_as4.wus.scenarios import Scenarios

BODIES = (
    "aid",
    "belastingdienst",
    "cbs",
    "douane",
    "hbag",
    "kvk",
    "plantenziektenkundige-dienst",
    "uwv",
    "vwa",
    "gemeente-voorbeeld",
)


async def test_a_delivery_reaches_the_inbox(world: World) -> None:
    """405 and 400 at the hub; envelope and documents in a folder named by berichtkenmerk."""
    agency = await world.start_agency("belastingdienst")
    documents = (make_document(b"<a/>"), make_document(b"%PDF-1.7", "bijlage", "../toelichting.pdf", "application/pdf"))
    delivery = await world.queue(agency.oin, "e-factuur", documents)

    assert await world.attempt()

    assert ["405", "400"] == await world.codes(delivery)
    assert "delivered" == await world.state(delivery)
    await until(lambda: agency.folders() == [delivery.berichtkenmerk])
    envelope = agency.envelope(delivery.berichtkenmerk)
    process = await world.store.process(delivery.kenmerk)
    assert process is not None
    stamp = process.received_at.strftime("%Y-%m-%dT%H:%M:%S.") + f"{process.received_at.microsecond // 1000:03d}Z"
    assert {
        "kenmerk": delivery.kenmerk,
        "berichtsoort": "e-factuur",
        "berichtkenmerk": delivery.berichtkenmerk,
        "aanleverkenmerk": "A-1",
        "tijdstempelAangeleverd": stamp,
        "identiteitBelanghebbende": {"nummer": "001000044B37", "type": "Fi"},
        "rolBelanghebbende": "Bedrijf",
        "identiteitAanleveraar": "00000099000000101000",
        "identiteitOntvanger": {"nummer": "00000099000000012000", "type": "OIN"},
    } == {name: value for name, value in envelope.items() if name != "documents"}
    place = agency.inbox / delivery.berichtkenmerk
    assert [b"<a/>", b"%PDF-1.7"] == [(place / one["file"]).read_bytes() for one in envelope["documents"]]
    assert ["aangifte.xbrl", "../toelichting.pdf"] == [one["bestandsnaam"] for one in envelope["documents"]]


@pytest.mark.parametrize("octets", [1, 64 * 1024, 64 * 1024 + 1, 3 * 1024 * 1024])
async def test_documents_of_all_sizes_arrive_whole(world: World, octets: int) -> None:
    """Below and above what stays in the row, in the tree and on the event loop."""
    agency = await world.start_agency("belastingdienst")
    document = make_document(b"x" * octets, mime_type="application/pdf")
    delivery = await world.queue(agency.oin, documents=(document,))

    assert await world.attempt()

    await until(lambda: agency.folders() == [delivery.berichtkenmerk])
    file = agency.inbox / delivery.berichtkenmerk / "document-1.pdf"
    assert document.sha256 == sha256(FilePayload(file, 0, file.stat().st_size))
    assert [] == list(Path(agency.agency.desk.spool.folder).iterdir())


async def test_every_body_is_delivered_to(world: World) -> None:
    """The nine bodies connected to Digipoort and a municipality, each with its own certificate, G1 or G4."""
    for name in BODIES:
        agency = await world.start_agency(name)
        delivery = await world.queue(agency.oin, "e-factuur")
        assert await world.attempt(), await world.note(delivery)
        assert ["405", "400"] == await world.codes(delivery)
        await until(lambda agency=agency, delivery=delivery: agency.folders() == [delivery.berichtkenmerk])


@pytest.mark.parametrize("code", ["500", "510"])
async def test_the_agency_sets_the_status(world: World, code: str) -> None:
    """After the hand-over a signed zetStatus gives 500 or 510 with its statusdetails."""
    agency = await world.start_agency("belastingdienst", {"Omzetbelasting": code})
    delivery = await world.queue(agency.oin)

    assert await world.attempt()

    await world.until_codes(delivery, ["405", "400", code])
    last = (await world.store.statuses(delivery.kenmerk))[-1]
    assert last.details is not None
    assert last.details.startswith('<Responsemessage version="2006.1">')
    assert f"<MessageId>{delivery.berichtkenmerk}</MessageId>" in last.details


@pytest.mark.parametrize("code", ["510", "500"])
async def test_a_verdict_is_played_where_the_agency_gives_none(world: World, code: str) -> None:
    """An e-factuur ends at 400; with a rule for the uitvragende partij its verdict follows, with statusdetails."""
    agency = await world.start_agency("belastingdienst")
    scenarios = Scenarios()
    office = replace(world.dispatch.office, scenarios=scenarios)
    without = await world.queue(agency.oin, "e-factuur")
    await afleveren.deliver(await world.claim(), replace(world.dispatch, office=office))
    assert ["405", "400"] == await world.codes(without)
    scenarios.set(stage="uitvragende-partij", berichtsoort="e-factuur", code=code)
    delivery = await world.queue(agency.oin, "e-factuur")
    await afleveren.deliver(await world.claim(), replace(world.dispatch, office=office))
    assert ["405", "400", code] == await world.codes(delivery)
    (last,) = (await world.store.statuses(delivery.kenmerk))[-1:]
    assert f"<RefersToMessageId>{delivery.kenmerk}<" in (last.details or "")
    await until(lambda: agency.folders() == [without.berichtkenmerk])  # nothing was sent for the other
